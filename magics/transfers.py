"""A pull or a push as it is watched: its layers, and how much of each has moved.

One HTML display that is updated, seldom enough not to flood the notebook, and gives way to what the verb
shows in the end. Where HTML is not shown it writes a line for each layer that has come.
"""

import sys
import threading
import time
from collections.abc import Callable

from sandcell.magics import paper as p
from sandcell.magics.paper import Card, cell, code, row
from sandcell.runtime.events import Event, TransferEvent

_PAUSE = 0.15
_MOST = 24
_WORDS = {"exists": "exists already", "mounted": "mounted"}


class Transfers:
    """Watches one verb. ``draw`` publishes a card in place of the one before; without it lines are written
    to ``sys.stdout``. Events may come from several threads."""

    def __init__(
        self,
        title: str,
        name: str,
        draw: Callable[[Card], None] | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._title = title
        self._name = name
        self._draw = draw
        self._clock = clock
        self._last = clock()
        self._drawn = False
        self._blobs: dict[str, TransferEvent] = {}
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """The callback of a pull or a push."""
        if not isinstance(event, TransferEvent):
            return
        with self._lock:
            self._blobs[event.digest] = event
            if self._draw is None:
                if event.state != "moving":
                    sys.stdout.write(f"{p.short(event.digest)}: {_told(event)}\n")
                    sys.stdout.flush()
            elif self._clock() - self._last > _PAUSE:
                self._last, self._drawn = self._clock(), True
                self._draw(self.card())

    def finish(self, title: str) -> None:
        """What was drawn, if anything was, ends as it stands now."""
        if self._draw is not None and self._drawn:
            self._title = title
            self._draw(self.card())

    def card(self) -> Card:
        """The layers as a picture."""
        lines, rows = [f"{self._title} {p.visible(self._name)}"], []
        shown = list(self._blobs.values())
        for event in shown[:_MOST]:
            lines.append(f"  {p.short(event.digest)}  {_told(event)}")
            rows.append(
                row(
                    cell(code(p.short(event.digest))),
                    cell(p.bar(_share(event)), style="width:190px;"),
                    cell(_told(event), style=f"color:{p.SOFT};font-size:12px;white-space:nowrap;"),
                )
            )
        if len(shown) > _MOST:
            lines.append(f"  and {len(shown) - _MOST} more")
        title = f"{self._title} {self._name}"
        done, total = sum(map(_here, shown)), sum(event.total for event in shown)
        all_of_it = p.bar(done / total if total else 1.0, wide=688)
        html = p.sheet(
            p.heading(self._title, self._name, p.BLUE),
            p.line(f"{p.size(done)} of {p.size(total)}, {_layers(shown)}"),
            all_of_it,
            p.table(rows),
            kind=title,
        )
        return Card.of(lines, html)


def _here(event: TransferEvent) -> int:
    return event.done if event.state == "moving" else event.total


def _share(event: TransferEvent) -> float:
    return _here(event) / event.total if event.total else 1.0


def _layers(events: list[TransferEvent]) -> str:
    ended = sum(event.state != "moving" for event in events)
    return f"{ended} of {len(events)} parts complete"


def _told(event: TransferEvent) -> str:
    if event.state == "moving":
        part = 100 * event.done // event.total if event.total else 0
        return f"{p.size(event.done)} of {p.size(event.total)}, {part} %"
    word = _WORDS.get(event.state, "sent" if event.action == "push" else "here")
    return f"{word}, {p.size(event.total)}"
