"""Blobs on their way, on standard error: a line for each that has come; on a terminal bars meanwhile, one for
each that moves and one for all of them."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from sandcell.runtime.cli.human import short, size
from sandcell.runtime.events import Callback, Event, TransferEvent, silent

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_LEAST = 4 << 20
"""Bytes from which a blob has a bar: smaller ones are there before it could be seen."""


@contextmanager
def transfers(quiet: bool) -> Iterator[Callback]:
    """The callback that tells of pulls and pushes for as long as the block runs. Safe between threads."""
    if quiet:
        yield silent
        return
    told = Transfers(sys.stderr, moving=sys.stderr.isatty())
    try:
        yield told
    finally:
        told.close()


class Transfers:
    """Tells of events on ``stream``; ``moving``: it is a terminal whose lines can be drawn again."""

    def __init__(self, stream: TextIO, *, moving: bool) -> None:
        self._stream = stream
        self._moving = moving
        self._lock = threading.Lock()
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._whole: TaskID | None = None
        self._here: dict[str, tuple[int, int]] = {}  # of each blob the bytes that are there, and all of them

    def __call__(self, event: Event) -> None:
        """Tell of one event; those that are no transfers are passed over."""
        if not isinstance(event, TransferEvent):
            return
        with self._lock:
            moving = event.state == "moving"
            self._here[event.digest] = event.done if moving else event.total, event.total
            if moving:
                if self._moving and event.total >= _LEAST:
                    self._advance(event)
                return
            task = self._tasks.pop(event.digest, None)
            if self._bars is not None and task is not None:
                self._bars.remove_task(task)
                self._advance_whole()
            words = {"done": "sent" if event.action == "push" else "here", "exists": "exists already"}
            line = f"{short(event.digest)}: {words.get(event.state, event.state)} ({size(event.total)})"
            if self._bars is not None:
                self._bars.console.print(line, highlight=False, markup=False)
            else:
                print(line, file=self._stream, flush=True)

    def close(self) -> None:
        """Stop drawing."""
        with self._lock:
            if self._bars is not None:
                self._bars.stop()
                self._bars = None

    def _advance(self, event: TransferEvent) -> None:
        if self._bars is None:
            self._bars = _bars(self._stream)
            self._whole = self._bars.add_task("all of it")
            self._bars.start()
        task = self._tasks.get(event.digest)
        if task is None:
            task = self._tasks[event.digest] = self._bars.add_task(short(event.digest), total=event.total)
        self._bars.update(task, completed=event.done)
        self._advance_whole()

    def _advance_whole(self) -> None:
        if self._bars is None or self._whole is None:
            return
        done, total = (sum(column) for column in zip(*self._here.values(), strict=True))
        self._bars.update(self._whole, completed=done, total=total)


def _bars(stream: TextIO) -> "Progress":
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(file=stream),
        transient=True,
    )
