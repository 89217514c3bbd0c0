"""A row of the bench: sides that are measured in turn, hot and after an idle gap.

A side is anything that can be called and gives one sample. They take turns (A B C, B C A, …), so a
machine that grows slower or busier does so for all of them, and nobody always follows the same one.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple, ParamSpec

from tests.bench.place import Unavailable
from tests.bench.record import Bound, Machine, Record, Timing, record

if TYPE_CHECKING:
    from tests.bench.world import World

P = ParamSpec("P")
IDLE = 0.25
"""Seconds between two samples of somebody who types."""


class Side(NamedTuple):
    """``what`` is measured, and ``sample``, which does it once and returns the value in the row's unit.
    ``peer`` names the program (``crun 1.21``); ``bound`` is what our side must hold against it."""

    what: str
    sample: Callable[[], float]
    peer: str = ""
    bound: Bound | None = None


class Absent(NamedTuple):
    """A peer that cannot be measured here, and why."""

    peer: str
    reason: str


class Sides(NamedTuple):
    """Ours (None where the row only compares peers) and the peers. ``bound``: of our own median."""

    ours: Side | None
    peers: Sequence[Side | Absent]
    bound: Bound | None = None


class Row(NamedTuple):
    """``sides`` prepares everything that is not measured, and puts what must be undone on the stack.
    ``rounds``: samples of each side; ``gaps``: seconds of idleness before each sample."""

    name: str
    sides: "Callable[[World, ExitStack], Sides]"
    rounds: int = 20
    unit: str = "ms"
    gaps: tuple[float, ...] = (0.0, IDLE)


def attempt(peer: str, make: Callable[P, Side], /, *given: P.args, **named: P.kwargs) -> Side | Absent:
    """The side that ``make`` gives, or the reason why there is none."""
    try:
        return make(*given, **named)
    except Unavailable as reason:
        return Absent(peer, str(reason))


def measure(
    row: Row, sides: Sides, machine: Machine, *, sleep: Callable[[float], None] = time.sleep
) -> list[Record]:
    """Sample all sides of a row in turn. Each side runs once unmeasured first; a peer that fails there
    is reported as skipped, a failure of ours is raised."""
    records = [
        record(f"{row.name}/{peer.peer}", 0.0, row.unit, machine, ours=None, skipped=peer.reason)
        for peer in sides.peers
        if isinstance(peer, Absent)
    ]
    running: list[Side] = [sides.ours] if sides.ours else []
    if sides.ours:
        sides.ours.sample()
    for peer in sides.peers:
        if isinstance(peer, Absent):
            continue
        try:
            peer.sample()
            running.append(peer)
        except Unavailable as reason:
            name = f"{row.name}/{peer.peer}"
            records.append(record(name, 0.0, row.unit, machine, ours=None, skipped=str(reason)))
    for gap in row.gaps:
        samples: dict[Side, list[float]] = {side: [] for side in running}
        for number in range(row.rounds if gap == 0 else max(3, row.rounds // 2)):
            first = number % len(running) if running else 0
            for side in running[first:] + running[:first]:
                if gap:
                    sleep(gap)
                samples[side].append(side.sample())
        timings = {side: Timing.of(side.what, values) for side, values in samples.items()}
        records += _compare(row, sides, gap, machine, timings)
    return records


def _compare(
    row: Row, sides: Sides, gap: float, machine: Machine, timings: dict[Side, Timing]
) -> list[Record]:
    ours = timings.get(sides.ours) if sides.ours else None
    made = []
    if ours and (sides.bound or len(timings) == 1):
        made.append(record(row.name, gap, row.unit, machine, ours=ours, bound=sides.bound))
    for side, timing in timings.items():
        if side is not sides.ours:
            name = f"{row.name}/{side.peer}"
            made.append(record(name, gap, row.unit, machine, ours=ours, peer=timing, bound=side.bound))
    return made
