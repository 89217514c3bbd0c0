"""Groups in the trees of this kernel: v1 where it has controllers, and v2 wherever it is mounted."""

import gc
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from sandcell.runtime.errors import Conflict, InvalidOption
from sandcell.runtime.linux.cgroups import Cgroup, CgroupLayout, Limits, enter, layout
from sandcell.runtime.linux.cgroups_layout import parse_mounts
from sandcell.runtime.linux.syscall import clone3

PARENT = f"sandcell-test-{os.getpid()}"
HERE = layout()
UNIFIED = next(
    (tree.place for tree in parse_mounts(Path("/proc/self/mountinfo").read_text()) if tree.unified), ""
)
WRITABLE = bool(UNIFIED) and os.geteuid() == 0 and os.access(UNIFIED, os.W_OK)

pytestmark = pytest.mark.kernel
v1 = pytest.mark.skipif(HERE.unified or not HERE.writable, reason=HERE.refused or "this host is on cgroup v2")
v2 = pytest.mark.skipif(not WRITABLE, reason="no v2 tree that root may write is mounted")


@contextmanager
def group(where: CgroupLayout, name: str) -> Iterator[Cgroup]:
    made = Cgroup(f"{PARENT}/{name}", where)
    try:
        yield made
    finally:
        made.kill()
        made.remove()
        Cgroup(PARENT, where).prune()


@pytest.fixture
def one() -> Iterator[Cgroup]:
    """A new group on this host's own layout."""
    with group(HERE, "one") as made:
        made.create()
        yield made


@pytest.fixture
def two() -> Iterator[Cgroup]:
    """A new group on the v2 tree, which may have few controllers or none."""
    with group(CgroupLayout(version="v2", bases={"": UNIFIED}, writable=True), "two") as made:
        made.create(())
        yield made


def start(inside: Callable[[], object], doors: tuple[int, ...] = (), into: int = -1) -> int:
    """A child that enters, does ``inside`` and waits; returns once it has."""
    ready, told = os.pipe()
    pid = os.fork() if into < 0 else clone3(0, signal.SIGCHLD, into)[0]
    if pid == 0:
        _child(doors, inside, told)
    os.close(told)
    said = os.read(ready, 1)
    os.close(ready)
    assert said == b"."
    return pid


def _child(doors: tuple[int, ...], inside: Callable[[], object], told: int) -> NoReturn:
    try:
        gc.disable()  # it would make a copy of every page of ours, which the group has to pay for
        enter(doors)
        inside()
        os.write(told, b".")
        os.close(told)
        while True:
            signal.pause()
    finally:
        os._exit(1)


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def through_doors(into: Cgroup, inside: Callable[[], object] = lambda: None) -> int:
    doors = into.doors()
    try:
        return start(inside, doors)
    finally:
        for door in doors:
            os.close(door)


def born(into: Cgroup, inside: Callable[[], object] = lambda: None) -> int:
    descriptor = into.open()
    assert descriptor is not None
    try:
        return start(inside, into=descriptor)
    finally:
        os.close(descriptor)


def fork_twice() -> None:
    if os.fork() == 0 or os.fork() == 0:
        while True:
            signal.pause()


@v1
def test_v1_a_process_moves_itself_in_and_is_counted(one: Cgroup) -> None:
    pid = through_doors(one, fork_twice)
    assert len(one.pids()) == 3
    assert pid in one.pids()
    used = one.usage()
    assert used.pids == 3
    assert (used.memory or 0) > 0
    assert used.cpu is not None
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    assert sum(line.endswith(f"{PARENT}/one") for line in lines) >= 5
    one.kill()
    assert ended(pid) == -signal.SIGKILL


@v1
def test_v1_moving_in_needs_no_wait_after_an_idle_moment(one: Cgroup) -> None:
    """Writing the pid waits for the kernel then; going in through the doors makes no system call wait."""
    doors = one.doors()
    heard, told = os.pipe()

    def counted() -> None:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
        enter(doors)
        os.write(told, b"%d\n" % (resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before))

    # Somebody else may be making groups just then: who comes later does not meet him.
    pids = [start(counted) for _ in range(5)]
    assert b"0" in os.read(heard, 100).split()
    for descriptor in (heard, told, *doors):
        os.close(descriptor)
    assert sorted(one.pids()) == sorted(pids)
    one.kill()
    for pid in pids:
        ended(pid)


