"""How a layer says "deleted", in an archive and on disk.

In an archive (image-spec, layer.md, "Whiteouts"): an empty file ``.wh.NAME`` deletes ``NAME`` of the
layers below, ``.wh..wh..opq`` deletes everything below its directory. On disk, as overlayfs wants
it: a character device 0/0 called ``NAME`` (where that may not be made, a socket that nobody may use: no
layer holds sockets), and the attribute ``<flavour>.overlay.opaque`` = ``y`` on
the directory (kernel documentation, filesystems/overlayfs.rst).
"""

import os
import stat
from typing import Final, Literal, TypeAlias

XattrFlavour: TypeAlias = Literal["trusted", "user"]
"""Where overlayfs keeps its marks: ``trusted`` for root, ``user`` in a user namespace (``userxattr``)."""

PREFIX: Final = b".wh."
OPAQUE: Final = b".wh..wh..opq"
META: Final = b".wh..wh."
"""Other names beginning so are bookkeeping of old storage drivers and mean nothing."""

_MARKS = {"trusted": "trusted.overlay.opaque", "user": "user.overlay.opaque"}


def is_whiteout(status: os.stat_result) -> bool:
    """Is this, on disk, the mark of a deleted file?"""
    if stat.S_ISCHR(status.st_mode):
        return status.st_rdev == 0
    return stat.S_ISSOCK(status.st_mode) and not stat.S_IMODE(status.st_mode)


def make_whiteout(name: bytes, dirfd: int) -> None:
    """Put the mark of a deleted ``name`` into a directory. Needs no privilege since Linux 5.8."""
    try:
        os.mknod(name, stat.S_IFCHR | 0o600, 0, dir_fd=dirfd)
    except PermissionError:
        # In an overlay the mark is not to be made by others; there layers are not mounted but copied.
        os.mknod(name, stat.S_IFSOCK, dir_fd=dirfd)


def is_opaque(target: int | str) -> bool:
    """Does this directory (a descriptor or a path) hide the layers below, in either flavour?"""
    for mark in _MARKS.values():
        try:
            if os.getxattr(target, mark) == b"y":
                return True
        except OSError:
            pass
    return False


def make_opaque(dirfd: int, flavour: XattrFlavour) -> None:
    """Let this directory hide what is below it."""
    os.setxattr(dirfd, _MARKS[flavour], b"y")
