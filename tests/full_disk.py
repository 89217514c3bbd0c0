"""A disk that is full: a small tmpfs in a mount namespace of its own. For a child process."""

import os

from sandcell.runtime.linux import mounts
from sandcell.runtime.linux.syscall import CLONE_NEWNS, unshare


def mount(place: str, size: str) -> None:
    """Mount a tmpfs of ``size`` (``16k``, ``2m``) at ``place``; only this process and its children see it."""
    unshare(CLONE_NEWNS)
    mounts.mount(None, b"/", None, mounts.MS_REC | mounts.MS_PRIVATE)
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
