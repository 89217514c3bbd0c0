"""Carry a running program's output to ours, and our signals to it, until it ends."""

import signal
import sys
from contextlib import nullcontext
from types import FrameType
from typing import TYPE_CHECKING

from sandcell.runtime.cli.terminal import LEAVE, Keyboard, parse_keys, size_of

if TYPE_CHECKING:
    from sandcell.runtime.container.running import Running

_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
_ENOUGH = 3


class _Signals:
    """Notes signals as they come, and interrupts us only while we wait.

    Python runs a handler between any two instructions, also between taking a piece of output from
    the engine and writing it, and a handler that raises there loses the piece.
    """

    def __init__(self, running: "Running") -> None:
        self._running = running
        self._waiting = False
        self._interrupts = 0
        self._pending: list[int] = []

    def note(self, number: int, _frame: FrameType | None) -> None:
        """The handler."""
        self._pending.append(number)
        if self._waiting:
            self._waiting = False  # so that the next signal cannot interrupt what answers this one
            raise KeyboardInterrupt

    def waiting(self) -> None:
        """From now on a signal raises ``KeyboardInterrupt``; one that has come already does so now."""
        self._waiting = True
        if self._pending:
            self.busy()
            raise KeyboardInterrupt

    def busy(self) -> None:
        """From now on a signal is only noted."""
        self._waiting = False

    def forward(self) -> None:
        """Send on what has come. Pid 1 ignores what it has no handler for (pid_namespaces(7)), so
        the third Ctrl-C kills, as docker's client gives up at the third."""
        while self._pending:
            number = self._pending.pop(0)
            if number == signal.SIGWINCH:
                self._running.resize(*size_of(sys.stdout.fileno()))
                continue
            self._interrupts += number == signal.SIGINT
            self._running.signal(signal.SIGKILL if self._interrupts >= _ENOUGH else number)
            if self._interrupts == _ENOUGH - 1 and number == signal.SIGINT:
                print("sandcell: it goes on; Ctrl-C once more kills it", file=sys.stderr, flush=True)


def attach(
    running: "Running",
    *,
    interactive: bool = False,
    tty: bool = False,
    keys: str = LEAVE,
    proxy: bool = True,
    ours: bool = True,
) -> int:
    """Write what ``running`` writes, as it comes, and return its exit status (128 + n for a
    signal n), or 0 when we were told to leave it.

    ``interactive``: our standard input is its own; with ``tty`` ours is a terminal, raw until the
    end, the program hears of its size, and ``keys`` typed one after the other leave it.

    SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2 go to the program, unless ``proxy`` is off.
    When the reader of our standard output has gone, the program is killed if it is ``ours``, for
    nobody would see the rest: ``BrokenPipeError`` is raised then. ``running`` is closed in every case.
    """
    signals = _Signals(running)
    watched = (*(_FORWARDED if proxy else ()), *((signal.SIGWINCH,) if tty else ()))
    typing = Keyboard(running, tty=tty, keys=parse_keys(keys)) if interactive else nullcontext()
    before = {number: signal.signal(number, signals.note) for number in watched}
    try:
        with typing:
            _pump(running, signals)
            return _wait(running, signals)
    except BrokenPipeError:
        if ours:
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
        signals.forward()
        try:
            signals.waiting()
            # A for loop takes an item and stores it without a point where a handler could run.
            for output in running.output():
                signals.busy()
                stream = streams[output.stream]
                stream.write(output.data)
                stream.flush()
                signals.waiting()
            signals.busy()
            return
        except KeyboardInterrupt:
            continue


def _wait(running: "Running", signals: _Signals) -> int:
    """The output has ended; the program may live on without it."""
    while True:
        signals.forward()
        try:
            signals.waiting()
            status = running.wait()
            signals.busy()
            return 0 if status is None else status
        except KeyboardInterrupt:
            continue
