"""Which rows a command line asks for."""

import pytest

from tests.bench.__main__ import ROWS, chosen


def test_no_name_means_all_rows() -> None:
    assert chosen(ROWS, []) == list(ROWS)


def test_a_name_is_the_beginning_of_rows() -> None:
    assert {row.name for row in chosen(ROWS, ["build"])} == {"build.cached", "build.command", "build.cold"}
    assert [row.name for row in chosen(ROWS, ["start.crun"])] == ["start.crun"]


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SystemExit, match=r"no row is called nothing; rows are: .*start\.crun"):
        chosen(ROWS, ["nothing"])


def test_every_row_has_a_name_of_its_own() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
