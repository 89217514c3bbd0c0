"""What a lesson's cells showed on a host that allows everything, for hosts that do not.

Recordings are made by running the lessons (``tests/lessons/record.py``), and every picture made of one
says so. A cell is found by its text: one that a learner has changed has no recording.
"""

import hashlib
from pathlib import Path

import msgspec

from sandcell.magics import paper as p
from sandcell.magics.paper import Card, Html, el
from sandcell.runtime.known import known

# In a checkout beside magics/, installed beside it in the package.
FOLDER = Path(__file__).resolve().parents[2] / "notebooks" / "recorded"


class Output(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that a cell showed: ``text``, and ``html`` where it was a picture."""

    text: str
    html: str = ""


class Recording(msgspec.Struct, frozen=True, omit_defaults=True):
    """A lesson as it went elsewhere: on which ``kernel`` and ``rung``, what was ``observed`` for each
    question, and what each cell showed, by `key_of` its source."""

    kernel: str = ""
    rung: str = ""
    observed: dict[str, str] = {}
    cells: dict[str, tuple[Output, ...]] = {}

    @property
    def place(self) -> str:
        """Where it was made, in words."""
        return f"on Linux {self.kernel}, rung {self.rung}"


def key_of(source: str) -> str:
    """What a cell is known by: its text, without blanks at the ends."""
    return hashlib.sha256(source.strip().encode("utf-8", "surrogatepass")).hexdigest()[:12]


def load(lesson: str) -> Recording:
    """The recording of a lesson (``"01"``); an empty one where there is none."""
    try:
        data = (FOLDER / f"{lesson}.json").read_bytes()
    except FileNotFoundError:
        return Recording()
    return msgspec.json.decode(data, type=known(Recording))


def recorded_card(recording: Recording, outputs: tuple[Output, ...], why: str) -> Card:
    """What a cell showed elsewhere, and that it is not of here. ``why``: who says no here, a sentence."""
    mark, outputs = f"recorded {recording.place}", outputs or (Output("(nothing)"),)
    lines = [f"NOT RUN HERE: {why}", f"{mark}:"]
    for one in outputs:
        lines += [f"  : {line}" for line in one.text.rstrip("\n").splitlines()]
    shown = [
        Html(one.html) if one.html else p.listing(el("span", "", line) for line in one.text.splitlines())
        for one in outputs
    ]
    html = p.sheet(
        p.heading("not run here", "a recording", p.AMBER, p.pill("recorded", p.AMBER_PAPER, p.AMBER)),
        p.line(why),
        p.line(f"{mark}, this cell showed:"),
        el("div", f"border-left:4px solid {p.AMBER_EDGE};padding:2px 0 2px 12px;margin:6px 0 0 0", *shown),
        kind=f"A recording, not run here: {why}",
    )
    return Card.of(lines, html)
