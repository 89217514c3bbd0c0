"""Tab in the line of a magic and in the Dockerfile of an ``%%image`` cell.

`offers` is plain: text before the cursor in, the word and its completions out. It is put behind
IPython's matcher API (from 8.6), which sees the whole cell, or behind the older ``complete_command``
hooks, which see one line.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

from sandcell.magics.arguments import Grammar
from sandcell.magics.grammar import CELLS, VERBS
from sandcell.magics.session import Session
from sandcell.runtime.errors import SandcellError

INSTRUCTIONS = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
]

Names = Callable[[str], Iterable[str]]
"""Gives the known names of a kind: ``image``, ``container`` or ``network``."""

_MAGIC = re.compile(r"\s*(%{1,2})(image|container|sandcell)(\s.*)?$")
_WORD = re.compile(r"\S*$")


def offers(before: str, names: Names) -> tuple[str, list[str]] | None:
    """The word before the cursor and what it may become; ``None`` when the text is none of ours.

    ``before``: the cell up to the cursor.
    """
    first, newline, rest = before.partition("\n")
    if newline:
        if not re.match(r"%%image\b", first):
            first = before.rpartition("\n")[2]
            return _line(first, names) if re.match(r"\s*%(?!%)", first) else None
        return _dockerfile(rest.rpartition("\n")[2], names)
    return _line(first, names)


def names_of(session: Session) -> Names:
    """The names a session knows, without waiting for an engine that is being opened."""

    def names(kind: str) -> Iterable[str]:
        engine = session.engine_if_ready
        if engine is None:
            return ()
        try:
            if kind == "image":
                found = [entry.name for entry in engine.images()]
                bases = ("host", "host:tiny", "host:pip")
                return [*found, *(name.removesuffix(":latest") for name in found), *bases]
            if kind == "network":
                return [network.name for network in engine.networks()]
            return [container.name for container in engine.containers(all=True)]
        except SandcellError:
            return ()

    return names


def register(session: Session) -> Callable[[], None]:
    """Put the completions into the shell; returns what takes them out again."""
    names = names_of(session)
    completer = session.shell.Completer
    try:
        from IPython.core.completer import SimpleCompletion, context_matcher
    except ImportError:
        return _hooks(session.shell, names)

    @context_matcher(identifier="sandcell")
    def matcher(context: Any) -> dict[str, Any]:
        lines = context.full_text.split("\n")
        before = "\n".join([*lines[: context.cursor_line], context.text_until_cursor])
        found = offers(before, names)
        if found is None:
            return {"completions": [], "suppress": False}
        word, words = found
        completions = [SimpleCompletion(text=text, type="sandcell") for text in words]
        return {
            "completions": completions,
            "suppress": bool(words),
            "matched_fragment": word,
            "ordered": True,
        }

    completer.custom_matchers.append(matcher)
    return lambda: completer.custom_matchers.remove(matcher)


def _hooks(shell: Any, names: Names) -> Callable[[], None]:
    def complete(_: Any, event: Any) -> list[str]:
        found = offers(event.text_until_cursor, names)
        if found is None:
            return []
        word, words = found
        # This IPython replaces only its own idea of the word, which ends at characters like : and =.
        skip = len(word) - len(event.symbol)
        return [text[skip:] for text in words if skip >= 0]

    keys = [f"{prefix}{magic}" for magic in VERBS for prefix in ("%", "%%")]
    for key in keys:
        shell.set_hook("complete_command", complete, str_key=key)

    def forget() -> None:
        for key in keys:
            shell.Completer.custom_completers.strs.pop(key, None)

    return forget


def _line(line: str, names: Names) -> tuple[str, list[str]] | None:
    match = _MAGIC.match(line)
    if match is None or match[3] is None:
        return None
    percent, magic, rest = match[1], match[2], match[3]
    word = _word(rest)
    before = rest[: len(rest) - len(word)].split()
    if percent == "%%":
        grammar = CELLS.get(magic)
        return (word, _arguments(grammar, before, word, names)) if grammar else None
    if not before:
        return word, _starting(VERBS[magic], word)
    grammar = VERBS[magic].get(before[0])
    return (word, _arguments(grammar, before[1:], word, names)) if grammar else None


def _arguments(grammar: Grammar, before: list[str], word: str, names: Names) -> list[str]:
    flag = grammar.flag(before[-1]) if before else None
    if flag is not None and flag.value:
        return _starting(names(flag.offers), word) if flag.offers else []
    positional = _positional(grammar, before)
    if grammar.stops and positional:
        return []
    if word.startswith("-"):
        known = [name for flag in grammar.flags if not flag.refused for name in flag.names]
        return _starting([*known, "--help"], word)
    if grammar.offers and (grammar.most is None or positional < grammar.most):
        return _starting(names(grammar.offers), word)
    return []


def _positional(grammar: Grammar, before: list[str]) -> int:
    """How many positional words there are already."""
    count, skip = 0, False
    for word in before:
        if skip:
            skip = False
        elif word.startswith("-"):
            flag = grammar.flag(word)
            skip = flag is not None and bool(flag.value)
        else:
            count += 1
    return count


def _dockerfile(line: str, names: Names) -> tuple[str, list[str]] | None:
    word = _word(line)
    before = line[: len(line) - len(word)].split()
    if not before:
        if not word:
            return word, INSTRUCTIONS
        return word, [name for name in INSTRUCTIONS if name.startswith(word.upper())]
    if before[0].upper() == "FROM" and len(before) == 1:
        return word, _starting([*names("image"), "scratch"], word)
    return None


def _word(text: str) -> str:
    match = _WORD.search(text)
    return match[0] if match else ""


def _starting(known: Iterable[str], word: str) -> list[str]:
    return sorted({name for name in known if name.startswith(word)})
