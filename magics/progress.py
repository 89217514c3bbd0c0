"""A build as it is watched: the steps of a plan, each waiting, running, cached, done or failed.

`Progress` is plain state changed by events; `Watcher` draws it, seldom enough not to flood the
notebook: one HTML display that is updated and ends as the image's card. Where HTML is not shown it
writes one line a step.
"""

import re
import sys
import time
from collections.abc import Callable

from sandcell.magics import paper as p
from sandcell.magics.paper import Card, Html, cell, code, el, row
from sandcell.runtime.events import (
    BuildStarted,
    Event,
    StepFinished,
    StepOutput,
    StepStarted,
)

_TAIL_LINES = 6
_KEPT_BYTES = 8_000
_MOST_STEPS = 24
_PAUSE = 0.1
_ANSI = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[@-_])")


class Step:
    """One step as it stands. ``state``: waiting, running, cached, done or failed."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.state = "waiting"
        self.size: int | None = None
        self.duration = 0.0
        self.output = bytearray()


class Progress:
    """The state of one build, moved on by events."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.steps: list[Step] = []

    def take(self, event: Event) -> bool:
        """Take an event in; whether a step began or ended by it."""
        match event:
            case BuildStarted():
                self.steps = [Step(text) for text in event.steps]
            case StepStarted():
                step = self._step(event.number)
                step.state, step.text = "running", event.text or step.text
            case StepOutput():
                output = self._step(event.number).output
                output += event.data
                del output[:-_KEPT_BYTES]
                return False
            case StepFinished():
                step = self._step(event.number)
                step.state = "cached" if event.cached else "done"
                step.size, step.duration = event.size, event.duration
            case _:
                return False
        return True

    def fail(self) -> None:
        """The running step did not succeed."""
        for step in self.steps:
            if step.state == "running":
                step.state = "failed"

    def card(self, title: str = "building", *, output: bool = True) -> Card:
        """The steps as a picture; with ``output`` the last lines of the running or failed one."""
        lines = [f"{title} {p.visible(self.name)}"]
        rows: list[Html] = []
        for number, step in self._shown():
            sign, ink, word = _SIGNS[step.state]
            told = _told(step)
            lines.append(f"  {sign} {number:2} {p.visible(step.text)}  {told or word}")
            rows.append(
                row(
                    cell(
                        sign,
                        style=f"color:{ink};width:16px;font-weight:bold;padding:2px 6px 2px 0;",
                        title=word,
                    ),
                    cell(
                        code(step.text, p.SOFT if step.state == "waiting" else p.INK),
                        style="word-break:break-word;",
                    ),
                    cell(
                        told or word,
                        style=f"color:{p.SOFT};font-size:12px;text-align:right;white-space:nowrap;",
                    ),
                )
            )
            if output and step.state in ("running", "failed") and step.output:
                tail = tail_of(step.output, 30 if step.state == "failed" else _TAIL_LINES)
                lines += [f"       {line}" for line in tail]
                rows.append(
                    row(cell(""), cell(p.listing(Html(el("span", "", line)) for line in tail)), cell(""))
                )
        html = p.sheet(p.heading(title, self.name, p.BLUE), p.table(rows), kind=f"{title} {self.name}")
        return Card.of(lines, html)

    def note(self) -> Html:
        """The steps of a finished build, folded into one line for the image's card."""
        cached = sum(step.state == "cached" for step in self.steps)
        spent = sum(step.duration for step in self.steps)
        summary = f"{len(self.steps)} steps, {cached} cached, {p.duration(spent)}"
        lines = []
        for number, step in self._shown():
            lines.append(el("span", "", f"{number:2}  {p.visible(step.text, 100)}  {_told(step)}"))
        return el(
            "div", f"margin-top:8px;color:{p.SOFT};font-size:12px", p.fold(Html(summary), p.listing(lines))
        )

    def _step(self, number: int) -> Step:
        while len(self.steps) < number:
            self.steps.append(Step(""))
        return self.steps[number - 1]

    def _shown(self) -> list[tuple[int, Step]]:
        """Of a long build only the steps around the one that runs."""
        numbered = list(enumerate(self.steps, 1))
        now = next((at for at, step in enumerate(self.steps) if step.state == "running"), len(numbered))
        first = max(0, min(now - _MOST_STEPS // 2, len(numbered) - _MOST_STEPS))
        return numbered[first : first + _MOST_STEPS]


class Watcher:
    """Draws a build while it runs. ``draw`` publishes a card in place of the one before; without it
    (no HTML there) lines are written to ``sys.stdout``."""

    def __init__(
        self,
        progress: Progress,
        draw: Callable[[Card], None] | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.progress = progress
        self._draw = draw
        self._clock = clock
        self._last = float("-inf")

    def __call__(self, event: Event) -> None:
        """The callback of a build."""
        step = self.progress.take(event)
        if self._draw is None:
            self._write(event)
        elif self._clock() - self._last > _PAUSE or (step and isinstance(event, StepStarted)):
            self._draw(self.progress.card())
            self._last = self._clock()

    def _write(self, event: Event) -> None:
        total = len(self.progress.steps)
        if isinstance(event, StepFinished):
            step = self.progress.steps[event.number - 1]
            sys.stdout.write(f"[{event.number}/{total}] {p.visible(step.text)}  {_told(step)}\n")
        elif isinstance(event, StepOutput):
            sys.stdout.write(event.data.decode("utf-8", "replace"))
        sys.stdout.flush()


_SIGNS = {
    "waiting": ("·", p.SOFT, "waiting"),
    "running": ("▸", p.AMBER, "running"),
    "cached": ("=", p.BLUE, "cached"),
    "done": ("✓", p.GREEN, "done"),
    "failed": ("✗", p.RED, "failed"),
}


def tail_of(output: bytes | bytearray, most: int) -> list[str]:
    """The last lines of a program's output as they would stand on a screen: without ANSI sequences,
    and of a line that was written over only the last state."""
    text = _ANSI.sub("", output.decode("utf-8", "replace"))
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return [p.visible(line) for line in lines[-most:]]


def _told(step: Step) -> str:
    if step.state == "cached":
        return "cached" + ("" if step.size is None else f" · {p.size(step.size)}")
    if step.state != "done":
        return ""
    return p.duration(step.duration) + ("" if step.size is None else f" · {p.size(step.size)}")
