"""Flags and positional words of a magic, read by a table that also writes the help and feeds Tab.

Flags are found in the words as typed, before anything is expanded: a value can never turn into a
flag. A flag's value is the next word, or what follows ``=``, or the rest of a short flag's word
(``-eK=V``), as in docker's command line.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import msgspec

from sandcell.magics.line import Word, expand, split
from sandcell.runtime.errors import InvalidOption


class Flag(msgspec.Struct, frozen=True, kw_only=True):
    """One flag. ``key``: the name it is asked by. ``value``: what stands for its value in the help;
    empty for a switch. ``offers``: what Tab proposes (``image``, ``container``, ``network``).
    ``refused``: cause and hint of a flag that is known but cannot be had here."""

    key: str
    names: tuple[str, ...]
    help: str
    value: str = ""
    many: bool = False
    offers: str = ""
    refused: tuple[str, str] | None = None


class Grammar(msgspec.Struct, frozen=True, kw_only=True):
    """What one magic, or one sub-command of one, takes.

    ``name``: as typed. ``words``: the positional ones, for the help. ``least``, ``most``: how many
    (``most`` ``None``: any). ``stops``: the first positional word ends the flags, so that a command
    keeps its own. ``terminal``: the command that has a keyboard; ``{0}`` is the first word.
    """

    name: str
    words: str
    about: str
    flags: tuple[Flag, ...] = ()
    least: int = 0
    most: int | None = 0
    stops: bool = False
    offers: str = ""
    terminal: str = ""
    notes: str = ""

    def flag(self, name: str) -> Flag | None:
        """The flag of that name (``-e``, ``--env``)."""
        return next((flag for flag in self.flags if name in flag.names), None)

    def help(self) -> str:
        """The complete help, as text."""
        rows = [
            (", ".join(f.names) + (f" {f.value}" if f.value else ""), f) for f in self.flags if not f.refused
        ]
        width = max((len(left) for left, _ in rows), default=0)
        lines = [f"{self.name} {self.words}{' [flags]' if rows else ''}".rstrip(), "", *_indent(self.about)]
        if rows:
            lines += ["", "Flags:"]
            lines += [
                f"  {left:<{width}}  {flag.help}{' (may be repeated)' if flag.many else ''}"
                for left, flag in rows
            ]
        if self.notes:
            lines += ["", *_indent(self.notes)]
        return "\n".join(lines)


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What was typed, expanded. ``flags``: values by key, in order (a switch has ``""``).
    ``places``: where each flag and its value stand in ``line``; ``spots``: the positional words."""

    line: str
    flags: Mapping[str, tuple[str, ...]] = {}
    words: tuple[str, ...] = ()
    places: Mapping[str, tuple[int, int]] = {}
    spots: tuple[tuple[int, int], ...] = ()

    def on(self, key: str) -> bool:
        """Whether the flag was given."""
        return key in self.flags

    def text(self, key: str) -> str:
        """The last value given for a flag; ``""`` when it was not given."""
        return self.flags.get(key, ("",))[-1]

    def texts(self, key: str) -> tuple[str, ...]:
        """Every value given for a flag that may be repeated."""
        return self.flags.get(key, ())


