"""A disk that is full: a small tmpfs in a mount namespace of its own. For a child process."""

import os

from sandcell.runtime.linux import idmap, mounts
from sandcell.runtime.linux.syscall import CLONE_NEWNS, CLONE_NEWUSER, unshare


def own_mounts() -> None:
    """Let this process mount what nobody else sees; who is not root becomes root of a user namespace."""
    ids = idmap.for_user(os.getuid(), os.getgid(), None, None)
    if os.geteuid() == 0:
        unshare(CLONE_NEWNS)
    else:
        unshare(CLONE_NEWNS | CLONE_NEWUSER)
        idmap.write(os.getpid(), ids)
    mounts.mount(None, b"/", None, mounts.MS_REC | mounts.MS_PRIVATE)


def mount(place: str, size: str) -> None:
    """Mount a tmpfs of ``size`` (``16k``, ``2m``) at ``place``; only this process and its children see it."""
    own_mounts()
    mounts.mount(b"tmpfs", place.encode(), b"tmpfs", 0, f"size={size}".encode())


def fill(place: str, leave: int = 0) -> None:
    """Let the file ``filler`` take all the room there, but for ``leave`` bytes."""
    with open(f"{place}/filler", "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
        file.truncate(max(0, file.tell() - leave))


def free(place: str) -> None:
    """Make room again."""
    os.unlink(f"{place}/filler")
