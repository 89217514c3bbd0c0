"""The steps of a build as they happen, on standard error.

Finished steps are plain lines everywhere. On a terminal a moving picture stands below them: what runs,
the last lines of its output, and a bar for the whole build. It begins with the first output, with several
steps at once, or when a step took its time; before that rich is not imported, for a build from the cache
is over before it pays.
"""

import codecs
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from sandcell.runtime.cli.human import ellipsis, short, size
from sandcell.runtime.events import (
    BuildFinished,
    BuildStarted,
    BuildWarning,
    Callback,
    Event,
    StepFinished,
    StepOutput,
    StepStarted,
    silent,
)

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

_SHOWN = 6
_KEPT = 40
_PAUSE = 0.08
_TEXT = 70
_LONG = 0.2
"""Seconds of a step after which the build is worth a picture."""


@contextmanager
def reporter(quiet: bool, form: str) -> Iterator[Callback]:
    """The callback that draws a build for as long as the block runs.

    ``form``: ``plain`` for lines only, ``tty`` for a moving picture, ``rawjson`` for one JSON object an
    event, ``quiet`` for nothing, ``auto`` for what standard error is. When the block fails, the last lines
    of the steps that ran stay on the screen.
    """
    if quiet or form == "quiet":
        yield silent
        return
    if form == "rawjson":
        yield _raw
        return
    moving = form == "tty" or (form == "auto" and sys.stderr.isatty())
    progress = Progress(sys.stderr, moving=moving)
    try:
        yield progress
    finally:
        progress.close()


