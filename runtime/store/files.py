"""Files that appear complete or not at all, and locks between processes."""

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sandcell.runtime.layer.disk import refused
from sandcell.runtime.linux.durable import sync_directory
from sandcell.runtime.linux.trees import remove

_LONGEST_TRIAL = 600
"""Seconds after which nobody tries any more what the host allows here."""


class Litter:
    """The directory of temporary files. Who makes one holds a lock on it as long as it is in use.

    ``locks``: the directory of lock files of the same store.
    """

    def __init__(self, path: str, locks: "Locks") -> None:
        self.path = path
        self._locks = locks

    def new(self) -> tuple[str, int]:
        """A new empty file: its path, and a descriptor to write to. Closing that gives it up to ``prune``."""
        # Shared here, alone in prune: nobody finds a file between its making and its lock.
        with self._locks.hold("tmp", shared=True):
            path = f"{self.path}/{os.urandom(8).hex()}"
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            fcntl.flock(fd, fcntl.LOCK_EX)
        return path, fd

    def named(self, name: str) -> tuple[str, int] | None:
        """The file ``name`` that somebody left behind, or a new one; ``None`` while it is in use."""
        with self._locks.hold("tmp", shared=True):
            path = f"{self.path}/{name}"
            while True:
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    # Its last user may have given it another name, or deleted it.
                    if os.path.samestat(os.fstat(fd), os.stat(path)):
                        return path, fd
                except BlockingIOError:
                    os.close(fd)
                    return None
                except FileNotFoundError:
                    pass
                os.close(fd)

    def clear(self, *, dry_run: bool = False) -> dict[str, int]:
        """Delete the files of processes that have ended, and the directories where a host was tried. By name
        the bytes of the files that held any. ``dry_run``: they stay."""
        gone: dict[str, int] = {}
        with self._locks.hold("tmp"):
            for name in sorted(os.listdir(self.path)):
                path = f"{self.path}/{name}"
                with suppress(FileNotFoundError):
                    status = os.stat(path)
                    if stat.S_ISDIR(status.st_mode):
                        if not dry_run and time.time() - status.st_mtime > _LONGEST_TRIAL:
                            remove(path)
                    elif unlink_abandoned(path, dry_run=dry_run) is None and status.st_size:
                        gone[name] = status.st_size
        return gone


class Locks:
    """Named locks between processes and threads (flock(2)); the kernel frees those of the dead."""

    def __init__(self, path: str) -> None:
        self.path = path

    @contextmanager
    def hold(self, name: str, *, shared: bool = False) -> Iterator[None]:
        """Hold the lock ``name`` in a with statement, waiting for it. Not reentrant."""
        fd = self._open(name)
        try:
            self._lock(fd, name, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    @contextmanager
    def attempt(self, name: str) -> Iterator[bool]:
        """Hold the lock alone if nobody holds it; the with statement's value tells whether."""
        fd = self._open(name)
        try:
            yield self._lock(fd, name, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(fd)

    def forget(self, name: str) -> None:
        """Delete a lock that nobody will ask for any more."""
        with suppress(OSError):
            os.unlink(f"{self.path}/{name}")

    def _lock(self, fd: int, name: str, how: int) -> bool:
        try:
            fcntl.flock(fd, how)
        except BlockingIOError:
            return False
        except OSError as error:
            raise refused(error, "lock", name) from error
        return True

    def _open(self, name: str) -> int:
        try:
            return os.open(f"{self.path}/{name}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise refused(error, "lock", name) from error


def replace(path: str, data: bytes, litter: Litter, *, synced: bool = True) -> None:
    """Let ``path`` hold ``data``: readers see the old or the new bytes, after a crash too.

    Not ``synced``: after a crash of the machine the file may be empty. ``StoreFull`` leaves the old one.
    """
    try:
        temporary, fd = litter.new()
        try:
            write_all(fd, data)
            if synced:
                os.fsync(fd)
            os.rename(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        finally:
            os.close(fd)
        if synced:
            sync_directory(os.path.dirname(path))
    except OSError as error:
        raise refused(error, "write", path) from error


def unlink_abandoned(path: str, *, dry_run: bool = False) -> os.stat_result | None:
    """Delete a file whose lock nobody holds; tell the status of one in use. ``dry_run``: it stays."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not dry_run:
            os.unlink(path)
    except BlockingIOError:
        return os.fstat(fd)
    except FileNotFoundError:
        pass
    finally:
        os.close(fd)
    return None


def write_all(fd: int, data: bytes | memoryview) -> None:
    """write(2) until all is written."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
