"""The log of a container: what it wrote, byte for byte, with stream and time of each piece.

A record is a line ``<seconds> <stream> <length>`` and then that many bytes and a newline, so the
file can be read by eye and no byte is changed. When it grows over ``LIMIT`` it becomes ``log.1``
and a new one begins; only one old one is kept.
"""

import os
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO, TypeAlias

import msgspec

LIMIT = 256 * 1024 * 1024
NAME = "log"
STDOUT = "stdout"
STDERR = "stderr"


class Output(msgspec.Struct, frozen=True):
    """A piece of output. ``stream``: stdout or stderr; ``time``: seconds since the epoch."""

    stream: str
    data: bytes
    time: float = 0.0


Listener: TypeAlias = Callable[[Output], None]


class Log:
    """The writer's side; one monitor writes, anybody reads. There is no file before the first output."""

    def __init__(self, directory: str, limit: int = LIMIT) -> None:
        self._path = f"{directory}/{NAME}"
        self._limit = limit
        self._fd = -1
        self._size = 0

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, stream: str, data: bytes) -> None:
        """Append one record. A full disk loses the piece, never the container."""
        record = b"%.6f %s %d\n%s\n" % (time.time(), stream.encode(), len(data), data)
        try:
            if self._fd < 0:
                self._fd = self._open()
                self._size = os.fstat(self._fd).st_size
            if self._size + len(record) > self._limit:
                self._turn_over()
            written = os.write(self._fd, record)
        except OSError:
            written = 0
        if written < len(record):
            # Cut a half-written record off again, so that what follows stays readable.
            if self._fd >= 0:
                os.ftruncate(self._fd, self._size)
        else:
            self._size += written

    def _turn_over(self) -> None:
        try:
            os.rename(self._path, self._path + ".1")
        except FileNotFoundError:
            pass  # the last time there was no room for a new one
        old, self._fd, self._size = self._fd, self._open(), 0
        os.close(old)

    def close(self) -> None:
        """Close the file; what was written stays."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1


def read_log(directory: str) -> Iterator[Output]:
    """The records of a log, oldest first; a record still being written ends the reading."""
    files = opened(directory)
    try:
        for file in files:
            while (record := read_record(file)) is not None:
                yield record
    finally:
        for file in files:
            file.close()


def opened(directory: str) -> list[BinaryIO]:
    """The files of a log, oldest first, as they are at one moment, to be closed by the caller."""
    old = f"{directory}/{NAME}.1"
    while True:
        found: list[BinaryIO] = []
        for path in (old, f"{directory}/{NAME}"):
            try:
                found.append(open(path, "rb"))  # noqa: SIM115
            except FileNotFoundError:
                continue
        try:
            if not found or os.path.samestat(os.fstat(found[0].fileno()), os.stat(old)):
                return found
        except FileNotFoundError:
            return found
        # It was turned over while we opened the one and then the other: the one between them is missing.
        for file in found:
            file.close()


def read_record(file: BinaryIO) -> Output | None:
    """The next record, or ``None`` where there is none, or none that is complete."""
    header = file.readline()
    fields = header.split()
    if len(fields) != 3 or not header.endswith(b"\n"):
        return None
    data = file.read(int(fields[2]) + 1)
    if len(data) != int(fields[2]) + 1:
        return None
    return Output(fields[1].decode(), data[:-1], float(fields[0]))


def tail(pieces: Iterator[Output], lines: int) -> Iterator[Output]:
    """The last ``lines`` lines of the output, streams and times kept."""
    kept: list[Output] = []
    total = 0
    for piece in pieces:
        kept.append(piece)
        total += piece.data.count(b"\n")
        # One more line than asked for, so that the first one kept is whole.
        while total - kept[0].data.count(b"\n") > lines:
            total -= kept.pop(0).data.count(b"\n")
    return _last_lines(kept, lines)


def _last_lines(kept: list[Output], lines: int) -> Iterator[Output]:
    whole = b"".join(piece.data for piece in kept)
    # The end of the line before the first one wanted; a last line may lack its end.
    skip = len(whole) if not lines else len(whole) - 1
    for _ in range(lines):
        skip = whole.rfind(b"\n", 0, skip)
        if skip < 0:
            break
    skip += 1 if lines else 0
    for piece in kept:
        if skip >= len(piece.data):
            skip -= len(piece.data)
            continue
        yield Output(piece.stream, piece.data[skip:], piece.time)
        skip = 0
