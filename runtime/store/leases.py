"""What is in use although no name leads to it, so that ``prune`` leaves it alone.

Two kinds. A *hold* lists digests and stays until it is released, whoever dies: a container holds the
manifest of its image. A *working* lease belongs to a process and protects whatever that writes or
touches meanwhile: blobs of a build that has no name yet.
"""

import fcntl
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import msgspec

from sandcell.runtime.layer.disk import refused
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.store.files import Litter, Locks, replace

_WORKING = "working-"
_HOLD = "hold-"


class Leases:
    """``path``: the directory of lease files."""

    def __init__(self, path: str, litter: Litter, locks: Locks) -> None:
        self._path = path
        self._litter = litter
        self._locks = locks

    def hold(self, owner: str, digests: Iterable[Digest]) -> None:
        """Keep ``digests`` and what they lead to until ``owner`` releases them. Replaces an earlier hold.

        ``owner``: letters, digits, '-', '_' and '.', for instance a container's id.
        """
        replace(
            f"{self._path}/{_HOLD}{owner}", msgspec.json.encode([str(one) for one in digests]), self._litter
        )

    def release(self, owner: str) -> None:
        """End the hold of ``owner``; no hold is fine."""
        try:
            os.unlink(f"{self._path}/{_HOLD}{owner}")
        except FileNotFoundError:
            pass

    def held(self) -> dict[str, tuple[Digest, ...]]:
        """All holds by owner."""
        found = {}
        for name in os.listdir(self._path):
            if name.startswith(_HOLD):
                try:
                    with open(f"{self._path}/{name}", "rb") as file:
                        digests = msgspec.json.decode(file.read(), type=list[str])
                except (FileNotFoundError, msgspec.MsgspecError):
                    continue
                found[name.removeprefix(_HOLD)] = tuple(Digest(one) for one in digests)
        return found

    @contextmanager
    def working(self) -> Iterator[None]:
        """What this process writes or touches in the with statement is kept, until it ends or dies."""
        path = f"{self._path}/{_WORKING}{secrets.token_hex(8)}"
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
                if not name.startswith(_WORKING):
                    continue
                path = f"{self._path}/{name}"
                try:
                    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                except FileNotFoundError:
                    continue
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(path)
                except BlockingIOError:
                    times.append(os.fstat(fd).st_mtime_ns)
                except FileNotFoundError:
                    pass
                finally:
                    os.close(fd)
        return min(times)
