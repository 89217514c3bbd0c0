"""Owners kept beside files, for where a host cannot give a file its own: a user namespace of one id.

``user.sandcell.owner`` is ``uid:gid:mode``, the mode in octal; of the mode only the set-id bits count,
for the others are real. It copies up with its file, and goes into no layer as it is. Only files and
directories can have one: xattr(7), "User extended attributes". ``user.sandcell.unrecorded`` on the
root of a tree tells how many other files were given an owner that is kept nowhere.
"""

import os
import re
from typing import Final

OWNER: Final = "user.sandcell.owner"
UNRECORDED: Final = "user.sandcell.unrecorded"
SET_ID: Final = 0o6000

_RECORD = re.compile(rb"([0-9]{1,10}):([0-9]{1,10}):([0-7]{1,4})")


def record(uid: int, gid: int, mode: int) -> bytes:
    """The value of ``OWNER``."""
    return b"%d:%d:%o" % (uid, gid, mode)


def recorded(path: int | str) -> tuple[int, int, int] | None:
    """User, group and set-id bits that are kept beside a file; ``None`` where nothing is."""
    try:
        found = _RECORD.fullmatch(os.getxattr(path, OWNER))
    except OSError:
        return None
    return (int(found[1]), int(found[2]), int(found[3], 8) & SET_ID) if found else None


def unrecorded(path: int | str) -> int:
    """How many files of the tree at ``path`` have lost their owner."""
    try:
        value = os.getxattr(path, UNRECORDED)
    except OSError:
        return 0
    return int(value) if value.isdigit() else 1
