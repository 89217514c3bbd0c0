"""Extended attributes of files: which belong to a layer, and owners kept beside the file.

Only what means the same on every host travels in a layer: ``user.*``, file capabilities and POSIX
access lists. Marks of overlayfs and our own record never do, whoever put them there.

Where a host cannot give a file its owner (a user namespace of one id), the owner and the full mode
are recorded in ``user.sandcell.owner`` as ``uid:gid:mode``, the mode in octal. A record is believed
only where the caller says so: on other hosts a process in a container could forge one and have its
file owned by root in the image.
"""

import errno
import os
import re
import stat
from collections.abc import Mapping
from typing import Final

OWNER: Final = "user.sandcell.owner"

_OURS = ("user.overlay.", "user.sandcell.")
_CARRIED = frozenset(("security.capability", "system.posix_acl_access", "system.posix_acl_default"))
_CANNOT = frozenset(
    (errno.ENOTSUP, errno.EPERM, errno.EACCES, errno.EINVAL, errno.ERANGE, errno.ENOSPC, errno.E2BIG)
)
_RECORD = re.compile(rb"([0-9]{1,10}):([0-9]{1,10}):([0-7]{1,4})")
_NO_OWNER = frozenset((errno.EPERM, errno.EINVAL, errno.EACCES))


def carried(name: str) -> bool:
    """Does the attribute ``name`` belong to a layer?"""
    return name in _CARRIED or (name.startswith("user.") and not name.startswith(_OURS))


def read(fd: int) -> dict[str, bytes]:
    """The attributes of an open file or directory that belong to a layer."""
    try:
        names = os.listxattr(fd)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return {}
        raise
    return {name: os.getxattr(fd, name) for name in names if carried(name)} if names else {}


def write(fd: int, xattrs: Mapping[str, bytes]) -> bool:
    """Set those of ``xattrs`` that belong to a layer; ``False`` where the file system would not have one."""
    done = True
    for name, value in xattrs.items():
        if not carried(name):
            continue
        try:
            os.setxattr(fd, name, value)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            done = False
    return done


def own(fd: int, uid: int, gid: int, mode: int) -> bool:
    """Give an open file its owner and mode; record them beside it where the host refuses.

    ``False`` where even the record could not be kept. A refused owner takes the set-id bits with it:
    they would mean another user.
    """
    try:
        os.fchown(fd, uid, gid)
    except OSError as error:
        if error.errno not in _NO_OWNER:
            raise
        os.fchmod(fd, mode & 0o1777)
        try:
            os.setxattr(fd, OWNER, b"%d:%d:%o" % (uid, gid, mode))
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            return False
        return True
    # After the owner: a change of owner clears the set-id bits.
    os.fchmod(fd, mode)
    return True


def owner(fd: int, status: os.stat_result, *, recorded: bool) -> tuple[int, int, int]:
    """User, group and mode bits of an open file; with ``recorded`` those kept beside it, if any."""
    if recorded:
        try:
            found = _RECORD.fullmatch(os.getxattr(fd, OWNER))
        except OSError:
            found = None
        if found:
            return int(found[1]), int(found[2]), int(found[3], 8)
    return status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)
