"""Moving a process's output to its log and, while somebody listens, to that client.

A client that reads slowly slows the process down, as a pipe does; one that goes away is forgotten
and the log goes on.
"""

import os
import select
from collections.abc import Callable

from sandcell.runtime.container.output import Log

STDIN = "stdin"
_PIECE = 65536
_HELD = 1 << 20  # the most that anybody without privilege may let a pipe hold: pipe(7)
_BACKLOG = 4 * 1024 * 1024


class _Stream:
    """One source, and the client's pipe that gets what comes out of it."""

    __slots__ = ("name", "pending", "sink", "source")

    def __init__(self, name: str, source: int, sink: int) -> None:
        self.name = name
        self.source = source
        self.sink = sink
        self.pending = bytearray()
        if sink >= 0:
            os.set_blocking(sink, False)

    def take(self, data: bytes) -> None:
        if self.sink >= 0:
            self.pending += data
            self.flush()

    def flush(self) -> None:
        try:
            while self.pending:
                written = os.write(self.sink, self.pending[:_PIECE])
                del self.pending[:written]
        except BlockingIOError:
            return
        except OSError:
            self.forget()
            return
        if self.source < 0:
            self.forget()

    def forget(self) -> None:
        """The client is gone, or has everything."""
        if self.sink >= 0:
            os.close(self.sink)
        self.sink = -1
        self.pending.clear()

    def stop(self) -> None:
        """Forget what has been read too."""
        self.forget()
        if self.source >= 0:
            self.end()

    def end(self) -> None:
        os.close(self.source)
        self.source = -1
        if not self.pending:
            self.forget()


class Pump:
    """Pumps until the watched process has ended and its output is read.

    ``streams``: (name, source, sink) with sink -1 where nobody listens. ``log`` may be ``None``; what
    comes from a ``STDIN`` is not logged.
    """

    def __init__(self, streams: list[tuple[str, int, int]], log: Log | None) -> None:
        self._streams = [_Stream(*stream) for stream in streams]
        self._log = log

    def run(self, ended: int, client: int, on_client: Callable[[], bool]) -> None:
        """Pump until the descriptor ``ended`` is readable. ``on_client`` is called when ``client``
        (-1 for nobody) has something to read or is closed at its other end; not again after it has
        returned false."""
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        if client >= 0:
            poll.register(client, select.POLLIN)
        while True:
            self._arrange(poll)
            for fd, event in poll.poll():
                if fd == ended:
                    return
                if fd == client:
                    if not on_client():
                        poll.unregister(client)
                else:
                    self._serve(fd, event, poll)

    def finish(self) -> None:
        """Read what is left after the process ended, without waiting for more to be written, and
        hand on what the client takes at once."""
        for stream in self._streams:
            if stream.name == STDIN:
                stream.stop()
                continue
            # Not more than it can hold: an exec'd process may leave others behind that write on.
            left = _HELD
            while stream.source >= 0 and left > 0 and select.select([stream.source], [], [], 0)[0]:
                left -= self._read(stream)
            if stream.source >= 0:
                stream.end()

    def detach(self) -> None:
        """Nobody listens or types any more."""
        for stream in self._streams:
            if stream.name == STDIN:
                stream.stop()
            else:
                stream.forget()

    def hand_over(self) -> None:
        """Wait until the client has taken everything or has gone away."""
        poll = select.poll()
        while any(stream.pending for stream in self._streams):
            for stream in self._streams:
                if stream.pending:
                    poll.register(stream.sink, select.POLLOUT)
            for fd, event in poll.poll():
                self._serve(fd, event, poll)

    def _arrange(self, poll: "select.poll") -> None:
        for stream in self._streams:
            if stream.source >= 0:
                # Read no further ahead of a slow client than the backlog.
                poll.register(stream.source, select.POLLIN if len(stream.pending) < _BACKLOG else 0)
            if stream.sink >= 0:
                # Without POLLOUT still a client that goes away is noticed.
                poll.register(stream.sink, select.POLLOUT if stream.pending else 0)

    def _serve(self, fd: int, event: int, poll: "select.poll") -> None:
        for stream in self._streams:
            if fd == stream.source:
                self._read(stream)
            elif fd == stream.sink:
                # Writable is old news when what was pending has gone out meanwhile.
                if event & (select.POLLERR | select.POLLHUP):
                    stream.forget()
                else:
                    stream.flush()
        if all(fd not in (stream.source, stream.sink) for stream in self._streams):
            poll.unregister(fd)

    def _read(self, stream: _Stream) -> int:
        try:
            data = os.read(stream.source, _PIECE)
        except OSError:
            data = b""  # EIO: the last process of a terminal has closed it
        if not data:
            stream.end()
            return 0
        if self._log and stream.name != STDIN:
            self._log.write(stream.name, data)
        stream.take(data)
        return len(data)