@v1
def test_v1_limits_reach_the_kernel(one: Cgroup) -> None:
    one.limit(Limits(memory=64 << 20, memory_swap=64 << 20, cpu_quota=50000, cpu_period=100000, pids=5))
    one.limit(Limits(memory=256 << 20, memory_swap=256 << 20, cpu_quota=200000, cpu_period=50000))
    one.limit(Limits(memory=32 << 20, memory_swap=32 << 20, cpu_shares=2))
    base = {name: Path(HERE.bases[name]) / PARENT / "one" for name in ("memory", "cpu", "pids")}
    assert (base["memory"] / "memory.limit_in_bytes").read_text().strip() == str(32 << 20)
    assert (base["cpu"] / "cpu.cfs_quota_us").read_text().strip() == "200000"
    assert (base["cpu"] / "cpu.cfs_period_us").read_text().strip() == "50000"
    assert (base["pids"] / "pids.max").read_text().strip() == "5"
    assert one.usage().memory_limit == 32 << 20


@v1
def test_v1_too_many_processes_and_too_much_memory(one: Cgroup) -> None:
    one.limit(Limits(memory=16 << 20, memory_swap=16 << 20, pids=3))

    def crowd() -> None:
        fork_twice()
        try:
            os.fork()
        except BlockingIOError:
            return
        os._exit(2)

    pid = through_doors(one, crowd)
    assert one.usage().pids == 3
    one.kill()
    assert ended(pid) == -signal.SIGKILL

    doors = one.doors()
    pid = os.fork()
    if pid == 0:
        try:
            enter(doors)
            eaten = [bytearray(b"x") * (1 << 20) for _ in range(64)]
            os._exit(len(eaten))
        finally:
            os._exit(1)
    for door in doors:
        os.close(door)
    assert ended(pid) == -signal.SIGKILL
    assert one.usage().oom_kills == 1


@v1
def test_v1_cpuset_only_when_asked_for() -> None:
    if "cpuset" not in HERE.bases:
        pytest.skip("no cpuset tree here")
    with group(HERE, "set") as made:
        made.create({"cpuset", "freezer"})
        made.limit(Limits(cpuset_cpus="0"))
        pid = through_doors(made)
        assert os.sched_getaffinity(pid) == {0}
        with pytest.raises(InvalidOption, match="4000"):
            made.limit(Limits(cpuset_cpus="4000"))
        made.kill()
        ended(pid)


def devices_are_refused(made: Cgroup, enter_it: Callable[..., int]) -> None:
    rules = ((False, "a *:* rwm"), (True, "c *:* m"), (True, "c 1:3 rwm"), (True, "c 1:5 r"))
    made.limit(Limits(devices=rules))

    def attempt() -> None:
        os.close(os.open("/dev/null", os.O_RDWR))
        os.close(os.open("/dev/zero", os.O_RDONLY))
        for path, flags in (("/dev/zero", os.O_WRONLY), ("/dev/urandom", os.O_RDONLY)):
            try:
                os.open(path, flags)
            except PermissionError:
                continue
            os._exit(2)

    pid = enter_it(made, attempt)
    made.kill()
    ended(pid)


@v1
@pytest.mark.skipif("devices" not in HERE.bases, reason="no devices tree here")
def test_v1_devices_that_are_not_allowed(one: Cgroup) -> None:
    devices_are_refused(one, through_doors)


@v2
def test_v2_devices_that_are_not_allowed(two: Cgroup) -> None:
    devices_are_refused(two, born)


@v1
def test_v1_a_child_follows_one_command_only(one: Cgroup) -> None:
    first = through_doors(one)
    child = one.child("cell")
    second = through_doors(child, fork_twice)
    assert len(one.pids()) == 4
    assert len(child.pids()) == 3
    assert second in child.pids()
    assert one.usage().pids == 4
    child.kill()
    assert ended(second) == -signal.SIGKILL
    child.remove()
    assert one.pids() == [first]
    added = start(lambda: None)
    one.child("cell").add(added)
    assert one.child("cell").pids() == [added]
    one.kill()
    assert [ended(first), ended(added)] == [-signal.SIGKILL] * 2


