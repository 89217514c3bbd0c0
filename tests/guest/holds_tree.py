"""Where groups are made on version 2, who stands in them, and what a container sees of it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sandcell.runtime import Options
from sandcell.runtime.errors import HostRefused, SandcellError
from sandcell.runtime.linux.cgroups import layout
from sandcell.runtime.linux.cgroups_layout import LEAF
from tests.engine.claims import IMAGE, background, sh, until
from tests.guest.holds_limits import TREE, group_of
from tests.guest.registry import LIMITED, Place, holds


@holds(*LIMITED)
def it_is_version_2_and_ours_to_use(place: Place) -> None:
    here = layout()
    assert (here.version, here.writable) == ("v2", True), here
    assert place.engine.host.facet("limits").state == "real", place.engine.host.facet("limits")
    expected = {"root": TREE, "system": TREE, "user": TREE / "given", "scope": None}[place.setting]
    if expected is not None:
        assert Path(here.base) == expected
    else:
        assert "/user@1000.service/" in here.base
        assert here.base.endswith(".scope")


@holds(*LIMITED)
def every_process_is_born_in_its_group(place: Place) -> None:
    engine = place.engine
    with background(engine, "sleep 1001 & exec sleep 1000") as id:
        pid = engine.container(id).pid
        group = group_of(pid)
        assert group == Path(layout().base, "sandcell", id)
        until(lambda: len((group / "cgroup.procs").read_text().split()) == 2, "both")
        assert Path(f"/proc/{pid}/cgroup").read_text().strip().endswith(id)
        seen = engine.exec(
            id, ("sh", "-c", "cat /proc/self/cgroup; read x < /sys/fs/cgroup/pids.current; echo $x")
        )
        assert seen.text.startswith("0::/"), seen.text
        assert int(seen.text.split()[-1]) == 3, seen.text
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        assert group_of(parent) != group


@holds(*LIMITED)
def who_hands_controllers_down_holds_no_process(place: Place) -> None:
    with background(place.engine) as id:
        group = group_of(place.engine.container(id).pid)
        above = [group.parent]
        if Path(layout().base) != TREE:
            above.append(group.parent.parent)
            assert group_of(os.getpid()) == group.parent.parent / LEAF
        for one in above:
            assert (one / "cgroup.procs").read_text() == ""
            given = set((one / "cgroup.subtree_control").read_text().split())
            assert {"memory", "pids", "cpu"} <= given, given


@holds(*LIMITED)
def a_container_sees_its_own_group_as_the_top(place: Place) -> None:
    script = (
        "cat /proc/self/cgroup; cat /sys/fs/cgroup/memory.max; echo 1 > /sys/fs/cgroup/memory.max || echo no"
    )
    said = sh(place.engine, script, memory=48 << 20)
    assert said.split() == ["0::/", str(48 << 20), "no"], said
    made = sh(place.engine, "mkdir /sys/fs/cgroup/x || echo no; umount /sys/fs/cgroup || echo no")
    assert made.split() == ["no", "no"]


@holds("user", "scope")
def on_the_hosts_network_it_still_sees_only_its_own_group(place: Place) -> None:
    said = sh(
        place.engine, "cat /sys/fs/cgroup/memory.max /proc/self/cgroup", memory=48 << 20, network="host"
    )
    assert said.split() == [str(48 << 20), "0::/"], said


@holds("root", "user", "scope")
def prune_clears_what_a_killed_monitor_leaves(place: Place) -> None:
    engine = place.engine
    running = engine.launch(IMAGE, ("sleep", "1000"), Options(memory=32 << 20, remove=True))
    id = running.container
    pid = engine.container(id).pid
    group = group_of(pid)
    os.kill(int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]), signal.SIGKILL)
    running.close()
    until(lambda: engine.container(id).state == "exited", "its end")
    engine.prune()
    assert not group.exists()
    assert not list(Path(layout().base).glob("sandcell/*"))


@holds("other", "session")
def without_delegation_it_is_said_and_containers_run(place: Place) -> None:
    engine = place.engine
    assert layout().writable is False
    facet = engine.host.facet("limits")
    assert (facet.state, bool(facet.fix)) == ("shared", True), facet
    if place.setting == "session":
        assert "systemd" in facet.reason
        assert "systemd-run --user --scope" in facet.fix
    assert sh(engine, "echo $$") == "1\n"
    for flag, value in {"memory": 64 << 20, "cpus": 0.5, "pids_limit": 9, "cpuset_cpus": "0"}.items():
        with pytest.raises(HostRefused, match=flag.replace("_", "-")) as refused:
            engine.create(IMAGE, ("true",), Options(**{flag: value}))
        assert refused.value.hint
    with background(engine) as id:
        with pytest.raises(SandcellError) as stays:
            engine.pause(id)
        assert stays.value.hint
        assert engine.stats(id).counted != "control group"


@holds("bare")
def without_controllers_containers_run_and_what_cannot_be_limited_is_said(place: Place) -> None:
    engine = place.engine
    assert (layout().writable, layout().controllers) == (True, frozenset())
    facet = engine.host.facet("limits")
    assert facet.state == "shared"
    assert "memory, cpu, pids" in facet.reason
    with background(engine) as id:
        assert group_of(engine.container(id).pid).name == id
        engine.pause(id)
        engine.unpause(id)
        assert engine.exec(id, ("cat", "/proc/self/cgroup")).text.startswith("0::/")
    with pytest.raises(HostRefused, match="no memory controller") as refused:
        engine.run(IMAGE, ("true",), Options(memory=64 << 20))
    assert refused.value.hint


# What another terminal does with a container: all of it in the group that the container was born in.
_ELSEWHERE = """
import sys
from pathlib import Path
from sandcell.runtime import Engine
from sandcell.runtime.linux.cgroups import layout
with Engine(sys.argv[1] + "/home", sys.argv[1] + "/run") as engine:
    id = sys.argv[2]
    running = engine.launch_in(id, ("sleep", "1000"))
    print(layout().base, Path("/proc", str(engine.top(id)[-1].pid), "cgroup").read_text().strip())
    engine.pause(id)
    print(engine.stats(id).counted, engine.stats(id).memory_limit)
    engine.unpause(id)
    running.close()
"""


@holds("scope")
def another_scope_finds_the_group_where_it_was_made(place: Place) -> None:
    with background(place.engine, "exec sleep 1000", memory=48 << 20) as id:
        group = group_of(place.engine.container(id).pid)
        scope = ("systemd-run", "--user", "--quiet", "--scope", "--property=Delegate=yes")
        argv = (*scope, sys.executable, "-c", _ELSEWHERE, str(place.folder), id)
        done = subprocess.run(argv, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        base, inside, counted = done.stdout.split(maxsplit=2)
        assert base != layout().base
        assert inside.startswith(f"0::{str(group).removeprefix(str(TREE))}/"), done.stdout
        assert counted == f"control group {48 << 20}\n"
