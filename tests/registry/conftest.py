"""Registries that tests of the specification ask, our own and Debian's docker-registry; and two stores."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandcell.runtime.store import Store

from .asking import Registry
from .serving import debian_registry, own, serving


@pytest.fixture(scope="module", params=["sandcell", pytest.param("docker-registry", marks=pytest.mark.slow)])
def address(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    folder: Path = tmp_path_factory.mktemp("registry")
    if request.param == "sandcell":
        with serving(own(folder / "served")) as server:
            yield server.name, "1.1"
        return
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed (./dev test installs it as root)")
    with debian_registry(folder) as name:
        yield name, "1.0"


@pytest.fixture
def registry(address: tuple[str, str]) -> Registry:
    return Registry(*address)


@pytest.fixture
def registry11(address: tuple[str, str]) -> Registry:
    if address[1] == "1.0":
        pytest.skip("docker-registry of Debian 12 follows the specification 1.0")
    return Registry(*address)


@pytest.fixture
def here(tmp_path: Path) -> Store:
    """An empty store to push from."""
    return Store(tmp_path / "here")


@pytest.fixture
def there(tmp_path: Path) -> Store:
    """Another, to pull into."""
    return Store(tmp_path / "there")
