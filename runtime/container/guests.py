"""Clients who come to a container that runs already: ``attach``.

The monitor listens at a socket in the run directory, which only its user can enter. A guest sends
``jobs.Attach`` with two pipes for what is written from then on; they hear ``Started``, and with it
get what leads to the standard input where that is kept open: the write end of its pipe, or the
terminal's master. Guests come and go as they like, and the container never notices.
"""

import os
import socket
from collections.abc import Callable

import msgspec

from sandcell.runtime.container import jobs
from sandcell.runtime.container.output import STDERR, STDOUT
from sandcell.runtime.container.pump import Pump, Sink
from sandcell.runtime.linux import process

NAME = "attach"
_MOST_FDS = 2


class Guests:
    """The door for guests of the container whose first process is ``pid``.

    ``keyboard``: what leads to its standard input, -1 for nothing; it stays the caller's. ``ask`` does
    what a guest asks and tells whether they stay: see ``monitor.answer``.
    """

    def __init__(
        self, run: str, pump: Pump, pid: int, keyboard: int, ask: Callable[[jobs.Request], bool]
    ) -> None:
        self._pump = pump
        self._pid = pid
        self._keyboard = keyboard
        self._ask = ask
        self._inside: dict[socket.socket, list[Sink]] = {}
        self._door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        with _Place(run) as path:
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass
            self._door.bind(path)
        self._door.listen(8)
        pump.watch(self._door.fileno(), self._let_in)

    def _let_in(self) -> bool:
        guest, _ = self._door.accept()
        guest.settimeout(1)  # who says nothing shall not keep the output of others
        self._pump.watch(guest.fileno(), lambda: self._hear(guest))
        return True

    def _hear(self, guest: socket.socket) -> bool:
        try:
            received = process.receive(guest, _MOST_FDS)
            if received is None:
                return self._let_out(guest)
            request, fds = jobs.decode_request(received[0]), received[1]
            if isinstance(request, jobs.Attach):
                self._seat(guest, fds)
            elif not self._ask(request):
                process.send(guest, jobs.encode(jobs.Detached()))
                return self._let_out(guest)
        except (OSError, msgspec.DecodeError):
            return self._let_out(guest)
        return True

    def _seat(self, guest: socket.socket, fds: list[int]) -> None:
        names = (STDOUT, STDERR)
        self._inside[guest] = [self._pump.join(name, fd) for name, fd in zip(names, fds, strict=False)]
        given = (self._keyboard,) if self._keyboard >= 0 else ()
        process.send(guest, jobs.encode(jobs.Started(self._pid)), given)

    def _let_out(self, guest: socket.socket) -> bool:
        self._pump.leave(self._inside.pop(guest, ()))
        guest.close()
        return False

    def close(self, last: jobs.Exited) -> None:
        """Tell all of them how it ended. What they have not read yet the pump hands over."""
        for guest in self._inside:
            try:
                process.send(guest, jobs.encode(last))
            except OSError:
                pass  # gone already
            guest.close()
        self._door.close()


def call(run: str) -> socket.socket:
    """A connection to the monitor of the container whose run directory is ``run``. ``OSError`` when
    nobody is there."""
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        with _Place(run) as path:
            channel.connect(path)
    except BaseException:
        channel.close()
        raise
    return channel


class _Place:
    """A short path to the socket: the address of one has room for 107 bytes, unix(7)."""

    def __init__(self, run: str) -> None:
        self._fd = os.open(run, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> str:
        return f"/proc/self/fd/{self._fd}/{NAME}"

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
