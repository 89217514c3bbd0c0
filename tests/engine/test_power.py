"""A loss of power: what was told as done is there when the disk is looked at again.

A disk of its own is a file, and what is in the file at a moment is what a disk would hold that was cut off
then. The file system on it writes nothing by itself (``commit=600``), so only what was synced is there.
"""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sandcell.runtime import Engine, Options
from sandcell.runtime.container.keeping import keep
from sandcell.runtime.engine.values import Container
from sandcell.runtime.errors import SandcellError
from tests import full_disk
from tests.engine.claims import until
from tests.engine.crafted import TINY
from tests.linux.child import in_child


def test_files_are_synced_before_the_names_that_lead_to_them(tmp_path: Path) -> None:
    home = tmp_path / "containers" / "7"
    for folder in ("shared/lib", "shared/out/theirs", "upper/etc", "volumes/0"):
        (home / folder).mkdir(parents=True)
    for name in ("container.json", "shared/cell", "shared/lib/x", "shared/out/theirs/f", "upper/f", "log"):
        (home / name).touch()
    (home / "shared" / "link").symlink_to("/etc/passwd")
    (tmp_path / "names").mkdir()
    synced: list[str] = []
    keep(str(home), lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}")))
    told = [os.path.relpath(path, home) for path in synced]
    assert sorted(told[:3]) == ["container.json", "shared/cell", "shared/lib/x"]
    assert told[3:] == ["shared/lib", "shared", ".", "..", "../../names"]


class Disk:
    """An ext4 file system in a file below ``place``."""

    def __init__(self, place: str) -> None:
        self._file = f"{place}/disk"
        with open(self._file, "wb") as file:
            file.truncate(96 << 20)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", self._file], check=True)
        self._place = place
        self._losses = 0
        self.path = self._mount(self._file, "now")

    def _mount(self, file: str, name: str) -> str:
        path = f"{self._place}/{name}"
        os.makedirs(path, exist_ok=True)
        subprocess.run(["mount", "-o", "loop,commit=600", file, path], check=True)
        return path

    def after_a_loss_of_power(self, look: Callable[[Engine], bool]) -> bool:
        """What ``look`` says of the store as it would be found, had the power gone just now."""
        self._losses += 1
        then = f"then-{self._losses}"
        copy = f"{self._place}/disk-{then}"
        # Written to while it was copied, it would be a disk as it never was.
        until(lambda: self._copied(copy), "a moment at which nobody writes")
        path = self._mount(copy, then)
        try:
            with Engine(f"{path}/home", f"{self._place}/run-{then}") as engine:
                return look(engine)
        finally:
            # A monitor may still be at its last work there.
            subprocess.run(["umount", "--lazy", path], check=True)
            os.unlink(copy)

    def _copied(self, to: str) -> bool:
        subprocess.run(["cp", "--sparse=always", self._file, to], check=True)
        return subprocess.run(["cmp", "--silent", self._file, to]).returncode == 0


def _state(engine: Engine, name: str) -> tuple[str, int | None] | None:
    try:
        found = engine.container(name)
    except SandcellError:
        return None
    assert found.name == name
    return found.state, found.exit_status


@pytest.mark.kernel
@pytest.mark.slow
@pytest.mark.peer("mke2fs")
def test_what_was_kept_is_there_again(tmp_path: Path) -> None:
    if os.geteuid() != 0 or not os.path.exists("/dev/loop-control"):
        pytest.skip("only root with loop devices can have a disk of its own")
    in_child(_kept, str(tmp_path))


def _kept(place: str) -> None:
    full_disk.own_mounts()
    disk = Disk(place)
    with Engine(f"{disk.path}/home", f"{place}/run") as engine:
        engine.image(TINY)
        engine.create(TINY, ("sh", "-c", "echo x > /x; exit 7"), Options(name="made"))
        engine.create_volume("data")
        engine.create_network("ours")
        assert disk.after_a_loss_of_power(_works)
        engine.rename("made", "called")
        assert disk.after_a_loss_of_power(lambda then: _state(then, "called") == ("created", None))

        # One that ends at once is synced by the end of its file system.
        _begin(engine, "called")
        assert engine.wait("called") == 7
        until(lambda: disk.after_a_loss_of_power(_has_ended), "the end on the disk")

        # One that lives on is, as it goes; the boot was another one, and whoever ran it is gone.
        # What it costs to be sure of that is not asked of a start.
        made = _not_yet_kept(engine, disk, "lives", starts=True)
        _begin(engine, made)
        until(
            lambda: disk.after_a_loss_of_power(lambda then: _state(then, "lives") is not None), "its record"
        )
        engine.remove(made, force=True)
        # What removes itself at its end is not kept.
        engine.remove(_not_yet_kept(engine, disk, "passes", remove=True))


def _not_yet_kept(
    engine: Engine, disk: Disk, name: str, *, starts: bool = False, remove: bool = False
) -> Container:
    """A new container that a loss of power would lose, unless somebody else syncs the disk just then."""

    def lost() -> bool:
        engine.create(TINY, ("sleep", "1000"), Options(name=name, remove=remove, replace=True), starts=starts)
        return not disk.after_a_loss_of_power(lambda then: _state(then, name) is not None)

    until(lost, "one that is not on the disk")
    return engine.container(name)


def _begin(engine: Engine, container: Container | str) -> None:
    assert engine.start(container).state in ("running", "exited")


def _works(engine: Engine) -> bool:
    assert _state(engine, "made") == ("created", None)
    assert [volume.name for volume in engine.volumes()] == ["data"]
    assert "ours" in [entry.name for entry in engine.networks()]
    _begin(engine, "made")
    assert engine.wait("made") == 7
    assert [str(change) for change in engine.diff("made")] == ["A /x"]
    return True


def _has_ended(engine: Engine) -> bool:
    return _state(engine, "called") == ("exited", 7) and [str(one) for one in engine.diff("called")] == [
        "A /x"
    ]
