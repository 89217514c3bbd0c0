"""Variables in a Dockerfile, as a POSIX shell would write them.

``$name``, ``${name}``, and with a modifier (Dockerfile reference, "Environment replacement"; sh(1),
"Parameter Expansion"):

=================  ==========================================================
``${x:-word}``     ``word`` where x is unset or empty; without ``:`` unset only
``${x:+word}``     ``word`` where x is set and not empty; without ``:`` set
``${x:?message}``  an error where x is unset or empty; without ``:`` unset only
``${x#pattern}``   without the shortest matching beginning; ``##`` the longest
``${x%pattern}``   without the shortest matching end; ``%%`` the longest
``${x/pat/text}``  the first match replaced; ``//`` every match
=================  ==========================================================

Single quotes keep everything, double quotes keep all but ``$`` and the escape character, and both
are removed. An unset variable is the empty text.
"""

import re
from collections.abc import Mapping

# What Go's unicode.IsSpace calls a space; str.isspace() also takes the separators 0x1c to 0x1f.
SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))

_SPECIAL = "@*#?-$!"


class ExpansionError(ValueError):
    """The word cannot be expanded; the text says why."""


def expand(word: str, variables: Mapping[str, str], *, escape: str = "\\") -> str:
    """``word`` with variables replaced and quotes and escapes removed, as one text.

    ``ExpansionError``: a quote or brace that is never closed, an unknown modifier, ``${x:?…}``.
    """
    return _Lexer(word, variables, escape).until("")


def raw_words(text: str) -> tuple[str, ...]:
    """``text`` split at spaces outside quotes; quotes, escapes and variables stay as written."""
    lexer = _Lexer(text, {}, "\\", raw=True)
    lexer.until("")
    return lexer.split.finish()


def expand_lines(text: str, variables: Mapping[str, str], *, escape: str = "\\") -> str:
    """The content of a here-document with variables replaced; quotes are text, escapes protect."""
    return _Lexer(text, variables, escape, quotes=False).until("")


