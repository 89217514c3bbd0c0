"""What these tests share: the runtimes, and a world for each."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandcell.runtime.linux.host import Host
from tests.oci_cli.runtimes import OURS, PEERS, Runtime, usable
from tests.oci_cli.world import World


@pytest.fixture(scope="module", params=(OURS, *PEERS), ids=lambda runtime: str(runtime.name))
def runtime(request: pytest.FixtureRequest, host: Host) -> Runtime:
    """Each runtime in turn."""
    return usable(request.param, host)


@pytest.fixture(scope="module")
def ours(host: Host) -> Runtime:
    """Ours alone: for what older runtimes do not know."""
    return usable(OURS, host)


@pytest.fixture
def world(tmp_path: Path, runtime: Runtime) -> Iterator[World]:
    """A bundle of its own for one test, driven by each runtime."""
    world = World(tmp_path, runtime)
    yield world
    world.close()


@pytest.fixture
def our_world(tmp_path: Path, ours: Runtime) -> Iterator[World]:
    """The same with our runtime alone."""
    world = World(tmp_path, ours)
    yield world
    world.close()
