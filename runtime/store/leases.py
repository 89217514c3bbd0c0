"""Work in progress, so that ``prune`` leaves alone what no name leads to yet.

A lease belongs to a process and ends with it, however that ends. It protects whatever is written or
touched in the store from its beginning on: the blobs of a build, the layers of a container to be.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from sandcell.runtime.layer.disk import refused
from sandcell.runtime.store.files import Locks, unlink_abandoned


class Leases:
    """``path``: the directory of lease files."""

    def __init__(self, path: str, locks: Locks) -> None:
        self._path = path
        self._locks = locks

    @contextmanager
    def working(self) -> Iterator[None]:
        """What this process writes or touches in the with statement is kept, until it ends or dies."""
        path = f"{self._path}/{os.urandom(8).hex()}"
        try:
            with self._locks.hold("leases", shared=True):
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                fcntl.flock(fd, fcntl.LOCK_EX)
        except OSError as error:
            raise refused(error, "write", path) from error
        try:
            yield
        finally:
            os.unlink(path)
            os.close(fd)

    def oldest_work(self) -> int:
        """Since when (nanoseconds, as file times) somebody is working, at the latest now.

        Clears the leases of the dead.
        """
        os.utime(self._path)
        # The clock that stamps files is not quite the one that time.time_ns reads.
        times = [os.stat(self._path).st_mtime_ns]
        with self._locks.hold("leases"):
            for name in os.listdir(self._path):
                living = unlink_abandoned(f"{self._path}/{name}")
                if living is not None:
                    times.append(living.st_mtime_ns)
        return min(times)
