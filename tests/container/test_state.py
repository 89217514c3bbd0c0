"""A state is replaced as a whole, and believed only while its processes live."""

import os
from pathlib import Path

import msgspec
import pytest

from sandcell.runtime.container import state
from sandcell.runtime.container.state import State
from sandcell.runtime.linux.process import Identity, identify
from tests import full_disk
from tests.linux.child import in_child


@pytest.fixture
def me() -> Identity:
    found = identify(os.getpid())
    assert found is not None
    return found


def test_without_any_file_a_container_is_created(tmp_path: Path) -> None:
    assert state.read(str(tmp_path), str(tmp_path)) == State(status="created")


def test_the_run_directory_is_believed_before_the_copy(tmp_path: Path) -> None:
    run, home = tmp_path / "run", tmp_path / "home"
    run.mkdir()
    home.mkdir()
    state.write(str(home), State(status="exited", exit_status=3))
    assert state.read(str(run), str(home)).exit_status == 3
    state.write(str(run), State(status="running"))
    assert state.read(str(run), str(home)).status == "running"


def test_a_file_cut_in_half_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"status":"exi')
    assert state.read(str(tmp_path), str(tmp_path)) == State()


def test_a_running_container_with_a_living_monitor_is_running(me: Identity) -> None:
    running = State(status="running", init=me, monitor=me)
    assert state.truth(running) is running


def test_a_running_container_whose_monitor_is_gone_has_exited_with_unknown_status(me: Identity) -> None:
    gone = msgspec.structs.replace(me, start=me.start + 1)
    found = state.truth(State(status="running", init=gone, monitor=gone))
    assert (found.status, found.exit_status, found.init) == ("exited", None, None)
    assert "unknown" in found.error


def test_nobody_of_an_earlier_boot_is_alive_or_signalled(me: Identity) -> None:
    before = msgspec.structs.replace(me, boot="another")
    found = state.truth(State(status="running", init=before, monitor=before))
    assert found.status == "exited"  # and this process was not killed


def test_a_write_that_is_interrupted_leaves_the_old_state(tmp_path: Path) -> None:
    state.write(str(tmp_path), State(status="running"))
    (tmp_path / ".state.json.1").write_text("half")
    assert state.read(str(tmp_path), str(tmp_path)).status == "running"


@pytest.mark.kernel
def test_a_full_disk_still_has_room_for_how_it_ended(tmp_path: Path) -> None:
    in_child(_write_on_a_full_disk, str(tmp_path))


def _write_on_a_full_disk(place: str) -> None:
    full_disk.mount(place, "16k")
    someone = Identity(12345678, 1234567890, "boot")
    state.write(place, State(status="running", init=someone, monitor=someone, started=1.0))
    full_disk.fill(place)
    state.write(place, State(status="exited", exit_status=3))
    assert state.read(place, place) == State(status="exited", exit_status=3)
    assert sorted(os.listdir(place)) == ["filler", "state.json"]
