"""Permission bits as ``--chmod`` writes them: octal, or symbolic as in chmod(1) (``u=rwX,go=rX``)."""

import re
from collections.abc import Callable
from typing import TypeAlias

Mode: TypeAlias = Callable[[int, bool], int]
"""New permission bits from the old ones; the second argument says that it is a directory."""

# Compiled when first used: a warm build needs few of them.
_OCTAL = r"[0-7]{1,6}"
_CLAUSE = r"([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)"
_ACTION = r"([-+=])([ugo]|[rwxXst]*)"
_WHO = {"u": 0o4700, "g": 0o2070, "o": 0o1007, "a": 0o7777}
_SHIFTS = {"u": 6, "g": 3, "o": 0}
_BITS = {"r": 0o444, "w": 0o222, "x": 0o111, "s": 0o6000, "t": 0o1000}
_LARGEST = 0o7777


class BadMode(ValueError):
    """Neither octal nor symbolic; the text says why."""


def read_mode(text: str) -> Mode:
    """What ``text`` does to permission bits; ``BadMode``. Without ``u``, ``g``, ``o`` all are meant,
    and no umask takes anything away."""
    if re.fullmatch(_OCTAL, text):
        fixed = int(text, 8)
        if fixed > _LARGEST:
            raise BadMode(f"{text} is more than 7777")
        return lambda _mode, _is_directory: fixed
    actions: list[tuple[str, str, str]] = []
    for clause in text.split(","):
        match = re.fullmatch(_CLAUSE, clause)
        if match is None:
            raise BadMode(f"{text!r} is neither an octal mode nor a symbolic one")
        actions += [(match[1] or "a", sign, what) for sign, what in re.findall(_ACTION, match[2])]

    def change(mode: int, is_directory: bool) -> int:
        for who, sign, what in actions:
            mode = _changed(mode, who, sign, what, is_directory)
        return mode

    return change


def _changed(mode: int, who: str, sign: str, what: str, is_directory: bool) -> int:
    reach = 0
    for one in who:
        reach |= _WHO[one]
    wanted = 0
    if what in _SHIFTS:
        three = mode >> _SHIFTS[what] & 0o7
        wanted = three << 6 | three << 3 | three
    else:
        for letter in what:
            # X: search for directories, and execution where somebody may execute already.
            if letter == "X":
                wanted |= 0o111 if is_directory or mode & 0o111 else 0
            else:
                wanted |= _BITS[letter]
    wanted &= reach
    if sign == "+":
        return mode | wanted
    if sign == "-":
        return mode & ~wanted
    # As chmod(1): set-id bits of a directory stay unless they are named.
    kept = 0o6000 if is_directory else 0
    return mode & ~(reach & ~kept) | wanted