class _Words:
    """Collects characters into words; only ``plain`` text splits at its spaces."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.word = ""

    def plain(self, text: str) -> None:
        for char in text:
            if char in SPACES:
                self.end()
            else:
                self.word += char

    def literal(self, text: str) -> None:
        self.word += text

    def end(self) -> None:
        if self.word:
            self.words.append(self.word)
            self.word = ""

    def finish(self) -> tuple[str, ...]:
        self.end()
        return tuple(self.words)


class _Lexer:
    """One pass over a text. ``raw`` keeps quotes, escapes and unset variables as they are."""

    def __init__(
        self, text: str, variables: Mapping[str, str], escape: str, *, raw: bool = False, quotes: bool = True
    ) -> None:
        self.text = text
        self.at = 0
        self.variables = variables
        self.escape = escape
        self.raw = raw
        self.quotes = quotes
        self.split = _Words()
        self.depth = 0

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def take(self) -> str:
        char = self.peek()
        self.at += 1
        return char

    def until(self, stop: str, *, keep_escapes: bool = False) -> str:
        """Expand up to and over ``stop`` (``""``: the end). Words are split on the outermost level."""
        out: list[str] = []
        split = self.split if self.depth == 0 else _Words()
        self.depth += 1
        while char := self.peek():
            if char == stop:
                self.at += 1
                self.depth -= 1
                return "".join(out)
            if char == "$":
                part = self.dollar()
                split.plain(part)
            elif self.quotes and char in "'\"":
                part = self.single() if char == "'" else self.double()
                split.literal(part)
            elif char == self.escape:
                self.at += 1
                part = self.take()
                if self.raw or (keep_escapes and part):
                    part = char + part
                if part:
                    split.literal(part)
            else:
                part = self.take()
                split.plain(part)
            out.append(part)
        if stop:
            raise ExpansionError(f"a {stop!r} is missing")
        self.depth -= 1
        return "".join(out)

    def single(self) -> str:
        end = self.text.find("'", self.at + 1)
        if end < 0:
            raise ExpansionError("a single quote is never closed")
        part = self.text[self.at + 1 : end]
        self.at = end + 1
        return f"'{part}'" if self.raw else part

    def double(self) -> str:
        out = ['"'] if self.raw else []
        self.at += 1
        while char := self.peek():
            if char == '"':
                self.at += 1
                return "".join(out) + ('"' if self.raw else "")
            if char == "$":
                out.append(self.dollar())
                continue
            self.at += 1
            if char == self.escape:
                following = self.peek()
                if following and following in f'"${self.escape}':
                    char = char + following if self.raw else following
                    self.at += 1
            out.append(char)
        raise ExpansionError("a double quote is never closed")

    def dollar(self) -> str:
        start = self.at
        self.at += 1
        if self.peek() == "{":
            self.at += 1
            return self.braces(start)
        name = self.name()
        if not name:
            return "$"
        return self.text[start : self.at] if self.raw else self.variables.get(name, "")

    def name(self) -> str:
        match = _NAME.match(self.text, self.at)
        if match is None:
            return ""
        self.at = match.end()
        return match.group()

    def braces(self, start: int) -> str:
        """After ``${``: the name, then ``}`` or a modifier."""
        name = self.name()
        value = self.variables.get(name)
        if not name and self.peek():
            raise ExpansionError("after '${' comes the name of a variable")
        modifier = self.take()
        if modifier == "}":
            return self.text[start : self.at] if self.raw else value or ""
        colon = modifier == ":"
        if colon:
            modifier = self.take()
        if modifier and modifier in "-+?":
            word = self.until("}")
            found = self.choose(name, value, modifier, word, colon) if not self.raw else ""
        elif modifier and modifier in "#%" and not colon:
            longest = self.peek() == modifier
            if longest:
                self.at += 1
            word = self.until("}", keep_escapes=True)
            found = _trim(value or "", word, end=modifier == "%", longest=longest)
        elif modifier == "/" and not colon:
            found = self.replace(value or "")
        elif not modifier:
            raise ExpansionError("a '}' is missing")
        else:
            shown = ":" * colon + modifier
            raise ExpansionError(
                f"'{shown}' is no modifier of a variable (there are :- - :+ + :? ? # ## % %% / //)"
            )
        return self.text[start : self.at] if self.raw else found

    def choose(self, name: str, value: str | None, modifier: str, word: str, colon: bool) -> str:
        missing = value is None or (colon and not value)
        if modifier == "-":
            return word if missing else value or ""
        if modifier == "+":
            return "" if missing else word
        if missing:
            what = "is not set" if value is None else "is empty"
            raise ExpansionError(f"{name}: {word or what}")
        return value or ""

    def replace(self, value: str) -> str:
        every = self.peek() == "/"
        if every:
            self.at += 1
        pattern = _pattern(self.until("/", keep_escapes=True))
        text = self.until("}")
        return pattern.sub(lambda _: text, value, count=0 if every else 1)


_NAME = re.compile(rf"[0-9]+|[{re.escape(_SPECIAL)}]|[^\W0-9]\w*")


def _trim(value: str, pattern: str, *, end: bool, longest: bool) -> str:
    """``value`` without the part at its beginning, or end, that the shell pattern matches."""
    whole = _pattern(pattern)
    cuts = range(len(value) + 1)
    # The shortest match cuts off least: try from the near side, or from the far one for the longest.
    for cut in reversed(cuts) if end != longest else cuts:
        if whole.fullmatch(value[cut:] if end else value[:cut]):
            return value[:cut] if end else value[cut:]
    return value


def _pattern(pattern: str) -> re.Pattern[str]:
    """A shell pattern (``*``, ``?``, backslash) as a regular expression."""
    out = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "*":
            out.append(".*")
        elif char == "?":
            out.append(".")
        else:
            if char == "\\" and at + 1 < len(pattern):
                at += 1
                char = pattern[at]
            out.append(re.escape(char))
        at += 1
    return re.compile("".join(out), re.DOTALL)
