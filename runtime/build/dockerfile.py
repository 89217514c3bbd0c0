"""The text of a Dockerfile → its statements: keyword, flags, words, here-documents, and where they stand.

Purely lexical, and the same grammar as BuildKit's parser (Dockerfile reference, "Format"): comments,
parser directives, continuation lines, JSON and shell forms, here-documents. What the words of a
keyword mean is the business of ``instructions``.

Like BuildKit: comment lines and empty lines inside a continued statement are dropped, a backslash
that is itself escaped continues nothing, the end of a here-document must stand alone on its line.
"""

import re

import msgspec

from sandcell.runtime.build.expand import SPACES, ExpansionError, raw_words
from sandcell.runtime.errors import DockerfileError

_DIRECTIVE = re.compile(r"#[ \t\f\r\v]*([A-Za-z][A-Za-z0-9]*)[ \t\f\r\v]*=[ \t\f\r\v]*(.+?)[ \t\f\r\v]*\Z")
_DIRECTIVES = ("syntax", "escape", "check")
_GAP = re.compile(r"[\t\v\f\r ]+")
_BLANKS = "\t\n\v\f\r "
_HERE = re.compile(r"([0-9]*)<<(-?)([^<]+)\Z")
_TABS = re.compile(r"^\t+", re.MULTILINE)

# How the rest of a statement is cut into words.
_PAIRS = frozenset(("ENV", "LABEL"))
_JSON_OR_TEXT = frozenset(("RUN", "CMD", "ENTRYPOINT", "SHELL"))
_JSON_OR_WORDS = frozenset(("COPY", "ADD", "VOLUME"))
_TEXT = frozenset(("MAINTAINER", "STOPSIGNAL", "USER", "WORKDIR"))
_PLAIN_WORDS = frozenset(("FROM", "EXPOSE"))
_WITH_HERE_DOCUMENTS = frozenset(("RUN", "COPY", "ADD"))
KEYWORDS = _PAIRS | _JSON_OR_TEXT | _JSON_OR_WORDS | _TEXT | _PLAIN_WORDS | {"ARG", "HEALTHCHECK", "ONBUILD"}


class HereDocument(msgspec.Struct, frozen=True):
    """``<<NAME`` and the lines up to ``NAME``.

    ``expand``: the name was not quoted, so variables in ``content`` count. ``chomp``: written
    ``<<-``, leading tabs do not count. ``descriptor``: the number before ``<<``, 0 without one.
    """

    name: str
    content: str
    expand: bool
    chomp: bool
    descriptor: int

    @property
    def text(self) -> str:
        """The content without the leading tabs that ``<<-`` takes away."""
        return _TABS.sub("", self.content) if self.chomp else self.content


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """One instruction as written.

    ``words``: for ENV and LABEL keys and values in turn; for the shell form of RUN, CMD and
    ENTRYPOINT the whole line as one; quotes and variables are still in them. ``is_json``: they came
    from a JSON array. ``line``: the statement with its continuation lines joined. ``lines``: first
    and last line of it in the Dockerfile, from 1; ``source``: the text of those. ``trigger``: what
    ONBUILD keeps for later. ``gap``: number of the first empty line between its lines, 0 without one.
    ``comment``: the comment line right above it.
    """

    keyword: str
    flags: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    is_json: bool = False
    here_documents: tuple[HereDocument, ...] = ()
    line: str
    lines: tuple[int, int]
    source: str
    trigger: "Statement | None" = None
    gap: int = 0
    comment: str = ""

    @property
    def written(self) -> str:
        """The keyword in the letters it was written with."""
        return _GAP.split(self.line.strip(SPACES), maxsplit=1)[0]

    def fault(self, cause: str, hint: str = "") -> DockerfileError:
        """The error to raise about this statement."""
        return fault(cause, hint, self.lines, self.source)


class Dockerfile(msgspec.Struct, frozen=True, kw_only=True):
    """``statements`` in order, at least one. ``escape``: the character of the escape directive."""

    statements: tuple[Statement, ...]
    escape: str = "\\"
    directives: dict[str, str] = {}


def fault(cause: str, hint: str, lines: tuple[int, int], source: str) -> DockerfileError:
    """A ``DockerfileError`` about these lines; its object names them for the reader."""
    first, last = lines
    where = f"line {first}" if first >= last else f"lines {first} to {last}"
    return DockerfileError("read", f"Dockerfile, {where}", cause, hint, lines=lines, source=source)