def parse(
    grammar: Grammar, line: str, names: Mapping[str, Any], local: Mapping[str, Any] | None = None
) -> Request:
    """Read a line by a grammar. Raises `InvalidOption` naming the word at fault, with the nearest
    known flag where there is one; nothing is expanded before the whole line was understood.
    ``--help`` wins over everything: the request then holds the flag ``help`` alone."""
    flags: dict[str, list[Word]] = {}
    places: dict[str, tuple[int, int]] = {}
    plain: list[Word] = []
    keyboard = ""
    queue = list(split(line))
    while queue:
        word = queue.pop(0)
        if not word.text.startswith("-") or word.text == "-":
            plain.append(word)
            if grammar.stops:
                break
            continue
        if word.text == "--":
            break
        if word.text == "--help":
            return Request(line=line, flags={"help": ("",)})
        if _is_keyboard(grammar, word.text):
            keyboard = word.text
            continue
        for flag, value in _flags(grammar, word):
            if flag.refused:
                raise InvalidOption(grammar.name, flag.names[-1], *flag.refused)
            end = word.end
            if flag.value and value is None:
                if not queue:
                    raise InvalidOption(grammar.name, word.text, f"needs a value: {word.text} {flag.value}")
                value = queue.pop(0)
                end = value.end
            flags.setdefault(flag.key, []).append(value or Word("", ""))
            places[flag.key] = (word.start, end)
    plain += queue
    if keyboard:
        inside = flags.get("in")
        known = (inside or plain)[:1]
        first = expand(known[0], names, local) if known else grammar.words.split()[0]
        _no_keyboard(grammar, keyboard, "sandcell exec -it {0} sh" if inside else grammar.terminal, first)
    _count(grammar, plain)
    return Request(
        line=line,
        flags={key: tuple(expand(word, names, local) for word in words) for key, words in flags.items()},
        words=tuple(expand(word, names, local) for word in plain),
        places=places,
        spots=tuple((word.start, word.end) for word in plain),
    )


def near(text: str, known: Iterable[str]) -> str:
    """The known word most like ``text``; ``""`` when none is."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(text, list(known), 1, 0.6)), "")


def _flags(grammar: Grammar, word: Word) -> list[tuple[Flag, Word | None]]:
    """The flags one word holds: one long flag, or several short ones of which the last may have
    its value attached. A value of ``None`` is still to come."""
    name, attached, value = word.partition("=")
    flag = grammar.flag(name.text)
    if flag is not None:
        if attached and not flag.value:
            raise InvalidOption(grammar.name, name.text, "takes no value")
        return [(flag, value if attached else None)]
    if word.text.startswith("--"):
        _unknown(grammar, name.text)
    found: list[tuple[Flag, Word | None]] = []
    for at in range(1, len(word.text)):
        flag = grammar.flag("-" + word.text[at])
        if flag is None:
            _unknown(grammar, name.text)
        if flag.value:
            rest = word.after(at + 1)
            return [*found, (flag, rest if rest.text else None)]
        found.append((flag, None))
    return found


def _unknown(grammar: Grammar, name: str) -> NoReturn:
    known = [known for flag in grammar.flags for known in flag.names]
    guess = near(name, known)
    hint = (
        f"did you mean {guess}?" if guess else f"its flags: {' '.join(known)}" if known else "it has no flags"
    )
    raise InvalidOption(grammar.name, name, "no such flag", hint)


def _is_keyboard(grammar: Grammar, text: str) -> bool:
    if not grammar.terminal:
        return False
    return (
        text in ("--interactive",)
        or (text[1:2] != "-" and "i" in text and set(text[1:]) <= set("itd"))
        or (text == "-t")
    )


def _no_keyboard(grammar: Grammar, flag: str, terminal: str, first: str) -> NoReturn:
    raise InvalidOption(
        grammar.name,
        flag,
        "a cell has no keyboard",
        f"in a terminal: {terminal.format(first)}   (--tty gives the program a terminal to write to)",
    )


def _count(grammar: Grammar, plain: list[Word]) -> None:
    if len(plain) < grammar.least:
        raise InvalidOption(
            grammar.name, "", "something is missing", f"write: {grammar.name} {grammar.words}"
        )
    if grammar.most is not None and len(plain) > grammar.most:
        raise InvalidOption(
            grammar.name,
            plain[grammar.most].text,
            "one word too many",
            f"write: {grammar.name} {grammar.words}; a value with spaces needs quotes",
        )


def _indent(text: str) -> list[str]:
    return [f"  {line}".rstrip() for line in text.strip().splitlines()]