def stands_still(pid: int) -> bool:
    """True when the process spends no processor time although it could."""

    def spent() -> int:
        return sum(
            int(word) for word in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        )

    before, deadline = spent(), time.monotonic() + 0.05
    while time.monotonic() < deadline:
        os.sched_yield()
    return spent() - before <= 1


def busy() -> None:
    if os.fork() == 0:
        while True:
            pass


def freezes_and_thaws(made: Cgroup, enter_it: Callable[..., int]) -> None:
    pid = enter_it(made, busy)
    (runner,) = [found for found in made.pids() if found != pid]
    made.freeze()
    assert stands_still(runner)
    made.thaw()
    made.freeze()
    made.kill()
    assert ended(pid) == -signal.SIGKILL
    made.thaw()


def programs() -> None:
    if os.fork() == 0:
        os.execv("/bin/sh", ("sh", "-c", "while :; do /bin/true; done"))


@v1
@pytest.mark.slow
def test_v1_who_just_begins_a_program_stops_too(one: Cgroup) -> None:
    """Told once, one of ten would not."""
    pid = through_doors(one, programs)
    for _ in range(100):
        one.freeze()
        one.thaw()
    one.kill()
    ended(pid)


@v1
def test_v1_freeze_thaw_and_kill_while_frozen(one: Cgroup) -> None:
    freezes_and_thaws(one, through_doors)


@v2
def test_v2_freeze_thaw_and_kill_while_frozen(two: Cgroup) -> None:
    freezes_and_thaws(two, born)


def multiply() -> None:
    """Fork for ever, each parent ending as its child appears."""
    if os.fork() == 0:
        while True:
            if os.fork():
                os._exit(0)


def kills_what_forks(made: Cgroup, enter_it: Callable[..., int]) -> None:
    pid = enter_it(made, multiply)
    made.kill()
    assert ended(pid) == -signal.SIGKILL
    made.remove()
    assert made.pids() == []


@v1
def test_v1_kill_wins_against_a_fork_bomb(one: Cgroup) -> None:
    kills_what_forks(one, through_doors)


@v2
def test_v2_kill_wins_against_a_fork_bomb(two: Cgroup) -> None:
    kills_what_forks(two, born)


@v2
def test_v2_a_process_is_born_inside_and_so_are_its_children(two: Cgroup) -> None:
    first = born(two, fork_twice)
    child = two.child("cell")
    second = born(child)
    assert len(two.pids()) == 4
    assert child.pids() == [second]
    assert Path(f"/proc/{second}/cgroup").read_text().splitlines()[-1].endswith(f"{PARENT}/two/cell")
    assert child.usage().cpu is not None
    child.kill()
    assert ended(second) == -signal.SIGKILL
    child.remove()
    two.kill()
    assert ended(first) == -signal.SIGKILL


@v2
def test_v2_processes_in_the_way_are_moved_aside() -> None:
    """The rule that a group with controllers for its children holds no process itself."""
    offered = (Path(UNIFIED) / "cgroup.controllers").read_text().split()
    if not offered:
        pytest.skip("the v2 tree has no controller of its own")
    name = offered[0]
    outer = CgroupLayout(version="v2", bases={"": UNIFIED}, writable=True)
    before = (Path(UNIFIED) / "cgroup.subtree_control").read_text()
    with group(outer, "given") as given:
        given.create({name})
        pid = born(given)
        inner = CgroupLayout(version="v2", bases={"": f"{UNIFIED}/{given.path}"}, writable=True)
        made = Cgroup("sandcell/x", inner)
        assert made.create({name, "no-such"}) == {name}
        where = Path(f"/proc/{pid}/cgroup").read_text().splitlines()[-1]
        assert where.endswith("/given/sandcell.host")
        given.kill()
        ended(pid)
    if name not in before.split():
        (Path(UNIFIED) / "cgroup.subtree_control").write_text(f"-{name}")


@pytest.mark.skipif(not HERE.writable, reason=HERE.refused or "no control groups here")
def test_a_group_with_processes_is_not_removed(one: Cgroup) -> None:
    pid = born(one) if HERE.unified else through_doors(one)
    with pytest.raises(Conflict, match=str(pid)):
        one.remove(seconds=0.01)
    one.kill()
    ended(pid)
