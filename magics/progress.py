"""A build as it is watched: the steps of a plan, each waiting, running, cached, done or failed.

`Progress` is plain state changed by events; `Watcher` draws it, seldom enough not to flood the
notebook: one HTML display that is updated and ends as the image's card. What a step wrote is folded
away under it when it is done. Where HTML is not shown it writes one line a step.
"""

import re
import sys
import time
from collections.abc import Callable

from sandcell.magics import paper as p
from sandcell.magics.paper import Card, Html, cell, code, el, row
from sandcell.runtime.events import (
    BuildFinished,
    BuildStarted,
    BuildWarning,
    Event,
    StepFinished,
    StepOutput,
    StepStarted,
)

_TAIL_LINES = 6
_KEPT_BYTES = 8_000
_FOLDED_LINES = 12
_FOLDED_BYTES = 9_000
_MOST_STEPS = 24
_MOST_WARNINGS = 12
_PAUSE = 0.1
_ANSI = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[@-_])")


class Step:
    """One step as it stands. ``state``: waiting, running, cached, done or failed."""

    def __init__(self, text: str, stage: str = "") -> None:
        self.text = text
        self.stage = stage
        self.state = "waiting"
        self.size: int | None = None
        self.duration = 0.0
        self.output = bytearray()


class Progress:
    """The state of one build, moved on by events."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.steps: list[Step] = []
        self.warnings: list[BuildWarning] = []
        self.duration = 0.0

    def take(self, event: Event) -> bool:
        """Take an event in; whether a step began or ended by it."""
        match event:
            case BuildStarted():
                stages = event.stages or ("",) * len(event.steps)
                self.steps = [Step(*row) for row in zip(event.steps, stages, strict=True)]
            case BuildFinished():
                self.duration = event.duration
                return False
            case BuildWarning():
                self.warnings.append(event)
                return False
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
        """The steps that run did not succeed."""
        for step in self.steps:
            if step.state == "running":
                step.state = "failed"

    def card(self, title: str = "building", *, output: bool = True) -> Card:
        """The steps as a picture; with ``output`` the last lines of the running or failed one."""
        lines = [f"{title} {p.visible(self.name)}"]
        rows: list[Html] = []
        room = _FOLDED_BYTES
        for number, step in self._shown():
            sign, ink, word = _SIGNS[step.state]
            told = _told(step)
            lines.append(f"  {sign} {number:2} {_named(step)}  {told or word}")
            rows.append(
                row(
                    cell(
                        sign,
                        style=f"color:{ink};width:16px;font-weight:bold;padding:2px 6px 2px 0;",
                        title=word,
                    ),
                    cell(
                        *(
                            [el("span", f"color:{p.SOFT};font-size:11px", f"{step.stage} ")]
                            if step.stage
                            else []
                        ),
                        code(step.text, p.SOFT if step.state == "waiting" else p.INK),
                        style="word-break:break-word;",
                    ),
                    cell(
                        told or word,
                        style=f"color:{p.SOFT};font-size:12px;text-align:right;white-space:nowrap;",
                    ),
                )
            )
            if not output or not step.output:
                continue
            if step.state in ("running", "failed"):
                tail = tail_of(step.output, 30 if step.state == "failed" else self._room_for_each())
                lines += [f"       {line}" for line in tail]
                rows.append(row(cell(""), cell(_lines(tail)), cell("")))
            elif room > 0:
                folded = _folded(step)
                room -= len(folded)
                rows.append(row(cell(""), cell(folded), cell("")))
        lines += [f"  ! {_warned(one)}" for one in self.warnings]
        html = p.sheet(
            p.heading(title, self.name, p.BLUE),
            *self._total(),
            p.table(rows),
            *self._warned(),
            kind=f"{title} {self.name}",
        )
        return Card.of(lines, html)

    def _total(self) -> list[Html]:
        """How far the build has come, as words and as a bar."""
        if not self.steps:
            return []
        ended = sum(step.state in ("cached", "done") for step in self.steps)
        return [p.line(f"{ended} of {len(self.steps)} steps done"), p.bar(ended / len(self.steps), wide=688)]

    def _room_for_each(self) -> int:
        """Lines of output that each of the running steps may show."""
        running = sum(step.state == "running" for step in self.steps)
        return max(2, _TAIL_LINES // max(1, running))

    def _warned(self) -> list[Html]:
        if not self.warnings:
            return []
        count = len(self.warnings)
        told = [el("span", "", _warned(one)) for one in self.warnings[:_MOST_WARNINGS]]
        if count > _MOST_WARNINGS:
            told.append(el("span", "", f"and {count - _MOST_WARNINGS} more"))
        summary = el("span", f"color:{p.AMBER}", f"{count} warning{'s' if count > 1 else ''}")
        return [el("div", f"margin-top:6px;color:{p.SOFT};font-size:12px", p.fold(summary, p.listing(told)))]

    def note(self) -> Html:
        """The steps of a finished build, folded into one line for the image's card."""
        cached = sum(step.state == "cached" for step in self.steps)
        # Steps of different stages overlap: the sum of them would be too long.
        spent = self.duration or sum(step.duration for step in self.steps)
        summary = f"{len(self.steps)} steps, {cached} cached, {p.duration(spent)}"
        parts: list[Html] = []
        room = _FOLDED_BYTES
        for number, step in self._shown():
            line = el("span", "", f"{number:2}  {_named(step, 100)}  {_told(step)}")
            if step.output and room > 0:
                folded = p.fold(line, _lines(tail_of(step.output, _FOLDED_LINES)))
                room -= len(folded)
                parts.append(folded)
            else:
                parts.append(el("div", "", line))
        steps = el("div", f"margin-top:8px;color:{p.SOFT};font-size:12px", p.fold(Html(summary), *parts))
        return Html("".join((steps, *self._warned())))

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
            sys.stdout.write(f"[{event.number}/{total}] {_named(step)}  {_told(step)}\n")
        elif isinstance(event, StepOutput):
            sys.stdout.write(event.data.decode("utf-8", "replace"))
        elif isinstance(event, BuildWarning):
            sys.stdout.write(f"warning: {_warned(event)}\n")
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


def _named(step: Step, most: int = p.WIDEST) -> str:
    """The instruction, and the stage it belongs to where there are several."""
    return (f"{p.visible(step.stage)}: " if step.stage else "") + p.visible(step.text, most)


def _lines(texts: list[str]) -> Html:
    return p.listing(Html(el("span", "", text)) for text in texts)


def _folded(step: Step) -> Html:
    """What a finished step wrote, to be opened by a click."""
    tail = tail_of(step.output, _FOLDED_LINES)
    summary = el("span", f"color:{p.SOFT};font-size:11px", "output")
    return p.fold(summary, _lines(tail))


def _warned(warning: BuildWarning) -> str:
    where = f"line {warning.lines[0]}: " if warning.lines[0] else ""
    return p.visible(f"{where}{warning.text} ({warning.rule})")


def _told(step: Step) -> str:
    if step.state == "cached":
        return "cached" + ("" if step.size is None else f" · {p.size(step.size)}")
    if step.state != "done":
        return ""
    return p.duration(step.duration) + ("" if step.size is None else f" · {p.size(step.size)}")
