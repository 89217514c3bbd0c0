"""The steps of a build as they happen, on standard error.

Finished steps are plain lines everywhere. Only a step that writes output on a terminal gets a
moving picture, and only then is rich imported: a build from the cache is over before that pays.
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
    Callback,
    Event,
    StepFinished,
    StepOutput,
    StepStarted,
    silent,
)

if TYPE_CHECKING:
    from rich.live import Live

_SHOWN = 6
_KEPT = 40
_PAUSE = 0.08
_TEXT = 70


@contextmanager
def reporter(quiet: bool, form: str) -> Iterator[Callback]:
    """The callback that draws a build for as long as the block runs.

    ``form``: ``plain`` for lines only, ``tty`` for a moving picture, ``auto`` for what standard
    error is. When the block fails, the last lines of the step stay on the screen.
    """
    if quiet:
        yield silent
        return
    moving = form == "tty" or (form == "auto" and sys.stderr.isatty())
    progress = Progress(sys.stderr, moving=moving)
    try:
        yield progress
    finally:
        progress.close()


class Progress:
    """Draws events on ``stream``; ``moving``: it is a terminal whose lines can be drawn again."""

    def __init__(self, stream: TextIO, *, moving: bool) -> None:
        self._stream = stream
        self._moving = moving
        self._title = ""
        self._open = False
        self._rest = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._lines: deque[str] = deque(maxlen=_KEPT)
        self._live: Live | None = None
        self._drawn = 0.0

    def __call__(self, event: Event) -> None:
        """Draw one event; those that say nothing to a person are passed over."""
        match event:
            case StepStarted():
                self._begin(event)
            case StepOutput():
                self._output(self._decoder.decode(event.data))
            case StepFinished():
                self._end(event)
            case BuildFinished():
                name = f"{event.name} " if event.name else ""
                self._write(f"built {name}{short(event.digest)} in {event.duration:.1f} s\n")

    def close(self) -> None:
        """Stop drawing. An unfinished step leaves its last lines of output on the screen."""
        if self._rest:
            self._output("\n")
        if self._live is not None:
            self._stop()
            self._write("\n".join([self._title, *(f"  | {line}" for line in self._lines), ""]))
        elif self._open:
            self._write("\n")
        self._open = False

    def _begin(self, event: StepStarted) -> None:
        text = " ".join(event.text.split())
        self._title = f"[{event.number}/{event.total}] {ellipsis(text, _TEXT)}"
        self._lines.clear()
        self._decoder.reset()
        self._open = self._moving
        self._write(self._title + ("" if self._moving else "\n"))

    def _output(self, text: str) -> None:
        *whole, self._rest = (self._rest + text).split("\n")
        # A carriage return draws a line again; the last drawing is the one that counts.
        lines = [line.rstrip("\r").rpartition("\r")[2] for line in whole]
        self._lines.extend(lines)
        if self._moving:
            self._draw()
        else:
            self._write("".join(f"  | {line}\n" for line in lines))

    def _end(self, event: StepFinished) -> None:
        if self._rest:
            self._output("\n")
        result = "cached" if event.cached else f"{event.duration:.1f} s"
        if event.size is not None:
            result += f", {size(event.size)}"
        if self._live is not None:
            self._stop()
            self._write(f"{self._title}  {result}\n")
        else:
            self._write(f"  {result}\n")
        self._open = False

    def _draw(self) -> None:
        """Show the title and the last lines; not more often than an eye can follow."""
        now = time.monotonic()
        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            self._write("\r\x1b[K")
            # No refresh thread: a process that makes containers by clone must have one thread only.
            self._live = Live(console=Console(file=self._stream), auto_refresh=False, transient=True)
            self._live.start()
        elif now - self._drawn < _PAUSE:
            return
        from rich.text import Text

        self._drawn = now
        picture = Text(self._title, style="bold", no_wrap=True, overflow="ellipsis")
        for line in list(self._lines)[-_SHOWN:]:
            picture.append("\n  | ", style="not bold dim").append_text(
                Text.from_ansi(line, style="not bold dim")
            )
        self._live.update(picture, refresh=True)

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
