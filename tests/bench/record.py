"""What a bench says: samples become timings, two timings become a record, records become a table."""

from collections.abc import Sequence
from statistics import median

import msgspec


class Timing(msgspec.Struct, frozen=True):
    """``what`` was measured, and the samples' median, min and max in the record's unit; ``n``: how many."""

    what: str
    median: float
    min: float
    max: float
    n: int

    @classmethod
    def of(cls, what: str, samples: Sequence[float]) -> "Timing":
        """Raises ValueError for no samples."""
        if not samples:
            raise ValueError("no samples")
        low, high = min(samples), max(samples)
        return cls(what, round(median(samples), 3), round(low, 3), round(high, 3), len(samples))


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where it was measured. ``filesystem``: under the store."""

    cpu: str
    cores: int
    kernel: str
    python: str
    cgroups: str
    filesystem: str


class Bound(msgspec.Struct, frozen=True):
    """What must hold: ``of`` is ``ratio`` (ours ÷ peer), ``ours`` (our median) or ``difference``
    (ours − peer, in the record's unit); ``most``: the greatest allowed value."""

    of: str
    most: float

    def holds(self, ours: Timing, peer: Timing | None) -> bool | None:
        """None where there is nothing to compare with."""
        if self.of == "ours":
            return ours.median <= self.most
        if peer is None:
            return None
        if self.of == "ratio":
            return ours.median <= self.most * peer.median
        return ours.median - peer.median <= self.most

    def __str__(self) -> str:
        return {"ratio": "≤ {}×", "ours": "≤ {}", "difference": "≤ +{}"}[self.of].format(f"{self.most:g}")


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One line: ours beside one peer. ``gap``: seconds of idleness before every sample, 0 is hot.
    ``ratio``: ours ÷ peer. ``bound``/``holds``: what must hold, and whether it did. ``skipped``: why
    there is no figure of the peer (or, without a peer, of ours)."""

    name: str
    gap: float
    ours: Timing | None
    peer: Timing | None
    unit: str
    ratio: float | None
    bound: str
    holds: bool | None
    skipped: str
    machine: Machine


def record(
    name: str,
    gap: float,
    unit: str,
    machine: Machine,
    *,
    ours: Timing | None,
    peer: Timing | None = None,
    bound: Bound | None = None,
    skipped: str = "",
) -> Record:
    """Compare ``ours`` with ``peer`` as far as they are there."""
    both = ours is not None and peer is not None and peer.median > 0
    return Record(
        name=name,
        gap=gap,
        ours=ours,
        peer=peer,
        unit=unit,
        ratio=round(ours.median / peer.median, 3) if both and ours and peer else None,
        bound=str(bound) if bound else "",
        holds=bound.holds(ours, peer) if bound and ours else None,
        skipped=skipped,
        machine=machine,
    )


def line(it: Record) -> str:
    """The record as one line of JSON, without the newline."""
    return msgspec.json.encode(it).decode()


_HEADER = ("", "idle", "ours", "", "peer", "", "unit", "ratio", "bound", "measured")


def table(records: Sequence[Record]) -> str:
    """The records as text in columns: medians with (min–max), one block per row; what was skipped below."""
    measured = [it for it in records if not it.skipped]
    cells = [_cells(it) for it in measured]
    widths = [max(map(len, column)) for column in zip(_HEADER, *cells, strict=True)]
    lines = [_join(_HEADER, widths)]
    block = ""
    for it, row in zip(measured, cells, strict=True):
        name = it.name.partition("/")[0]
        if name != block:
            lines.append(f"{name}: {it.ours.what if it.ours else 'the peers'}")
            block = name
        lines.append(_join(row, widths))
    lines += sorted({f"skipped {it.name}: {it.skipped}" for it in records if it.skipped})
    return "\n".join(lines)


def _join(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(map(str.ljust, row, widths)).rstrip()


def _cells(it: Record) -> tuple[str, ...]:
    mark = {None: "", True: " ok", False: " MISSED"}[it.holds]
    ratio = "" if it.ratio is None else f"{it.ratio:.3g}"
    idle = f"{it.gap:g} s" if it.gap else "hot"
    peer = "  " + it.name.partition("/")[2]
    what = it.peer.what if it.peer else ""
    return (peer, idle, *_timing(it.ours), *_timing(it.peer), it.unit, ratio, it.bound + mark, what)


def _timing(it: Timing | None) -> tuple[str, str]:
    if it is None:
        return "–", ""
    return f"{it.median:.1f}", f"({it.min:.1f}–{it.max:.1f})"
