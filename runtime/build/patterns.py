"""Patterns for paths: the wildcards of COPY, and .dockerignore with its order and exceptions.

Wildcards as Go's filepath.Match: ``*`` and ``?`` stay within one name, ``[a-z]`` and ``[^a-z]``, a
backslash protects. In .dockerignore also ``**`` for any number of directories, and ``!`` to take
back in what an earlier line left out; the last line that matches decides (Dockerfile reference,
".dockerignore file").
"""

import re

from sandcell.runtime.errors import BadInput


class BadPattern(ValueError):
    """Not a pattern; the text says why."""


def has_wildcard(path: str) -> bool:
    """Does COPY read this as a pattern?"""
    return any(char in path for char in "*?[\\")


def compile_pattern(pattern: str, *, deep: bool = False) -> re.Pattern[str]:
    """A regular expression for whole names (``deep``: for whole paths, with ``**``); ``BadPattern``."""
    out: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if deep and char == "*" and pattern.startswith("*", at):
            at += 1
            if at == len(pattern) or pattern[at:] == "/":
                out.append(".*")
                break
            if pattern[at] == "/":
                at += 1
            out.append("(?:.*/)?")
        elif char == "*":
            out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif char == "[":
            found, at = _set(pattern, at)
            out.append(found)
        elif char == "\\":
            if at == len(pattern):
                raise BadPattern(f"{pattern!r} ends with a backslash")
            out.append(re.escape(pattern[at]))
            at += 1
        else:
            out.append(re.escape(char))
    try:
        return re.compile("".join(out), re.DOTALL)
    except re.error:
        raise BadPattern(f"{pattern!r} has a range that is none") from None


def _set(pattern: str, at: int) -> tuple[str, int]:
    """The set that begins after ``[`` at ``at``, and where what follows it begins."""
    out = ["["]
    if pattern.startswith("^", at):
        out.append("^/")
        at += 1
    first, begun, after = True, False, False  # may a range begin before this character; did one?
    while at < len(pattern):
        char = pattern[at]
        if char == "]" and not first:
            return "".join(out) + "]", at + 1
        first = False
        if char == "-" and begun:
            out.append("-")
            begun, after = False, True
        else:
            if char == "\\" and at + 1 < len(pattern):
                at += 1
            out.append(re.escape(pattern[at]))
            begun, after = not after, False
        at += 1
    raise BadPattern(f"{pattern!r} has a [ without its ]")


def clean(path: str) -> str:
    """``path`` without empty, ``.`` and resolvable ``..`` parts and without a slash at its ends."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


class IgnoreRules:
    """The lines of a .dockerignore file. Paths are relative to the context, with ``/``."""

    def __init__(self, text: str = "") -> None:
        """Read the file's text; ``BadInput`` names the line that is no pattern."""
        self._rules: list[tuple[bool, str, re.Pattern[str]]] = []
        for number, row in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
            line = row.strip()
            if not line or row.startswith("#"):
                continue
            exception = line.startswith("!")
            pattern = clean(line.removeprefix("!").strip())
            try:
                if not pattern and exception:
                    raise BadPattern("there is no pattern after !")
                # The root itself is the context; leaving it out would leave nothing.
                if pattern:
                    self._rules.append((exception, line, compile_pattern(pattern, deep=True)))
            except BadPattern as error:
                raise BadInput("read", f".dockerignore, line {number}", str(error)) from None

    def __bool__(self) -> bool:
        return bool(self._rules)

    @property
    def has_exceptions(self) -> bool:
        """May something below an excluded directory be taken back in?"""
        return any(exception for exception, _, _ in self._rules)

    def excluded_by(self, path: str) -> str:
        """The line that leaves ``path`` out, by itself or with a directory above it; else empty."""
        if not self._rules:
            return ""
        above = [path]
        while "/" in above[-1]:
            above.append(above[-1].rpartition("/")[0])
        decided = ""
        for exception, line, pattern in self._rules:
            # Only a rule that would change the decision needs to be tried.
            if exception == bool(decided) and any(pattern.fullmatch(one) for one in above):
                decided = "" if exception else line
        return decided


NOTHING_IGNORED = IgnoreRules()
"""The rules of a context without a .dockerignore."""
