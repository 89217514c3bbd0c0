"""What a kept container is known by must outlive a loss of power: its records, its name, its last state.

Bringing them to the disk takes some milliseconds for each file, which a start has not. So the monitor does
it while the container runs, or at its end: unmounting an overlay syncs the file system below it, so one
that ends soon needs nothing more. What a container wrote is its own to sync, as on any disk; one that is
removed at its end is not kept.
"""

import os
from collections.abc import Callable

from sandcell.runtime.linux.syscall import close_range

SOON = 1.0
"""Seconds in which many containers end."""

# What containers write, and could put something else in the place of.
_THEIRS = ("log", "log.1", "upper", "work", "rootfs", "volumes", "out", "exec")


def keep(home: str, sync: Callable[[int], None] = os.fsync) -> None:
    """Bring the files of the container in the directory ``home`` to the disk, then the names that lead to
    them; not what it wrote. ``sync`` as fsync(2). ``OSError``: not all of it is there. May be repeated."""
    above = os.path.dirname(home)
    folders = [home]
    for folder in folders:
        for entry in os.scandir(folder):
            if entry.name in _THEIRS:
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            elif entry.is_file(follow_symlinks=False):
                _sync(entry.path, 0, sync)
    for folder in (*reversed(folders), above, f"{os.path.dirname(above)}/names"):
        _sync(folder, os.O_DIRECTORY, sync)


def _sync(path: str, flags: int, sync: Callable[[int], None]) -> None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | flags)
    except FileNotFoundError:
        return  # what is replaced just now is synced by whoever replaces it
    try:
        sync(fd)
    finally:
        os.close(fd)


class Keeper:
    """A child of the monitor's that does ``keep`` while the container runs and its output flows."""

    def __init__(self, home: str) -> None:
        self._home = home
        self._child = -1

    def begin(self) -> int:
        """Start the child; a pidfd that can be read when it has ended."""
        pid = os.fork()
        if pid == 0:
            try:
                close_range(3)  # nobody shall wait for what only it holds open
                keep(self._home)
            finally:
                os._exit(0)
        self._child = os.pidfd_open(pid)
        return self._child

    def collect(self) -> bool:
        """Wait until it has ended, where there is one. May be repeated; always false."""
        if self._child >= 0:
            try:
                os.waitid(os.P_PIDFD, self._child, os.WEXITED)
            except ChildProcessError:
                pass
            os.close(self._child)
        self._child = -1
        return False
