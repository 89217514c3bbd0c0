"""Times as people type them."""

import pytest

from sandcell.runtime.engine.moments import moment
from sandcell.runtime.errors import InvalidOption


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10m", 400.0),
        ("1h", -2600.0),
        ("1m30.5s", 909.5),
        ("12", 12.0),
        ("12.25", 12.25),
        ("1970-01-01T00:01:00Z", 60.0),
        ("1970-01-01T00:01:00+01:00", -3540.0),
    ],
)
def test_a_time(text: str, seconds: float) -> None:
    assert moment(text, 1000.0) == seconds


@pytest.mark.parametrize("text", ["", "soon", "10x", "-5m", "2026-13-01"])
def test_no_time(text: str) -> None:
    with pytest.raises(InvalidOption, match="not a time"):
        moment(text, 0.0)
