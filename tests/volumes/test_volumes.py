"""Named volumes as folders, without any container."""

import os
import shutil
import threading
from pathlib import Path

import pytest

from sandcell.runtime.errors import Conflict, InvalidOption, NotFound
from sandcell.runtime.volumes.volumes import Volumes


@pytest.fixture
def volumes(tmp_path: Path) -> Volumes:
    return Volumes(str(tmp_path / "volumes"))


def test_a_volume_is_made_once_and_listed_by_name(volumes: Volumes) -> None:
    assert volumes.all() == ()
    made = volumes.create("web", {"a": "b"})
    assert volumes.create("web") == made
    volumes.create("data")
    assert [volume.name for volume in volumes.all()] == ["data", "web"]
    assert os.path.isdir(made.mountpoint)
    assert made.labels == {"a": "b"}


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "-x", "ä", "a b", ".half-1", "x" * 129])
def test_what_is_no_name_is_refused(volumes: Volumes, name: str) -> None:
    with pytest.raises(InvalidOption):
        volumes.create(name)
    with pytest.raises(NotFound):
        volumes.find(name)


def test_it_is_filled_once_and_only_while_it_is_empty(volumes: Volumes) -> None:
    calls: list[str] = []
    volumes.create("one")
    for _ in range(2):
        volumes.first_use("one", calls.append)
    assert calls == [volumes.path("one")]
    volumes.create("two")
    Path(volumes.path("two"), "file").write_text("of somebody's")
    volumes.first_use("two", calls.append)
    assert len(calls) == 1


def test_a_filling_that_fails_is_done_again(volumes: Volumes) -> None:
    volumes.create("one")

    def fail(_: str) -> None:
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        volumes.first_use("one", fail)
    calls: list[str] = []
    volumes.first_use("one", calls.append)
    assert calls


def test_of_many_at_once_one_fills(volumes: Volumes) -> None:
    calls: list[str] = []

    def use() -> None:
        volumes.create("one")
        volumes.first_use("one", calls.append)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert volumes.halves() == []


def test_it_is_removed_when_nobody_uses_it(volumes: Volumes) -> None:
    volumes.create("one")
    with pytest.raises(Conflict, match="web"):
        volumes.remove("one", lambda _: ["web"], shutil.rmtree)
    volumes.remove("one", lambda _: [], lambda _: None)  # killed before the files were gone
    assert volumes.all() == ()
    assert len(volumes.halves()) == 1
    with pytest.raises(NotFound):
        volumes.remove("one", lambda _: [], shutil.rmtree)
