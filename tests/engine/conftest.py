"""What the tests of killing and of racing share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandcell.runtime import Engine
from tests.engine.crafted import TINY


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Home and run directory of a store that holds ``host:tiny``."""
    place: Path = tmp_path_factory.mktemp("crash")
    with Engine(place / "home", place / "run") as engine:
        engine.image(TINY)
    yield place
