"""Standing by while a cell runs: its output, its end, and the interrupts of the person who waits.

An interrupt sends SIGINT to every process of the cell; when they do not end, SIGTERM follows, then
SIGKILL. Each gets `PATIENCE` seconds, and a further interrupt goes to the next at once.
"""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Protocol

import msgspec

from sandcell.runtime.errors import HostRefused

PATIENCE = 2.0
"""Seconds between SIGINT, SIGTERM, SIGKILL and giving up."""

_MOMENT = 0.3

_LADDER = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)


class Piece(Protocol):
    """What a run writes: bytes of one stream."""

    @property
    def stream(self) -> str:
        """``stdout`` or ``stderr``."""

    @property
    def data(self) -> bytes:
        """The bytes."""


class Run(Protocol):
    """A process in a container that somebody waits for (the engine's ``Running``)."""

    def output(self, timeout: float | None = None) -> Iterator[Piece]:
        """Pieces as they are produced, until the end or for so many seconds."""

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit status; ``None`` when it has not ended by then."""

    def signal(self, signum: int) -> None:
        """Send a signal to every process of the run."""


class Ending(msgspec.Struct, frozen=True):
    """``status``: 0–255, 128 + n for signal n. ``sent``: the last signal that an interrupt sent."""

    status: int
    sent: int = 0


def attend(
    run: Run,
    write: Callable[[str, bytes], None],
    *,
    shared: bool = False,
    patience: float = PATIENCE,
    clock: Callable[[], float] = time.monotonic,
) -> Ending:
    """Hand every piece of output to ``write`` and return how the run ended.

    ``shared``: the container goes on after this run, so what an interrupted run left behind is ended
    too. `KeyboardInterrupt` never leaves this function: it climbs the ladder of signals. Raises
    `HostRefused` when processes survive SIGKILL (a process in uninterruptible sleep).
    """
    sent = 0
    asked = False
    deadline: float | None = None
    while True:
        # Nothing but a note is made outside the try: an interrupt may come at any moment.
        try:
            if asked:
                if sent < len(_LADDER):
                    _send(run, sent)
                    sent += 1
                    deadline = clock() + patience
                asked = False
            for piece in run.output(timeout=_left(deadline, clock)):
                write(piece.stream, piece.data)
                if deadline is not None and clock() >= deadline:
                    break
            status = run.wait(timeout=_left(deadline, clock))
            if status is not None:
                if sent:
                    _finish(run, write, shared=shared)
                return Ending(status, _LADDER[sent - 1] if sent else 0)
            if sent == len(_LADDER):
                raise HostRefused(
                    "stop", "the cell", "its processes survived SIGKILL", "they wait for the kernel; see ps"
                )
            asked = True
        except KeyboardInterrupt:
            asked = True


def _finish(run: Run, write: Callable[[str, bytes], None], *, shared: bool) -> None:
    """After an interrupted run: the output that came between two looks, and its descendants that
    took no notice (a shell starts background commands with SIGINT ignored)."""
    if shared:
        run.signal(signal.SIGTERM)
    for piece in run.output(timeout=_MOMENT):
        write(piece.stream, piece.data)
    if shared:
        run.signal(signal.SIGKILL)


def _send(run: Run, sent: int) -> None:
    if sent:
        _say(f"still running after {_LADDER[sent - 1].name}: sending {_LADDER[sent].name}")
    run.signal(_LADDER[sent])


def _left(deadline: float | None, clock: Callable[[], float]) -> float | None:
    return None if deadline is None else max(0.0, deadline - clock())


def _say(text: str) -> None:
    sys.stderr.write(f"\n[{text}]\n")
    sys.stderr.flush()
