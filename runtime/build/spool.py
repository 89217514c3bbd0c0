"""A temporary file for contents that come in another order than they are needed in."""

import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Self

from sandcell.runtime.layer.disk import refused
from sandcell.runtime.store.files import Litter, write_all


class Spool:
    """Contents put in and taken out in any order, as long as the with statement lasts; what is entered
    into ``held`` lasts as long."""

    def __init__(self, litter: Litter) -> None:
        self._litter = litter
        self._size = 0
        self.held = ExitStack()

    def __enter__(self) -> Self:
        try:
            path, self._fd = self._litter.new()
        except OSError as error:
            raise refused(error, "build", "temporary file") from error
        os.unlink(path)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)
        self.held.close()

    def put(self, pieces: Iterable[bytes | memoryview]) -> "Callable[[], Segment]":
        """Keep a content; gives what opens it. ``StoreFull``."""
        start = self._size
        try:
            for piece in pieces:
                write_all(self._fd, piece)
                self._size += len(piece)
        except OSError as error:
            raise refused(error, "build", "temporary file") from error
        return partial(Segment, self._fd, start, self._size)


class Segment:
    """One content of a spool, read from its beginning."""

    def __init__(self, fd: int, at: int, end: int) -> None:
        self._fd = fd
        self._at = at
        self._end = end

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes, none at the end."""
        data = os.pread(self._fd, min(size, self._end - self._at), self._at)
        self._at += len(data)
        return data

    def close(self) -> None:
        """Nothing is held."""
