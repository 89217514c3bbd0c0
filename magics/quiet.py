"""The quiet line under a cell: container, exit status, time, and what changed in the writable layer.

Also the card of a ``Result``, which says the same with the output in it.
"""

import re
from typing import TYPE_CHECKING

import msgspec

from sandcell.magics import paper as p
from sandcell.magics.paper import Card, Html, el
from sandcell.magics.tables import fold_of_changes, signs

if TYPE_CHECKING:
    from sandcell.runtime.engine.values import Result
    from sandcell.runtime.layer.tree import Change

_COLOURS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
"""A control sequence of a terminal (ECMA-48, 5.4): a card has its own colours."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of one run. ``changes``: ``None`` where they are not known (the container is
    gone). ``expected``: the status that counts as good. ``notes``: further short remarks."""

    container: str
    status: int
    duration: float
    changes: "tuple[Change, ...] | None" = None
    expected: int = 0
    notes: tuple[str, ...] = ()


def quiet_card(outcome: Outcome) -> Card:
    """The quiet line; where files changed it unfolds to them."""
    good = outcome.status == outcome.expected
    mark = "" if good else " ✗"
    parts = [f"exit {outcome.status}{mark}", p.duration(outcome.duration)]
    if outcome.changes is not None:
        parts += [signs(outcome.changes), "image unchanged"]
    parts += [p.visible(note) for note in outcome.notes]
    name = p.visible(outcome.container)
    status = el("span", f"color:{p.INK if good else p.RED};font-weight:bold", parts[0])
    line = el(
        "span",
        "",
        el("b", "", name),
        " · ",
        status,
        "".join(f" · {part}" for part in parts[1:]),
    )
    body: Html = fold_of_changes(line, outcome.changes) if outcome.changes else line
    html = el(
        "div",
        f"display:inline-block;background-color:#f4f6f8;color:{p.SOFT};border:1px solid {p.EDGE};"
        f"border-radius:6px;padding:2px 10px;margin:2px 0;max-width:720px;"
        f"font-size:12px;line-height:1.6;{p.SANS}",
        body,
        title="+ added, ~ changed, - deleted in this container's own writable layer",
    )
    return Card.of([" · ".join([name, *parts])], html)


def result_card(result: "Result") -> Card:
    """A finished command: its status, time and the beginning of what it wrote."""
    name = result.container.name
    facts = f"exit {result.status} · {p.duration(result.duration)} · {p.visible(name)}"
    shown = [
        (stream, data) for stream, data in (("stdout", result.stdout), ("stderr", result.stderr)) if data
    ]
    text = [f"result  {facts}"]
    blocks: list[Html] = []
    for stream, data in shown:
        lines = _COLOURS.sub("", data[:4000].decode("utf-8", "replace")).splitlines()[:20]
        left = len(data) - sum(len(line) + 1 for line in lines)
        more = [f"… {left:,} more bytes"] if left > 1 else []
        text += [f"{stream}:", *(f"  {p.visible(line)}" for line in [*lines, *more])]
        blocks += [
            p.line(stream),
            p.listing(Html(el("span", "", p.visible(line))) for line in [*lines, *more]),
        ]
    paper, ink = (p.RED_PAPER, p.RED) if result.status else (p.GREEN_PAPER, p.GREEN)
    html = p.sheet(
        p.heading("result", name, p.AMBER, p.pill(f"exit {result.status}", paper, ink)),
        p.line(p.duration(result.duration)),
        *(blocks or [p.line("it wrote nothing")]),
        kind=f"Result: {facts}",
    )
    return Card.of(text, html)
