"""The line of a magic: words split as a POSIX shell splits them, then expanded one by one.

Splitting comes first, so the value of ``{expr}`` or ``$name`` never splits, never becomes a flag
and arrives byte for byte. Rules of quoting: POSIX.1-2017, Shell Command Language, 2.2.

What is literal: text in single quotes, a character after a backslash, ``{{…}}`` (kept with its
braces, as templates want them), ``{}`` and a JSON object. ``$$`` is one dollar sign.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from sandcell.runtime.errors import InvalidOption

BARE, DOUBLE, LITERAL = "b", "d", "l"
"""How a character was written: outside quotes, in double quotes, or so that it stands for itself."""


class Word(msgspec.Struct, frozen=True):
    """One argument as typed: ``text`` without its quotes, ``kinds`` one letter a character
    (`BARE`, `DOUBLE`, `LITERAL`), ``start`` and ``end`` its place in the line."""

    text: str
    kinds: str
    start: int = 0
    end: int = 0

    def partition(self, separator: str) -> tuple["Word", bool, "Word"]:
        """Split at the first ``separator`` (one character): head, whether it was there, tail."""
        at = self.text.find(separator)
        if at < 0:
            return self, False, Word("", "", self.end, self.end)
        head = Word(self.text[:at], self.kinds[:at], self.start, self.end)
        return head, True, self.after(at + 1)

    def after(self, count: int) -> "Word":
        """The word without its first ``count`` characters."""
        return Word(self.text[count:], self.kinds[count:], self.start, self.end)


def split(line: str) -> tuple[Word, ...]:
    """Split a line into words. Raises `InvalidOption` when a quote is never closed."""
    words: list[Word] = []
    text: list[str] = []
    kinds: list[str] = []
    start = -1
    at, size = 0, len(line)
    while at < size:
        char = line[at]
        if char in " \t\n\r":
            if start >= 0:
                words.append(Word("".join(text), "".join(kinds), start, at))
                text, kinds, start = [], [], -1
            at += 1
            continue
        if start < 0:
            start = at
        if char in "'\"":
            at = _quoted(line, at, text, kinds)
        elif char == "\\" and at + 1 < size:
            text.append(line[at + 1])
            kinds.append(LITERAL)
            at += 2
        else:
            text.append(char)
            kinds.append(BARE)
            at += 1
    if start >= 0:
        words.append(Word("".join(text), "".join(kinds), start, size))
    return tuple(words)


def _quoted(line: str, at: int, text: list[str], kinds: list[str]) -> int:
    """Read the quoted part that opens at ``at``; return the place after its closing quote."""
    quote = line[at]
    opened = at
    at += 1
    while at < len(line) and line[at] != quote:
        char, kind = line[at], LITERAL if quote == "'" else DOUBLE
        if kind == DOUBLE and char == "\\" and line[at + 1 : at + 2] in ("$", "`", '"', "\\", "\n"):
            at += 1
            char = line[at]
            kind = LITERAL if char == "$" else DOUBLE
        text.append(char)
        kinds.append(kind)
        at += 1
    if at >= len(line):
        raise InvalidOption(
            "read",
            "the line",
            f"the {quote} at column {opened + 1} is never closed",
            f"add the closing {quote}",
        )
    return at + 1


def expand(word: Word, names: Mapping[str, Any], local: Mapping[str, Any] | None = None) -> str:
    """Replace ``{expr}`` and ``$name`` in one word by ``str()`` of their values (bytes are decoded
    as a file name would be).

    ``names``: the notebook's namespace; ``local``: of the function the magic was called in.
    Raises `InvalidOption` naming what is undefined, what is not Python, and what failed.
    """
    text, kinds = word.text, word.kinds
    out: list[str] = []
    at = 0
    while at < len(text):
        char = text[at]
        if kinds[at] == LITERAL or char not in "{$":
            out.append(char)
            at += 1
            continue
        value, at = _brace(word, at, names, local) if char == "{" else _dollar(word, at, names, local)
        out.append(value)
    return "".join(out)


def _brace(word: Word, at: int, names: Mapping[str, Any], local: Mapping[str, Any] | None) -> tuple[str, int]:
    text = word.text
    if text.startswith("{}", at):
        return "{}", at + 2
    if text.startswith("{{", at):
        end = text.find("}}", at + 2)
        if end >= 0:
            return text[at : end + 2], end + 2
    end = _json_end(text, at)
    if end:
        return text[at:end], end
    end = text.find("}", at)
    if end < 0:
        raise InvalidOption(
            "expand",
            text[at:],
            "the { is never closed in this argument",
            'a value with spaces needs quotes around the whole argument: "{a + b}"; '
            "single quotes keep a { as it is",
        )
    first = end
    while end >= 0:
        expression = _expression(text[at + 1 : end])
        if expression is not None:
            if len(set(word.kinds[at : end + 1])) > 1:
                break
            return _evaluate(text[at : end + 1], *expression, names, local), end + 1
        end = text.find("}", end + 1)
    mixed = len(set(word.kinds[at : first + 1])) > 1
    raise InvalidOption(
        "expand",
        text[at : (end if end >= 0 else first) + 1],
        "the line takes the quotes inside the braces" if mixed else "not a Python expression",
        "put quotes around the whole argument: double ones for an expression, single ones for text or JSON"
        if mixed
        else "single quotes keep it as it is",
    )


def _json_end(text: str, at: int) -> int:
    """Where the JSON object that starts at ``at`` ends; 0 when none does."""
    if not text[at + 1 :].lstrip().startswith('"'):
        return 0
    from json import JSONDecodeError, JSONDecoder

    try:
        return JSONDecoder().raw_decode(text, at)[1]
    except (JSONDecodeError, RecursionError):
        return 0


def _expression(source: str) -> tuple[str, str, str] | None:
    """``(expression, conversion, format)`` of the inside of ``{…}``, as in an f-string; ``None``
    when no reading of it is Python."""
    if _parses(source):
        return source, "", ""
    for at in range(len(source) - 1, 0, -1):
        if source[at] == ":" and _parses(source[:at]):
            return source[:at], "", source[at + 1 :]
        if source[at] == "!" and source[at + 1 : at + 2] in ("r", "s", "a") and _parses(source[:at]):
            rest = source[at + 2 :]
            if not rest or rest[0] == ":":
                return source[:at], source[at + 1], rest[1:]
    return None


def _parses(source: str) -> bool:
    import ast

    try:
        ast.parse(source.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return bool(source.strip())


def _evaluate(
    written: str,
    expression: str,
    conversion: str,
    form: str,
    names: Mapping[str, Any],
    local: Mapping[str, Any] | None,
) -> str:
    try:
        # The person at the notebook typed the expression; it may do what any of their cells may.
        # One dictionary, so that a comprehension inside sees a function's names too; a copy, because
        # eval adds to it.
        value = eval(expression.strip(), {**names, **(local or {})})  # noqa: S307
        if conversion:
            value = f"{value!s}" if conversion == "s" else repr(value) if conversion == "r" else ascii(value)
        return format(value, form) if form else _text(value)
    except NameError as error:
        raise _undefined(written, getattr(error, "name", None) or expression) from None
    except Exception as error:
        raise InvalidOption("expand", written, f"{type(error).__name__}: {error}") from None


def _dollar(
    word: Word, at: int, names: Mapping[str, Any], local: Mapping[str, Any] | None
) -> tuple[str, int]:
    text, kinds = word.text, word.kinds
    if text.startswith("$$", at) and kinds[at + 1] != LITERAL:
        return "$", at + 2
    braced = text.startswith("${", at)
    start = at + 2 if braced else at + 1
    end = start
    while end < len(text) and kinds[end] == kinds[at] and text[start : end + 1].isidentifier():
        end += 1
    name = text[start:end]
    if not name or (braced and text[end : end + 1] != "}"):
        return "$", at + 1
    after = end + 1 if braced else end
    for space in (local, names):
        if space is not None and name in space:
            return _text(space[name]), after
    raise _undefined(text[at:after], name)


def _undefined(written: str, name: str) -> InvalidOption:
    return InvalidOption(
        "expand",
        written,
        f"the name {name!r} is not defined",
        f"define {name} in a cell first; single quotes keep the text as it is",
    )


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return str(value)
