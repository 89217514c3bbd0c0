"""Moving a process's output to its log and, while somebody listens, to those clients.

A client that reads slowly slows the process down, as a pipe does; one that goes away is forgotten
and the log goes on.
"""

import os
import select
import time
from collections.abc import Callable, Iterable

from sandcell.runtime.container.output import Log

STDIN = "stdin"
_PIECE = 65536
_HELD = 1 << 20  # the most that anybody without privilege may let a pipe hold: pipe(7)
_BACKLOG = 4 * 1024 * 1024


class Sink:
    """A client's pipe, and what it has not taken yet. ``fd`` is -1 once it is forgotten."""

    __slots__ = ("fd", "pending")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.pending = bytearray()
        os.set_blocking(fd, False)

    def flush(self) -> None:
        """Hand on what is taken at once."""
        try:
            while self.pending:
                written = os.write(self.fd, self.pending[:_PIECE])
                del self.pending[:written]
        except BlockingIOError:
            return
        except OSError:
            self.forget()

    def forget(self) -> None:
        """The client is gone, or has everything."""
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1
        self.pending.clear()


class _Stream:
    """One source, and the clients' pipes that get what comes out of it."""

    __slots__ = ("name", "sinks", "source")

    def __init__(self, name: str, source: int, sink: int) -> None:
        self.name = name
        self.source = source
        self.sinks = [Sink(sink)] if sink >= 0 else []

    def take(self, data: bytes) -> None:
        for sink in self.sinks:
            sink.pending += data
            self.flush(sink)

    def flush(self, sink: Sink) -> None:
        sink.flush()
        if self.source < 0 and not sink.pending:
            sink.forget()
        self.sinks = [sink for sink in self.sinks if sink.fd >= 0]

    def forget(self, sinks: Iterable[Sink]) -> None:
        for sink in sinks:
            sink.forget()
        self.sinks = [sink for sink in self.sinks if sink.fd >= 0]

    def full(self) -> bool:
        return any(len(sink.pending) >= _BACKLOG for sink in self.sinks)

    def stop(self) -> None:
        """Forget what has been read too."""
        self.forget(self.sinks)
        if self.source >= 0:
            self.end()

    def end(self) -> None:
        os.close(self.source)
        self.source = -1
        self.forget([sink for sink in self.sinks if not sink.pending])


class Pump:
    """Pumps until the watched process has ended and its output is read.

    ``streams``: (name, source, sink) with sink -1 where nobody listens. ``log`` may be ``None``; what
    comes from a ``STDIN`` is not logged.
    """

    def __init__(self, streams: list[tuple[str, int, int]], log: Log | None) -> None:
        self._streams = [_Stream(*stream) for stream in streams]
        self._first = [sink for stream in self._streams for sink in stream.sinks if stream.name != STDIN]
        self._log = log
        self._watched: dict[int, Callable[[], bool]] = {}
        self._later: tuple[float, Callable[[], None]] | None = None
        self._poll = select.poll()

    def watch(self, fd: int, act: Callable[[], bool]) -> None:
        """Call ``act`` when ``fd`` has something to read or is closed at its other end; not again
        after it has returned false."""
        self._watched[fd] = act
        self._poll.register(fd, select.POLLIN)

    def forget(self, fd: int) -> None:
        """Watch it no more; nothing for one that is not watched."""
        if self._watched.pop(fd, None):
            self._poll.unregister(fd)

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Call ``act`` once, when that time is over and the watched process still runs."""
        self._later = time.monotonic() + seconds, act

    def run(self, ended: int, client: int, on_client: Callable[[], bool]) -> None:
        """Pump until the descriptor ``ended`` is readable. ``client`` (-1 for nobody) is watched."""
        self._poll.register(ended, select.POLLIN)
        if client >= 0:
            self.watch(client, on_client)
        while True:
            self._arrange()
            for fd, event in self._poll.poll(self._patience()):
                if fd == ended:
                    return
                act = self._watched.get(fd)
                if act is None:
                    self._serve(fd, event)
                    continue
                # Out of the poll first: it may close the descriptor, and another take its number.
                del self._watched[fd]
                self._poll.unregister(fd)
                if act():
                    self.watch(fd, act)

    def _patience(self) -> float | None:
        """How long to wait for events, in milliseconds."""
        if self._later is None:
            return None
        due, act = self._later
        left = due - time.monotonic()
        if left > 0:
            return left * 1000
        self._later = None
        act()
        return None

    def finish(self) -> None:
        """Read what is left after the process ended, without waiting for more to be written, and
        hand on what the clients take at once."""
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

    def join(self, name: str, fd: int) -> Sink:
        """Somebody else listens to the stream ``name`` from now on; where there is none, or it has
        ended, their pipe is at its end at once."""
        sink = Sink(fd)
        for stream in self._streams:
            if stream.name == name and stream.source >= 0:
                stream.sinks.append(sink)
                return sink
        sink.forget()
        return sink

    def leave(self, sinks: Iterable[Sink]) -> None:
        """Those of a ``join`` listen no more."""
        gone = list(sinks)
        for stream in self._streams:
            stream.forget([sink for sink in gone if sink in stream.sinks])

    def detach(self) -> None:
        """Who listened and typed from the beginning does so no more."""
        self.leave(self._first)
        for stream in self._streams:
            if stream.name == STDIN:
                stream.stop()

    def hand_over(self, patience: float | None = None) -> None:
        """Wait until the clients have taken everything or have gone away, for ``patience`` seconds at
        most. May be repeated."""
        deadline = None if patience is None else time.monotonic() + patience
        self._poll = select.poll()
        while any(sink.pending for stream in self._streams for sink in stream.sinks):
            for stream in self._streams:
                for sink in stream.sinks:
                    self._poll.register(sink.fd, select.POLLOUT)
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready = self._poll.poll(None if left is None else left * 1000)
            if not ready:
                return
            for fd, event in ready:
                self._serve(fd, event)

    def _arrange(self) -> None:
        for stream in self._streams:
            if stream.source >= 0:
                # Read no further ahead of a slow client than the backlog.
                self._poll.register(stream.source, 0 if stream.full() else select.POLLIN)
            for sink in stream.sinks:
                # Without POLLOUT still a client that goes away is noticed.
                self._poll.register(sink.fd, select.POLLOUT if sink.pending else 0)

    def _serve(self, fd: int, event: int) -> None:
        for stream in self._streams:
            if fd == stream.source:
                self._read(stream)
            for sink in tuple(stream.sinks):
                if fd == sink.fd:
                    # Writable is old news when what was pending has gone out meanwhile.
                    if event & (select.POLLERR | select.POLLHUP):
                        stream.forget([sink])
                    else:
                        stream.flush(sink)
        if not any(
            fd == stream.source or any(fd == sink.fd for sink in stream.sinks) for stream in self._streams
        ):
            self._poll.unregister(fd)

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
