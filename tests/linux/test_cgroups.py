"""Groups on plain directories that stand in for the kernel's trees."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandcell.runtime.errors import Conflict, HostRefused, InvalidOption
from sandcell.runtime.linux.cgroups import Cgroup, CgroupLayout, Limits, enter
from sandcell.runtime.linux.cgroups_limits import weight

V1_FILES = {
    "memory": "memory.limit_in_bytes memory.memsw.limit_in_bytes memory.usage_in_bytes memory.stat"
    " memory.oom_control",
    "cpu": "cpu.cfs_quota_us cpu.cfs_period_us cpu.shares",
    "cpuacct": "cpuacct.usage",
    "pids": "pids.max pids.current",
    "freezer": "freezer.state",
    "devices": "devices.allow devices.deny",
}
V2_FILES = (
    "memory.max memory.swap.max memory.current memory.stat memory.events cpu.max cpu.weight cpu.stat pids.max"
    " pids.current cpuset.cpus cgroup.kill cgroup.freeze cgroup.events cgroup.procs cgroup.subtree_control"
)
V2_CONTROLLERS = "cpuset cpu io memory pids"


def v1(tmp_path: Path, *without: str) -> tuple[Cgroup, Path]:
    """A group of v1 that exists, its files empty: what is written into them can be read back."""
    bases = {}
    for controller, files in V1_FILES.items():
        if controller not in without:
            bases[controller] = str(tmp_path / controller)
            place = tmp_path / controller / "sandcell" / "x"
            place.mkdir(parents=True)
            for name in f"{files} cgroup.procs tasks".split():
                (place / name).touch()
    return Cgroup("sandcell/x", CgroupLayout(version="v1", bases=bases, writable=True)), tmp_path


def v2(tmp_path: Path) -> tuple[Cgroup, Path]:
    for place in (tmp_path, tmp_path / "sandcell", tmp_path / "sandcell/x"):
        place.mkdir(exist_ok=True)
        (place / "cgroup.controllers").write_text(V2_CONTROLLERS)
        for name in V2_FILES.split():
            (place / name).touch()
    layout = CgroupLayout(version="v2", bases={"": str(tmp_path)}, writable=True)
    return Cgroup("/sandcell/x", layout), tmp_path / "sandcell/x"


def content(root: Path, *names: str) -> list[str]:
    return [(root / name).read_text() for name in names]


def test_limits_on_v1(tmp_path: Path) -> None:
    group, root = v1(tmp_path)
    group.limit(Limits(memory=64 << 20, memory_swap=128 << 20, cpu_quota=150_000, cpu_period=50_000, pids=20))
    group.limit(Limits(cpu_shares=512, devices=((False, "a *:* rwm"), (True, "c 1:3 rwm"))))
    memory, cpu = root / "memory/sandcell/x", root / "cpu/sandcell/x"
    assert content(memory, "memory.limit_in_bytes", "memory.memsw.limit_in_bytes") == [
        "67108864",
        "134217728",
    ]
    assert content(cpu, "cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.shares") == ["150000", "50000", "512"]
    assert content(root, "pids/sandcell/x/pids.max") == ["20"]
    assert content(root / "devices/sandcell/x", "devices.deny", "devices.allow") == ["a", "c 1:3 rwm"]


def test_limits_on_v2(tmp_path: Path) -> None:
    group, place = v2(tmp_path)
    group.limit(Limits(memory=64 << 20, memory_swap=96 << 20, cpu_quota=150_000, cpu_shares=1024, pids=20))
    group.limit(Limits(cpuset_cpus="0-1"))
    files = ("memory.max", "memory.swap.max", "cpu.max", "cpu.weight", "pids.max", "cpuset.cpus")
    assert content(place, *files) == ["67108864", "33554432", "150000 100000", "100", "20", "0-1"]


def test_device_rules_for_both_kinds_on_v1(tmp_path: Path) -> None:
    group, root = v1(tmp_path)
    group.limit(Limits(devices=((False, "a *:* rwm"), (True, "a 1:3 r"))))
    place = root / "devices/sandcell/x"
    assert content(place, "devices.deny", "devices.allow") == ["a", "c 1:3 r"]  # "b 1:3 r" before it


def test_a_new_period_keeps_the_quota_of_v2(tmp_path: Path) -> None:
    group, place = v2(tmp_path)
    (place / "cpu.max").write_text("30000 100000")
    group.limit(Limits(cpu_period=50000))
    assert content(place, "cpu.max")[0].startswith("30000 50000")


def test_no_limit_is_minus_one(tmp_path: Path) -> None:
    group, place = v2(tmp_path / "two")
    nothing = Limits(memory=-1, memory_swap=-1, cpu_quota=-1, pids=-1)
    group.limit(nothing)
    assert content(place, "memory.max", "memory.swap.max", "cpu.max", "pids.max") == [
        "max",
        "max",
        "max 100000",
        "max",
    ]
    group, root = v1(tmp_path / "one")
    group.limit(nothing)
    assert content(root, "memory/sandcell/x/memory.limit_in_bytes", "pids/sandcell/x/pids.max") == [
        "-1",
        "max",
    ]


@pytest.mark.parametrize(
    ("limits", "cause"),
    [
        (Limits(memory=4 << 20), "nothing starts in less than 6 MiB"),
        (Limits(memory=0), "nothing starts"),
        (Limits(memory_swap=1 << 30), "needs a limit of memory too"),
        (Limits(memory=1 << 30, memory_swap=1 << 29), "less than memory alone"),
        (Limits(cpu_quota=10), "too small"),
        (Limits(cpu_period=10), "out of range"),
        (Limits(cpu_shares=1), "out of range"),
        (Limits(pids=0), "not even the first"),
    ],
)
def test_senseless_limits_touch_nothing(tmp_path: Path, limits: Limits, cause: str) -> None:
    group, place = v2(tmp_path)
    with pytest.raises(InvalidOption, match=cause) as raised:
        group.limit(limits)
    assert raised.value.hint
    assert content(place, "memory.max", "cpu.max", "pids.max") == ["", "", ""]


def test_a_missing_controller_is_named(tmp_path: Path) -> None:
    group, _ = v1(tmp_path, "memory")
    with pytest.raises(HostRefused, match="no memory controller"):
        group.limit(Limits(memory=64 << 20))


def test_memory_without_accounting_of_swap(tmp_path: Path) -> None:
    group, root = v1(tmp_path)
    (root / "memory/sandcell/x/memory.memsw.limit_in_bytes").unlink()
    group.limit(Limits(memory=64 << 20, memory_swap=64 << 20))
    assert content(root, "memory/sandcell/x/memory.limit_in_bytes") == ["67108864"]


@given(st.integers(2, 262143))
def test_weights_rise_with_shares(shares: int) -> None:
    assert 1 <= weight(shares) <= weight(shares + 1) <= 10000


def test_weights_meet_where_both_have_their_usual_value() -> None:
    assert [weight(shares) for shares in (2, 1024, 262144)] == [1, 100, 10000]


def test_usage_of_v1(tmp_path: Path) -> None:
    group, root = v1(tmp_path)
    memory = root / "memory/sandcell/x"
    (memory / "memory.usage_in_bytes").write_text("5000000\n")
    (memory / "memory.stat").write_text("cache 1\ntotal_inactive_file 1000000\n")
    (memory / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    (memory / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    (root / "cpuacct/sandcell/x/cpuacct.usage").write_text("2500000000\n")
    (root / "pids/sandcell/x/pids.current").write_text("7\n")
    used = group.usage()
    assert (used.memory, used.memory_limit, used.cpu, used.pids, used.oom_kills) == (4000000, None, 2.5, 7, 3)


def test_usage_of_v2(tmp_path: Path) -> None:
    group, place = v2(tmp_path)
    (place / "memory.current").write_text("5000000\n")
    (place / "memory.stat").write_text("anon 1\ninactive_file 1000000\n")
    (place / "memory.max").write_text("67108864\n")
    (place / "memory.events").write_text("oom 1\noom_kill 2\n")
    (place / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\n")
    (place / "pids.current").write_text("7\n")
    used = group.usage()
    assert (used.memory, used.memory_limit, used.cpu, used.pids, used.oom_kills) == (
        4000000,
        67108864,
        2.5,
        7,
        2,
    )


def test_what_is_not_there_uses_nothing_known(tmp_path: Path) -> None:
    layout = CgroupLayout(version="v1", bases={"freezer": str(tmp_path)}, writable=True)
    gone = Cgroup("sandcell/gone", layout)
    assert gone.usage() == Cgroup("sandcell/gone", layout).child("x").usage()
    assert gone.usage().memory is None
    assert gone.pids() == []
    gone.kill()
    gone.thaw()
    gone.remove()
    gone.prune()


def test_create_and_remove(tmp_path: Path) -> None:
    bases = {name: str(tmp_path / name) for name in ("memory", "cpu", "cpuacct", "freezer", "blkio")}
    for base in bases.values():
        os.mkdir(base)
    group = Cgroup("sandcell/x", CgroupLayout(version="v1", bases=bases, writable=True))
    assert group.create({"memory", "cpu", "pids"}) == {"memory", "cpu", "cpuacct"}
    group.create()
    made = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*/*"))
    assert made == ["cpu/sandcell/x", "cpuacct/sandcell/x", "freezer/sandcell/x", "memory/sandcell/x"]
    child = group.child("c1")
    assert not (tmp_path / "freezer/sandcell/x/c1").exists()
    (tmp_path / "freezer/sandcell/x/c1").mkdir()
    parent = Cgroup("sandcell", group.layout)
    parent.prune()
    assert group.path == "sandcell/x"
    assert (tmp_path / "memory/sandcell/x").exists()
    group.remove()
    child.remove()
    parent.prune()
    assert list(tmp_path.glob("*/*")) == []


def test_a_group_that_stays_busy_is_told(tmp_path: Path) -> None:
    group, root = v1(tmp_path)
    (root / "freezer/sandcell/x/cgroup.procs").write_text("4711\n")
    with pytest.raises(Conflict, match="processes run in it: 4711"):
        group.remove(seconds=0)


def test_v2_hands_controllers_down(tmp_path: Path) -> None:
    group, place = v2(tmp_path)
    (place / "cgroup.controllers").write_text("")
    group.create({"memory", "pids", "cpu", "freezer", "devices"})
    assert (
        content(tmp_path, "cgroup.subtree_control", "sandcell/cgroup.subtree_control")
        == ["+cpu +memory +pids"] * 2
    )


def test_pids_are_of_the_group_and_below(tmp_path: Path) -> None:
    group, place = v2(tmp_path)
    (place / "cgroup.procs").write_text("10\n0\n11\n")
    (place / "c1").mkdir()
    (place / "c1/cgroup.procs").write_text("12\n")
    assert sorted(group.pids()) == [10, 11, 12]
    assert group.child("c1").pids() == [12]


def test_a_process_is_put_where_it_belongs(tmp_path: Path) -> None:
    group, root = v1(tmp_path)
    group.add(4711)
    assert {path.read_text() for path in root.glob("*/sandcell/x/cgroup.procs")} == {"4711"}
    doors = group.doors()
    enter(doors)
    for door in doors:
        os.close(door)
    assert {path.read_text() for path in root.glob("*/sandcell/x/tasks")} == {"0"}
    assert group.open() is None


def test_v2_is_entered_by_birth(tmp_path: Path) -> None:
    group, place = v2(tmp_path)
    assert group.doors() == ()
    descriptor = group.child("c1").open()
    assert descriptor is not None
    assert os.path.samestat(os.fstat(descriptor), (place / "c1").stat())
    os.close(descriptor)


def test_kill_before_linux_5_14_is_one_by_one(tmp_path: Path) -> None:
    group, place = v2(tmp_path)
    (place / "cgroup.kill").unlink()
    pid = os.fork()
    if pid == 0:
        while True:
            signal.pause()
    (place / "cgroup.procs").write_text(f"{pid}\n")
    group.kill()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert content(place, "cgroup.freeze") == ["0"]


def test_kill_and_freeze_of_v2(tmp_path: Path) -> None:
    group, place = v2(tmp_path)
    group.kill()
    assert content(place, "cgroup.kill") == ["1"]
    (place / "cgroup.events").write_text("populated 1\nfrozen 0\n")
    with pytest.raises(HostRefused, match="freeze"):
        group.freeze(seconds=0)
    assert content(place, "cgroup.freeze") == ["0"]
    (place / "cgroup.events").write_text("populated 1\nfrozen 1\n")
    group.freeze(seconds=0)
    assert content(place, "cgroup.freeze") == ["1"]


def test_freezing_without_a_freezer(tmp_path: Path) -> None:
    group, _ = v1(tmp_path, "freezer")
    with pytest.raises(HostRefused, match="no freezer"):
        group.freeze()


def test_where_no_group_can_be_made(tmp_path: Path) -> None:
    group = Cgroup("sandcell/x", CgroupLayout(version="v2", refused="not for you", fix="be root"))
    with pytest.raises(HostRefused, match="not for you") as raised:
        group.create()
    assert raised.value.hint == "be root"


def test_a_failure_half_way_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    (tmp_path / "freezer").touch()
    bases = {"memory": str(tmp_path / "memory"), "freezer": str(tmp_path / "freezer")}
    group = Cgroup("sandcell/x", CgroupLayout(version="v1", bases=bases, writable=True))
    with pytest.raises(HostRefused, match="Not a directory"):
        group.create()
    assert list(tmp_path.glob("memory/sandcell/*")) == []


@pytest.mark.parametrize("path", ["", "/", "a//b", "../x", "sandcell/../../x", "./x"])
def test_paths_that_lead_elsewhere(path: str) -> None:
    with pytest.raises(InvalidOption):
        Cgroup(path, CgroupLayout(version="v2"))
