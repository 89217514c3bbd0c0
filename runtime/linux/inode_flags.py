"""Flags of a file's inode, as chattr(1) sets them. ioctl_iflags(2)"""

import fcntl
import os
import struct

_GET, _SET = 0x80086601, 0x40086602  # of a C long; the kernel takes an int
_TOP = 0x00020000  # FS_TOPDIR_FL


def spread(directory: str) -> None:
    """Let the file system keep the directories below ``directory`` apart: they have nothing to do with
    each other (chattr(1), T). Nothing where it knows no such hint.

    An ext4 without a journal gives no inode away that was deleted in the last minutes, and looks at all
    of those near the parent for each new one. Containers come and go, and this was a third of a start.
    """
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        (flags,) = struct.unpack("l", fcntl.ioctl(fd, _GET, bytes(struct.calcsize("l"))))
        if not flags & _TOP:
            fcntl.ioctl(fd, _SET, struct.pack("l", flags | _TOP))
    except OSError:
        pass
    finally:
        os.close(fd)
