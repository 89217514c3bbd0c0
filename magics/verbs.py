"""Sub-commands of the line magics: finding the verb, reading its line, doing it to each name."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sandcell.magics.arguments import Request, near, parse
from sandcell.magics.complain import told_lines
from sandcell.magics.grammar import VERBS, overview
from sandcell.magics.line import split
from sandcell.magics.session import Session
from sandcell.runtime.errors import InvalidOption, SandcellError

Action = Callable[[Session, Request], None]


def dispatch(
    session: Session,
    magic: str,
    actions: Mapping[str, Action],
    line: str,
    local: Mapping[str, Any] | None = None,
) -> None:
    """Carry out ``%magic VERB …``; without a verb, or with ``--help``, tell what there is.

    Raises `InvalidOption` with the nearest verb for one that does not exist in this version.
    """
    words = split(line)
    if not words or words[0].text in ("--help", "-h", "help"):
        print(overview(magic))  # noqa: T201
        return
    verb = words[0].text
    grammar = VERBS[magic].get(verb)
    if grammar is None:
        guess = near(verb, VERBS[magic])
        hint = f"did you mean %{magic} {guess}?" if guess else f"it has: {', '.join(VERBS[magic])}"
        raise InvalidOption(f"%{magic}", verb, "no such sub-command in this version", hint)
    request = parse(grammar, line[words[0].end :], session.names, local)
    if request.on("help"):
        print(grammar.help())  # noqa: T201
        return
    actions[verb](session, request)


def each(
    names: Sequence[str],
    action: Callable[[str], None],
    forgiven: tuple[type[SandcellError], ...] = (),
) -> None:
    """Do something to each name, going on after an error as docker does; the last error is raised,
    earlier ones are told before. Those that are ``forgiven`` are told, and no more."""
    failed: SandcellError | None = None
    for name in names:
        try:
            action(name)
        except forgiven as error:
            sys.stderr.write("\n".join(told_lines(error)) + "\n")
        except SandcellError as error:
            if failed is not None:
                sys.stderr.write("\n".join(told_lines(failed)) + "\n")
            failed = error
    if failed is not None:
        raise failed
