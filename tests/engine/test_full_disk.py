"""A disk that is full: one clear error each, nothing lost, and all works again when there is room."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandcell.runtime import Engine, Options
from sandcell.runtime.errors import SandcellError, StoreFull
from tests import full_disk
from tests.engine.crafted import TINY
from tests.linux.child import in_child

if TYPE_CHECKING:
    from sandcell.runtime.store.store import ArchiveForm

pytestmark = [pytest.mark.kernel, pytest.mark.slow]


@pytest.fixture(autouse=True)
def _root() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")


def _refused(action: Callable[[], object]) -> SandcellError | None:
    """The error that people see, or ``None`` where it went well after all. Anything else fails."""
    try:
        action()
    except SandcellError as error:
        assert str(error)
        return error
    return None


def test_while_a_container_runs(tmp_path: Path) -> None:
    in_child(_while_a_container_runs, str(tmp_path))


def _while_a_container_runs(place: str) -> None:
    full_disk.mount(place, "96m")
    with Engine(f"{place}/home", f"{place}/run") as engine:
        engine.image(TINY)
        # It fills the disk itself, and tells of it.
        script = "echo before; cat /dev/zero > /x; echo status $?; rm /x; echo after"
        made = engine.create(TINY, ("sh", "-c", script), Options(name="greedy"))
        engine.start(made)
        assert engine.wait(made, 60) == 0
        said = b"".join(piece.data for piece in engine.logs(made))
        assert b"before\n" in said
        assert b"No space left" in said
        # Somebody else fills it: what it writes to its log is lost, how it ended is not.
        flood = "while [ ! -e /run/sandcell/out/go ]; do sleep 0.01; done; yes | head -c 3000000; exit 7"
        noisy = engine.create(TINY, ("sh", "-c", flood), Options(name="noisy"))
        engine.start(noisy)
        Path(f"{engine.places.container(noisy.id)}/shared/out/go").touch()
        full_disk.fill(place)
        assert engine.wait(noisy, 60) == 7
        assert engine.container("noisy").state == "exited"
        assert {found.name for found in engine.containers(all=True)} == {"greedy", "noisy"}
        full_disk.free(place)
        pieces = b"".join(piece.data for piece in engine.logs(noisy))
        assert set(pieces) <= set(b"y\n")
        assert engine.run(TINY, ("echo", "on"), Options(remove=True)).text == "on\n"
        engine.remove("greedy")
        engine.remove("noisy")


def test_when_it_is_full_from_the_start(tmp_path: Path) -> None:
    in_child(_when_it_is_full, str(tmp_path))


def _when_it_is_full(place: str) -> None:
    full_disk.mount(place, "96m")
    with Engine(f"{place}/home", f"{place}/run") as engine:
        engine.image(TINY)
        ran = engine.run(TINY, ("sh", "-c", "head -c 3000000 /dev/urandom > /x"), Options(name="kept"))
        assert ran.status == 0
        running = engine.create(TINY, ("sleep", "1000"), Options(name="lives"))
        engine.start(running)
        for left in (0, 4096, 16_384, 65_536, 262_144):
            full_disk.fill(place, left)
            before = {found.name for found in engine.containers(all=True)}
            _refused(lambda: engine.run(TINY, ("true",), Options(remove=True)))
            _refused(lambda: engine.exec("lives", ("true",)))
            full = _refused(lambda: engine.commit("kept", "committed:1"))
            assert isinstance(full, StoreFull), full
            assert full.hint
            _refused(
                lambda: engine.build(f"FROM {TINY}\nRUN head -c 3000000 /dev/urandom > /y", name="built:1")
            )
            assert engine.container("lives").state == "running"
            assert {found.name for found in engine.containers(all=True)} >= before
            assert {entry.name for entry in engine.images()} == {TINY}
            full_disk.free(place)
            for found in engine.containers(all=True):
                if found.name not in before:
                    engine.remove(found, force=True)
        assert engine.commit("kept", "committed:1").digest
        assert engine.run("committed:1", ("sh", "-c", "wc -c < /x"), Options(remove=True)).text == "3000000\n"
        # Removing makes room, so it must work where there is none.
        full_disk.fill(place)
        engine.remove("lives", force=True)
        engine.remove("kept")
        assert engine.containers(all=True) == ()
        assert engine.run(TINY, ("echo", "on"), Options(remove=True)).text == "on\n"


def test_archives_both_ways(tmp_path: Path) -> None:
    in_child(_archives, str(tmp_path))


def _archives(place: str) -> None:
    full_disk.mount(place, "96m")
    forms: tuple[ArchiveForm, ...] = ("oci-archive", "docker-archive", "oci-dir")
    with Engine(f"{place}/home", f"{place}/run") as engine:
        engine.build(f"FROM {TINY}\nRUN head -c 3000000 /dev/urandom > /x", name="big:1")
        made = engine.create("big:1", ("true",))
        saved = f"{place}/saved.tar"
        engine.save("big:1", saved)
        first = engine.image("big:1").digest
        # What is to be loaded has bytes that the store lacks.
        engine.build(f"FROM {TINY}\nRUN head -c 3000000 /dev/urandom > /x", name="big:2")
        engine.save("big:2", f"{place}/second.tar")
        second = engine.image("big:2").digest
        engine.remove_image("big:2")
        engine.prune()
        full_disk.fill(place, 500_000)
        before = set(os.listdir(place))
        for form in forms:
            full = _refused(partial(engine.save, "big:1", f"{place}/{form}", form=form))
            assert isinstance(full, StoreFull), (form, full)
        for action in (
            lambda: engine.export(made, f"{place}/root.tar"),
            lambda: engine.load(f"{place}/second.tar"),
            lambda: engine.import_image(f"{place}/second.tar", name="imported:1"),
        ):
            full = _refused(action)
            assert isinstance(full, StoreFull), full
            assert full.hint
        assert set(os.listdir(place)) == before
        assert engine.image("big:1").digest == first
        full_disk.free(place)
        for form in forms:
            engine.save("big:1", f"{place}/{form}", form=form)
        assert [one.image.digest for one in engine.load(f"{place}/second.tar")] == [second]
        assert engine.run("big:2", ("sh", "-c", "wc -c < /x"), Options(remove=True)).text == "3000000\n"
