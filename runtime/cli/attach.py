"""Carry a running program's output to ours, and our signals to it, until it ends."""

import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandcell.runtime.container.running import Running

_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
_ENOUGH = 3


class _Signals:
    """Notes signals as they come, and interrupts us only while we wait for output.

    Python would run a handler between any two instructions, also between taking a piece of output
    from the engine and writing it, and a handler that raises there loses the piece.
    """

    def __init__(self) -> None:
        self.waiting = False
        self.interrupts = 0
        self._pending: list[int] = []

    def note(self, number: int, _frame: FrameType | None) -> None:
        self._pending.append(number)
        if self.waiting:
            raise KeyboardInterrupt

    def forward(self, running: "Running") -> None:
        """Send on what has come. Pid 1 ignores what it has no handler for (pid_namespaces(7)), so
        the third Ctrl-C kills, as docker's client gives up at the third."""
        while self._pending:
            number = self._pending.pop(0)
            self.interrupts += number == signal.SIGINT
            running.signal(signal.SIGKILL if self.interrupts >= _ENOUGH else number)
            if self.interrupts == _ENOUGH - 1 and number == signal.SIGINT:
                print("sandcell: it goes on; Ctrl-C once more kills it", file=sys.stderr, flush=True)


def attach(running: "Running") -> int:
    """Write what ``running`` writes, as it comes, and return its exit status (128 + n for a
    signal n).

    SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2 go to the program. When the reader of our
    standard output has gone, the program is killed, for nobody would see the rest:
    ``BrokenPipeError`` is raised then. ``running`` is closed in every case.
    """
    signals = _Signals()
    before = {number: signal.signal(number, signals.note) for number in _FORWARDED}
    try:
        _pump(running, signals)
        return _wait(running, signals)
    except BrokenPipeError:
        running.signal(signal.SIGKILL)
        running.wait()
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        running.close()


def _pump(running: "Running", signals: _Signals) -> None:
    streams = {"stdout": sys.stdout.buffer, "stderr": sys.stderr.buffer}
    while True:
        try:
            signals.waiting = True
            signals.forward(running)
            # A for loop takes an item and stores it without a point where a handler could run.
            for output in running.output():
                signals.waiting = False
                stream = streams[output.stream]
                stream.write(output.data)
                stream.flush()
                signals.waiting = True
            return
        except KeyboardInterrupt:
            continue
        finally:
            signals.waiting = False


def _wait(running: "Running", signals: _Signals) -> int:
    """The output has ended; the program may live on without it."""
    while True:
        try:
            signals.waiting = True
            signals.forward(running)
            status = running.wait()
            return 0 if status is None else status
        except KeyboardInterrupt:
            continue
        finally:
            signals.waiting = False