def did_you_mean(word: str, choices: "tuple[str, ...] | list[str] | frozenset[str]") -> str:
    """``did you mean X?`` for the nearest of ``choices``, or an empty text."""
    from difflib import get_close_matches

    near = get_close_matches(word, sorted(choices), n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else ""


def parse(text: str) -> Dockerfile:
    """Cut ``text`` into statements.

    ``DockerfileError`` with the lines: nothing in it, an unknown instruction, a here-document
    without an end, a faulty directive, ENV or LABEL without ``=``, JSON that is not an array of strings.
    """
    return _Parser(text).parse()


class _Parser:
    def __init__(self, text: str) -> None:
        self.rows = text.removeprefix("\ufeff").split("\n")
        if not self.rows[-1]:
            self.rows.pop()
        self.at = 0
        self.escape = "\\"
        self.directives: dict[str, str] = {}
        self.comment = ""

    def parse(self) -> Dockerfile:
        for number, row in enumerate(self.rows, 1):
            if "\0" in row:
                raise fault("there is a NUL character in it", "is it a text file?", (number, number), row)
        self.read_directives()
        statements = []
        while self.at < len(self.rows):
            statement = self.statement()
            if statement is not None:
                statements.append(statement)
        if not statements:
            raise fault(
                "there is no instruction in it",
                "the smallest Dockerfile is one line: FROM host",
                (1, max(1, len(self.rows))),
                "\n".join(self.rows),
            )
        return Dockerfile(statements=tuple(statements), escape=self.escape, directives=self.directives)

    def read_directives(self) -> None:
        """``# name=value`` lines at the very top; the first other line ends them."""
        for number, row in enumerate(self.rows, 1):
            match = _DIRECTIVE.match(row.strip(SPACES))
            name = match.group(1).lower() if match else ""
            if match is None or name not in _DIRECTIVES:
                return
            if name in self.directives:
                raise fault(f"the directive {name} is given twice", "", (number, number), row)
            self.directives[name] = value = match.group(2)
            if name == "escape":
                if value not in ("\\", "`"):
                    cause = f"the escape character must be \\ or `, not {value}"
                    raise fault(cause, "", (number, number), row)
                self.escape = value

    def statement(self) -> Statement | None:
        """The statement that begins at the current row; ``None`` for an empty row or a comment."""
        first = self.at + 1
        row = self.next_row().lstrip(SPACES)
        line, goes_on = self.continued(row)
        if not goes_on and not line:
            self.comment = row if row.startswith("#") else ""
            return None
        gap = 0
        while goes_on and self.at < len(self.rows):
            row = self.next_row()
            stripped = row.lstrip(SPACES)
            if not stripped or stripped.startswith("#"):
                gap = gap or (0 if stripped else self.at)
                continue
            more, goes_on = self.continued(row)
            line += more
        comment, self.comment = self.comment, ""
        return msgspec.structs.replace(self.cut(line, first), gap=gap, comment=comment)

    def next_row(self) -> str:
        self.at += 1
        return self.rows[self.at - 1].rstrip("\r")

    def continued(self, row: str) -> tuple[str, bool]:
        """``row`` without its continuation mark, and whether it had one."""
        if row.startswith("#"):
            return "", False
        bare = row.rstrip(" \t")
        if bare.endswith(self.escape) and not bare.endswith(self.escape * 2):
            return bare[:-1], True
        return row, False

    def source(self, first: int) -> str:
        return "\n".join(row.rstrip("\r") for row in self.rows[first - 1 : self.at])

    def cut(self, line: str, first: int) -> Statement:
        statement = self.split(line.strip(SPACES), first)
        here = self.here_documents(statement.trigger or statement, line, first)
        lines, source = (first, self.at), self.source(first)
        trigger = statement.trigger
        if trigger is not None:
            trigger = msgspec.structs.replace(trigger, here_documents=here, lines=lines, source=source)
        replace = msgspec.structs.replace
        return replace(statement, here_documents=here, lines=lines, source=source, trigger=trigger)

    def split(self, line: str, first: int) -> Statement:
        """Keyword, flags and words of one joined line."""
        parts = _GAP.split(line, maxsplit=1)
        keyword = parts[0].upper()
        lines, source = (first, self.at), self.source(first)
        flags, rest = _flags(parts[1]) if len(parts) == 2 else ((), "")
        rest = rest.strip(SPACES)
        statement = Statement(keyword=keyword, flags=flags, line=line, lines=lines, source=source)
        if keyword not in KEYWORDS:
            raise _unknown(statement, parts[0])
        trigger = None
        words: tuple[str, ...] = ()
        listed = None
        if keyword in _JSON_OR_TEXT or keyword in _JSON_OR_WORDS:
            listed = _json_array(rest, statement)
        if listed is not None:
            words = listed
        elif keyword == "ONBUILD":
            trigger = self.split(rest, first) if rest else None
        elif keyword in _PAIRS:
            words = self.pairs(rest, statement)
        elif keyword == "ARG":
            words = self.quoted_words(rest)
        elif rest and (keyword in _JSON_OR_TEXT or keyword in _TEXT):
            words = (rest,)
        elif rest and keyword == "HEALTHCHECK":
            kind, *command = _GAP.split(rest, maxsplit=1)
            listed = _json_array(command[0], statement) if command else None
            words = (kind, *(command if listed is None else listed))
        elif rest:
            words = tuple(_GAP.split(rest))
        replace = msgspec.structs.replace
        return replace(statement, words=words, is_json=listed is not None, trigger=trigger)

    def pairs(self, rest: str, statement: Statement) -> tuple[str, ...]:
        words = self.quoted_words(rest)
        if not words:
            return ()
        if "=" not in words[0]:
            # The old form, one name and everything after it.
            old = _GAP.split(rest, maxsplit=1)
            if len(old) < 2:
                keyword = statement.keyword
                raise statement.fault(f"{keyword} {old[0]} has no value", f"write {keyword} {old[0]}=value")
            return (old[0], old[1])
        pairs: list[str] = []
        for word in words:
            name, equals, value = word.partition("=")
            if not equals:
                hint = f'a value with spaces needs quotes: {statement.keyword} name="two words"'
                raise statement.fault(f"there is no = in {word!r}", hint)
            pairs += (name, value)
        return tuple(pairs)

    def quoted_words(self, text: str) -> tuple[str, ...]:
        """Words split at spaces outside quotes; quotes and escapes stay in them."""
        words: list[str] = []
        word, quote, at = "", "", 0
        quoted = False
        while at < len(text):
            char = text[at]
            at += 1
            if not quote and char in SPACES:
                if word or quoted:
                    words.append(word)
                word, quoted = "", False
                continue
            if quote:
                quote = "" if char == quote else quote
            elif char in "'\"":
                quote, quoted = char, True
            if char == self.escape and quote != "'":
                if at == len(text):
                    break
                char += text[at]
                at += 1
            word += char
        if word or quoted:
            words.append(word)
        return tuple(words)

    def here_documents(self, statement: Statement, line: str, first: int) -> tuple[HereDocument, ...]:
        """Read the here-documents that ``line`` announces; their rows follow it."""
        if statement.keyword not in _WITH_HERE_DOCUMENTS or statement.is_json or "<<" not in line:
            return ()
        return tuple(self.here_document(found, first) for found in announced(line))

    def here_document(self, found: HereDocument, first: int) -> HereDocument:
        content: list[str] = []
        while self.at < len(self.rows):
            row = self.rows[self.at]
            self.at += 1
            end = row.rstrip("\r")
            if (end.lstrip("\t") if found.chomp else end) == found.name:
                return msgspec.structs.replace(found, content="".join(content))
            content.append(row + "\n")
        raise fault(
            f"the here-document <<{found.name} has no end",
            f"put {found.name} alone on a line after its last one",
            (first, self.at),
            self.source(first),
        )


def announced(line: str) -> tuple[HereDocument, ...]:
    """The here-documents that a line of shell announces, their content still empty."""
    try:
        words = raw_words(line)
    except ExpansionError:
        return ()
    return tuple(found for found in map(here_mark, words) if found is not None)


def here_mark(word: str) -> HereDocument | None:
    """Read one word as ``[n]<<[-]NAME``; ``None`` if it is something else."""
    match = _HERE.match(word)
    if match is None:
        return None
    try:
        names = raw_words(match.group(3))
    except ExpansionError:
        return None
    if len(names) != 1:
        return None
    raw = names[0]
    name = re.sub(r"\\(.)|['\"]", r"\1", raw)
    return HereDocument(name, "", name == raw, bool(match.group(2)), int(match.group(1) or 0))


def _flags(rest: str) -> tuple[tuple[str, ...], str]:
    """Leading ``--flag`` words, quotes and backslashes removed, and what follows them."""
    flags: list[str] = []
    at = 0
    while at < len(rest):
        if rest[at] in _BLANKS:
            at += 1
            continue
        if not rest.startswith("--", at):
            return tuple(flags), rest[at:]
        word, quote = "", ""
        while at < len(rest):
            char = rest[at]
            if not quote and char in _BLANKS:
                break
            at += 1
            if quote and char == quote:
                quote = ""
            elif not quote and char in "'\"":
                quote = char
            else:
                if char == "\\":
                    char = rest[at : at + 1]
                    at += 1
                word += char
        if word == "--":
            break
        flags.append(word)
    return tuple(flags), rest[at:]


def _json_array(text: str, statement: Statement) -> tuple[str, ...] | None:
    """The strings of a JSON array; ``None`` if ``text`` is no JSON, so the shell form.

    Like BuildKit's, this reader stops at the closing bracket: what follows does not count.
    """
    if not text.startswith("["):
        return None
    try:
        value = msgspec.json.decode(text)
    except UnicodeEncodeError:
        return None
    except (msgspec.DecodeError, RecursionError):
        from json import JSONDecoder

        try:
            value = JSONDecoder().raw_decode(text)[0]
        except (ValueError, RecursionError):
            return None
    if not all(isinstance(item, str) for item in value):
        raise statement.fault("the JSON array may hold strings only", 'for example ["sleep", "5"]')
    return tuple(value)


def _unknown(statement: Statement, written: str) -> DockerfileError:
    if not written:
        return statement.fault("there is no instruction in front of the continued line")
    hint = did_you_mean(statement.keyword, KEYWORDS)
    return statement.fault(
        f"there is no instruction {written}",
        hint
        or f"to run a command while the image is built, write RUN {' '.join(statement.line.split())[:60]}",
    )
