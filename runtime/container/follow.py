"""Reading a log while it is written, over its turns: what is there, and what comes."""

import os
from collections.abc import Callable, Iterator
from typing import BinaryIO

from sandcell.runtime.container.output import Output, opened, read_record
from sandcell.runtime.linux.inotify import Watch

_LOOK_AGAIN = 2.0  # seconds; only whoever is killed in between is noticed so late


class Reader:
    """The records of the log in ``directory``, each once, also of those written between two reads.

    A log that is turned over twice while nobody reads has lost its middle.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._file: BinaryIO | None = None

    def read(self) -> Iterator[Output]:
        """All that is complete now and has not been read."""
        while True:
            newer = self._newer()
            # In this order: what the writer adds before it turns over is in the file by now.
            if self._file is not None:
                yield from self._rest(self._file)
            if newer is None:
                return
            if self._file is not None:
                self._file.close()
            self._file = newer

    def _rest(self, file: BinaryIO) -> Iterator[Output]:
        while True:
            begin = file.tell()
            record = read_record(file)
            if record is None:
                file.seek(begin)
                return
            yield record

    def _newer(self) -> BinaryIO | None:
        """The file after ours, the oldest one at first; ``None`` when ours is the newest."""
        found = opened(self._directory)
        numbers = [os.fstat(file.fileno()).st_ino for file in found]
        ours = -1 if self._file is None else os.fstat(self._file.fileno()).st_ino
        after = numbers.index(ours) + 1 if ours in numbers else 0
        chosen = found[after] if after < len(found) else None
        for file in found:
            if file is not chosen:
                file.close()
        return chosen

    def close(self) -> None:
        """Close the file it reads."""
        if self._file is not None:
            self._file.close()


def follow(directory: str, run: str, ended: Callable[[], bool]) -> Iterator[Output | None]:
    """The records of a log, then ``None`` once, then those that come until ``ended`` says so.

    ``run``: the directory of run state, in which the end is written down after the last record.
    """
    watch = Watch(directory, run)
    reader = Reader(directory)
    try:
        told = False
        while True:
            over = ended()
            yield from reader.read()
            if not told:
                yield None
                told = True
            if over:
                return
            watch.wait(timeout=_LOOK_AGAIN)
    finally:
        reader.close()
        watch.close()
