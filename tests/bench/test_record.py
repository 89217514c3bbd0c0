"""Samples become timings, timings become records and tables."""

import json

import pytest

from tests.bench.record import Bound, Machine, Timing, line, record, table

MACHINE = Machine(cpu="Some CPU", cores=2, kernel="6.1", python="3.12.0", cgroups="v2", filesystem="ext4")


def timing(value: float, what: str = "it") -> Timing:
    return Timing.of(what, [value])


def test_timing_is_the_median_with_its_extremes() -> None:
    assert Timing.of("a", [3.0, 1.0, 2.0, 10.0]) == Timing("a", 2.5, 1.0, 10.0, 4)


def test_timing_needs_a_sample() -> None:
    with pytest.raises(ValueError, match="no samples"):
        Timing.of("a", [])


@pytest.mark.parametrize(
    ("bound", "ours", "peer", "expected"),
    [
        (Bound("ratio", 1.0), 7.0, 7.0, True),
        (Bound("ratio", 1.0), 7.1, 7.0, False),
        (Bound("ratio", 0.12), 8.0, 76.0, True),
        (Bound("ratio", 1.0), 7.0, None, None),
        (Bound("ours", 150), 149.0, None, True),
        (Bound("ours", 150), 151.0, 1000.0, False),
        (Bound("difference", 10), 19.0, 9.5, True),
        (Bound("difference", 10), 21.0, 9.5, False),
    ],
)
def test_a_bound_holds_or_does_not(
    bound: Bound, ours: float, peer: float | None, expected: bool | None
) -> None:
    assert bound.holds(timing(ours), timing(peer) if peer else None) is expected


def test_a_record_is_one_line_of_json() -> None:
    it = record(
        "start/crun", 0.25, "ms", MACHINE, ours=timing(6), peer=timing(8, "crun"), bound=Bound("ratio", 1)
    )
    text = line(it)
    assert "\n" not in text
    assert json.loads(text) == {
        "name": "start/crun",
        "gap": 0.25,
        "ours": {"what": "it", "median": 6.0, "min": 6.0, "max": 6.0, "n": 1},
        "peer": {"what": "crun", "median": 8.0, "min": 8.0, "max": 8.0, "n": 1},
        "unit": "ms",
        "ratio": 0.75,
        "bound": "≤ 1×",
        "holds": True,
        "skipped": "",
        "machine": {
            "cpu": "Some CPU",
            "cores": 2,
            "kernel": "6.1",
            "python": "3.12.0",
            "cgroups": "v2",
            "filesystem": "ext4",
        },
    }


def test_the_table_has_a_line_per_record_and_names_what_was_skipped() -> None:
    text = table(
        [
            record(
                "start/crun",
                0,
                "ms",
                MACHINE,
                ours=timing(9),
                peer=timing(6, "crun"),
                bound=Bound("ratio", 1),
            ),
            record("start/runc", 0, "ms", MACHINE, ours=None, skipped="runc is not installed"),
            record("kernel", 0, "ms", MACHINE, ours=timing(100), bound=Bound("ours", 150)),
        ]
    )
    lines = text.splitlines()
    assert len(lines) == 6
    assert lines[1] == "start: it"
    assert lines[2].split()[:2] == ["crun", "hot"]
    assert "1.5" in lines[2].split()
    assert "≤ 1× MISSED" in lines[2]
    assert lines[3] == "kernel: it"
    assert "≤ 150 ok" in lines[4]
    assert lines[5] == "skipped start/runc: runc is not installed"