class _Running:
    """A step that has begun and not ended."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.rest = ""
        self.lines: deque[str] = deque(maxlen=_KEPT)
        self.began = time.monotonic()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def take(self, data: bytes) -> list[str]:
        """The lines that ``data`` completes, each as it would stand on a screen."""
        *whole, self.rest = (self.rest + self._decoder.decode(data)).split("\n")
        # A carriage return draws a line again; the last drawing is the one that counts.
        lines = [line.rstrip("\r").rpartition("\r")[2] for line in whole]
        self.lines.extend(lines)
        return lines


class Progress:
    """Draws events on ``stream``; ``moving``: it is a terminal whose lines can be drawn again."""

    def __init__(self, stream: TextIO, *, moving: bool) -> None:
        self._stream = stream
        self._moving = moving
        self._stages: tuple[str, ...] = ()
        self._running: dict[int, _Running] = {}
        self._current = 0  # whose title was written last
        self._open = False  # and that line has no end yet
        self._live: Live | None = None
        self._drawn = 0.0
        self._began = time.monotonic()
        self._total = 0
        self._done = 0
        self._cached = 0
        self._long = False  # some step took its time
        self._warnings: list[BuildWarning] = []

    def __call__(self, event: Event) -> None:
        """Draw one event; those that say nothing to a person are passed over."""
        match event:
            case BuildStarted():
                self._stages, self._total = event.stages, len(event.steps)
            case StepStarted():
                self._begin(event)
            case StepOutput():
                self._output(event.number, event.data)
            case StepFinished():
                self._end(event)
            case BuildWarning():
                self._warnings.append(event)
            case BuildFinished():
                name = f"{event.name} " if event.name else ""
                self._write(f"built {name}{short(event.digest)} in {event.duration:.1f} s\n")
                self._warn()

    def close(self) -> None:
        """Stop drawing. An unfinished step leaves its last lines of output on the screen."""
        live = self._live is not None
        for number, step in self._running.items():
            if step.rest:
                self._output(number, b"\n")
        if live:
            self._stop()
            for step in self._running.values():
                self._write("\n".join([step.title, *(f"  | {line}" for line in step.lines), ""]))
        elif self._open:
            self._write("\n")
        self._open = False

    def _begin(self, event: StepStarted) -> None:
        stage = self._stages[event.number - 1] if event.number <= len(self._stages) else ""
        text = ellipsis(" ".join(event.text.split()), _TEXT)
        title = f"[{event.number}/{event.total}{f' {stage}' if stage else ''}] {text}"
        self._running[event.number] = _Running(title)
        self._total = max(self._total, event.total)
        if not self._moving:
            self._title(event.number)
        elif self._long or len(self._running) > 1:
            self._draw(at_once=True)
        else:
            self._current, self._open = event.number, True
            self._write(title)

    def _title(self, number: int) -> None:
        """In plain lines: what follows belongs to this step."""
        if self._current != number:
            self._write(self._running[number].title + "\n")
        self._current = number

    def _output(self, number: int, data: bytes) -> None:
        step = self._running.get(number)
        if step is None:
            return
        lines = step.take(data)
        if self._moving:
            self._draw()
        elif lines:
            self._title(number)
            self._write("".join(f"  | {line}\n" for line in lines))

    def _end(self, event: StepFinished) -> None:
        number = event.number
        if number not in self._running:
            return
        if self._running[number].rest:
            self._output(number, b"\n")
        self._done += 1
        self._cached += event.cached
        self._long = self._long or event.duration >= _LONG
        result = "cached" if event.cached else f"{event.duration:.1f} s"
        if event.size is not None:
            result += f", {size(event.size)}"
        if not self._moving:
            self._title(number)
            self._write(f"  {result}\n")
            del self._running[number]
            return
        step = self._running.pop(number)
        if self._live is not None or self._current != number:
            self._stop()
            self._write(f"{step.title}  {result}\n")
        else:
            self._write(f"  {result}\n")
        self._open = False
        if self._running:
            self._draw(at_once=True)

    def _draw(self, *, at_once: bool = False) -> None:
        """Show titles and last lines of what runs; not more often than an eye can follow."""
        now = time.monotonic()
        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            if self._open:
                self._write("\r\x1b[K")
            self._open = False
            # Also where somebody asked for it with --progress tty.
            console = Console(file=self._stream, force_terminal=True)
            # No refresh thread: a process that makes containers by clone must have one thread only.
            self._live = Live(console=console, auto_refresh=False, transient=True)
            self._live.start()
        elif now - self._drawn < _PAUSE and not at_once:
            return
        self._drawn = now
        self._live.update(self._picture(now), refresh=True)

    def _picture(self, now: float) -> "RenderableType":
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        picture = Text(no_wrap=True, overflow="ellipsis")
        shown = max(1, _SHOWN // len(self._running))
        for step in self._running.values():
            spent = f"  {now - step.began:.1f} s" if len(self._running) > 1 else ""
            picture.append(("\n" if picture else "") + step.title + spent, style="bold")
            for line in list(step.lines)[-shown:]:
                picture.append("\n  | ", style="dim").append_text(Text.from_ansi(line, style="dim"))
        cached = f", {self._cached} cached" if self._cached else ""
        told = f"{self._done} of {self._total} steps{cached}, {now - self._began:.1f} s"
        whole = Table.grid(padding=(0, 1))
        whole.add_row(ProgressBar(self._total, self._done, width=30), Text(told, style="dim"))
        return Group(picture, whole)

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _warn(self) -> None:
        if not self._warnings:
            return
        count = len(self._warnings)
        lines = [f"{count} warning{'s' if count > 1 else ''}:"]
        for one in self._warnings:
            where = f" (line {one.lines[0]})" if one.lines[0] else ""
            lines.append(f"  {one.rule}: {one.text}{where}")
        self._write("\n".join(lines) + "\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _raw(event: Event) -> None:
    """One line of JSON for an event; bytes of output in Base64."""
    import msgspec

    row = {"event": type(event).__name__, **msgspec.to_builtins(event, enc_hook=str.__str__)}
    sys.stderr.write(msgspec.json.encode(row).decode() + "\n")
    sys.stderr.flush()
