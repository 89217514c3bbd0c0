"""Sides take turns, the first sample of each does not count, and who fails there is skipped."""

from collections.abc import Callable

import pytest

from tests.bench.place import Unavailable
from tests.bench.record import Bound
from tests.bench.row import Absent, Row, Side, Sides, attempt, measure
from tests.bench.test_record import MACHINE


class Clock:
    """Notes who was sampled and how long the bench was idle."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def side(self, name: str, *values: float, bound: Bound | None = None) -> Side:
        left = list(values)

        def sample() -> float:
            self.seen.append(name)
            return left.pop(0) if len(left) > 1 else left[0]

        return Side(f"{name} runs", sample, name, bound)

    def sleep(self, seconds: float) -> None:
        self.seen.append(f"idle {seconds:g}")


def _row(*, rounds: int = 2, gaps: tuple[float, ...] = (0.0,)) -> Row:
    return Row("start", lambda world, stack: Sides(None, []), rounds, gaps=gaps)


def test_sides_take_turns_after_one_unmeasured_sample_each() -> None:
    clock = Clock()
    sides = Sides(clock.side("a", 99, 1, 3), [clock.side("b", 99, 4)])
    (only,) = measure(_row(), sides, MACHINE, sleep=clock.sleep)
    assert clock.seen == ["a", "b", "a", "b", "b", "a"]
    assert only.ours and only.peer
    assert (only.name, only.ours.median, only.peer.median, only.ratio) == ("start/b", 2.0, 4.0, 0.5)


def test_idle_samples_wait_before_each_side() -> None:
    clock = Clock()
    sides = Sides(clock.side("a", 1), [clock.side("b", 2)])
    records = measure(_row(rounds=6, gaps=(0.25,)), sides, MACHINE, sleep=clock.sleep)
    assert [it.gap for it in records] == [0.25]
    assert clock.seen[2:6] == ["idle 0.25", "a", "idle 0.25", "b"]
    assert clock.seen.count("a") == 4  # three rounds at least, and the unmeasured one


def test_every_peer_has_a_line_in_every_state() -> None:
    clock = Clock()
    peers = [clock.side("b", 2, bound=Bound("ratio", 1)), clock.side("c", 0.5)]
    records = measure(_row(gaps=(0.0, 0.25)), Sides(clock.side("a", 1), peers), MACHINE, sleep=clock.sleep)
    assert [(it.name, it.gap, it.holds) for it in records] == [
        ("start/b", 0.0, True),
        ("start/c", 0.0, None),
        ("start/b", 0.25, True),
        ("start/c", 0.25, None),
    ]


def test_a_bound_of_ours_gets_a_line_of_its_own() -> None:
    clock = Clock()
    sides = Sides(clock.side("a", 160), [clock.side("b", 2)], Bound("ours", 150))
    names = [(it.name, it.holds) for it in measure(_row(), sides, MACHINE, sleep=clock.sleep)]
    assert names == [("start", False), ("start/b", None)]


def _failing(reason: str) -> Callable[[], float]:
    def sample() -> float:
        raise Unavailable(reason)

    return sample


def test_a_peer_that_fails_at_first_is_skipped_with_its_reason() -> None:
    clock = Clock()
    peers: list[Side | Absent] = [
        Absent("runc", "not installed"),
        Side("crun", _failing("exited with 1"), "crun"),
    ]
    records = measure(_row(), Sides(clock.side("a", 1), peers), MACHINE, sleep=clock.sleep)
    assert [(it.name, it.skipped) for it in records] == [
        ("start/runc", "not installed"),
        ("start/crun", "exited with 1"),
        ("start", ""),
    ]


def test_a_failure_of_ours_is_raised() -> None:
    with pytest.raises(Unavailable, match="broken"):
        measure(_row(), Sides(Side("ours", _failing("broken")), []), MACHINE)


def test_an_attempt_gives_the_side_or_the_reason() -> None:
    def make(name: str) -> Side:
        if name == "runc":
            raise Unavailable("no runc")
        return Side(name, lambda: 1.0, name)

    assert attempt("runc", make, "runc") == Absent("runc", "no runc")
    assert isinstance(attempt("crun", make, "crun"), Side)
