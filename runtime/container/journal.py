"""What befalls containers, told to whoever listens: a file of lines in the run directory.

The file is there only while somebody listens, so that nobody else pays for it; each line is one JSON
object, written at once. The last listener takes it away. open(2), O_APPEND; flock(2).
"""

import fcntl
import os
import time
from collections.abc import Iterator
from typing import Any

import msgspec

NAME = "events"

_encoder = msgspec.json.Encoder()


def tell(run: str, action: str, id: str, **more: Any) -> None:
    """Write a line if somebody listens in the run directory ``run``; what fails is not told."""
    try:
        fd = os.open(f"{run}/{NAME}", os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.write(fd, _encoder.encode({"time": time.time(), "action": action, "id": id, **more}) + b"\n")
    except OSError:
        pass  # no room: whoever listens misses it, and nothing else suffers
    finally:
        os.close(fd)


class Listener:
    """Hears every line that is written from its making on."""

    def __init__(self, run: str) -> None:
        self._path = f"{run}/{NAME}"
        self._fd = self._join()
        self._at = os.fstat(self._fd).st_size
        self._rest = b""

    def _join(self) -> int:
        while True:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(fd, fcntl.LOCK_SH)
            if os.fstat(fd).st_nlink:
                return fd
            os.close(fd)  # the last listener took it away meanwhile

    def read(self) -> Iterator[dict[str, Any]]:
        """The lines since the last time."""
        while data := os.pread(self._fd, 1 << 16, self._at):
            self._at += len(data)
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                yield msgspec.json.decode(line)

    def close(self) -> None:
        """Listen no more."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(self._path)
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(self._fd)
