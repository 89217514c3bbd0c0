"""Hearing of every change in a store at once: its containers, and what the names of images mean."""

import os
import time

import msgspec

from sandcell.runtime.container.journal import Listener
from sandcell.runtime.engine.places import Places
from sandcell.runtime.linux.inotify import Watch


class Changed(msgspec.Struct, frozen=True):
    """What changed since the last time. ``containers``: their ids, each once, in order; ``names``:
    whether a name of an image came, went or moved."""

    containers: tuple[str, ...] = ()
    names: bool = False


class Watching:
    """Every change from its making on; to be closed, or used with ``with``. inotify(7)."""

    def __init__(self, places: Places) -> None:
        self._index = f"{places.home}/layout/index.json"
        self._watch = Watch(places.run, f"{places.home}/layout")
        self._listener = Listener(places.run)
        self._names = self._version()
        self._waker, self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def next(self, timeout: float | None = None) -> Changed:
        """What has changed; waits until something has, for ``timeout`` seconds at most, or until
        ``wake`` is called."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            ids = tuple(dict.fromkeys(str(line["id"]) for line in self._listener.read()))
            version = self._version()
            moved, self._names = version != self._names, version
            left = None if deadline is None else deadline - time.monotonic()
            if ids or moved or (left is not None and left <= 0):
                return Changed(ids, moved)
            self._watch.wait(self._waker, timeout=left)
            try:
                if os.read(self._waker, 64):
                    deadline = 0.0
            except BlockingIOError:
                pass

    def wake(self) -> None:
        """Let ``next`` return soon. May be called from another thread."""
        try:
            os.write(self._wake, b"w")
        except BlockingIOError:
            pass  # it has not yet heard of those before

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()
        self._watch.close()
        os.close(self._waker)
        os.close(self._wake)

    def __enter__(self) -> "Watching":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _version(self) -> tuple[int, int, int]:
        try:
            status = os.stat(self._index)
        except FileNotFoundError:
            return (0, 0, 0)
        return (status.st_ino, status.st_mtime_ns, status.st_size)
