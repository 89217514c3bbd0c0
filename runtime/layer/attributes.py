"""Extended attributes of files: which belong to a layer, and owners kept beside the file.

Only what means the same on every host travels in a layer: ``user.*``, file capabilities and POSIX
access lists. Marks of overlayfs and our own record never do, whoever put them there.

Where a host cannot give a file its owner it is recorded beside it (``linux/ownership``). A record is
believed only where the caller says so: on other hosts a process in a container could forge one and
have its file owned by root in the image.
"""

import errno
import os
import stat
from collections.abc import Mapping

from sandcell.runtime.linux.ownership import OWNER, record
from sandcell.runtime.linux.ownership import recorded as kept_beside

_OURS = ("user.overlay.", "user.sandcell.")
_CARRIED = frozenset(("security.capability", "system.posix_acl_access", "system.posix_acl_default"))
_CANNOT = frozenset(
    (errno.ENOTSUP, errno.EPERM, errno.EACCES, errno.EINVAL, errno.ERANGE, errno.ENOSPC, errno.E2BIG)
)
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


def write(fd: int, uid: int, gid: int, mode: int, xattrs: Mapping[str, bytes]) -> bool:
    """Give an open file its owner, the attributes that belong to a layer, and its mode.

    An owner that the host refuses is recorded beside the file; it takes the set-id bits with it, for
    they would mean another user. ``False`` where something could not be given, or not even recorded.
    """
    given = {name: value for name, value in xattrs.items() if carried(name)}
    try:
        # First of all: it clears the set-id bits and file capabilities.
        os.fchown(fd, uid, gid)
    except OSError as error:
        if error.errno not in _NO_OWNER:
            raise
        given[OWNER] = record(uid, gid, mode)
        mode &= 0o1777
    done = True
    for name, value in given.items():
        try:
            os.setxattr(fd, name, value)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            done = False
    # Last: a plain user needs to write a file to set its attributes.
    os.fchmod(fd, mode)
    return done


def owner(fd: int, status: os.stat_result, *, recorded: bool) -> tuple[int, int, int]:
    """User, group and mode bits of an open file; with ``recorded`` what is kept beside it counts."""
    mode = stat.S_IMODE(status.st_mode)
    beside = kept_beside(fd) if recorded else None
    return (beside[0], beside[1], mode | beside[2]) if beside else (status.st_uid, status.st_gid, mode)
