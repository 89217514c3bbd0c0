"""Directories that a RUN step writes into, which no crash leaves behind for ever.

Each has a locked file of the same name among the store's temporary files: whose lock is free, its
maker is dead.
"""

import fcntl
import os
from collections.abc import Callable
from types import TracebackType
from typing import Self

from sandcell.runtime.layer.disk import refused
from sandcell.runtime.store import Store
from sandcell.runtime.store.worker import REMOVE, Worker


class Scratch:
    """Two empty directories, ``upper`` and ``work``, and more by ``directory``, as long as the with
    statement lasts."""

    def __init__(self, store: Store, worker: Worker) -> None:
        self._store = store
        self._worker = worker

    def __enter__(self) -> Self:
        try:
            self._token, self._lock = self._store.litter.new()
        except OSError as error:
            raise refused(error, "build", "step") from error
        self._path = f"{_home(self._store)}/{os.path.basename(self._token)}"
        try:
            self.upper, self.work = self.directory("upper"), self.directory("work")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def directory(self, name: str) -> str:
        """One more empty directory, mode 755."""
        path = f"{self._path}/{name}"
        try:
            os.makedirs(path)
            # Maybe a tree's root, which everybody in it must be able to enter.
            os.chmod(path, 0o755)
        except OSError as error:
            raise refused(error, "build", "step") from error
        return path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worker.run(REMOVE, {"path": self._path})
        os.unlink(self._token)
        os.close(self._lock)


def clear(store: Store, worker: Callable[[], Worker]) -> list[str]:
    """Delete what builds that died left behind; gives the names. May be repeated at any time.

    ``worker`` is asked for only where there is something to delete: to know it takes a look at the host.
    """
    home = _home(store)
    gone = []
    try:
        names = os.listdir(home)
    except FileNotFoundError:
        return []
    for name in names:
        if not _in_use(f"{store.litter.path}/{name}"):
            worker().run(REMOVE, {"path": f"{home}/{name}"})
            gone.append(name)
    return gone


def _home(store: Store) -> str:
    return f"{store.home}/scratch"


def _in_use(token: str) -> bool:
    try:
        fd = os.open(token, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
