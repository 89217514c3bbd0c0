"""Limits on version 2 of control groups: the kernel has them, keeps them, and what they did is told."""

from pathlib import Path

from sandcell.runtime import Options
from sandcell.runtime.linux.cgroups import layout
from tests.engine.claims import IMAGE, background, sh, until
from tests.guest.registry import LIMITED, Place, holds

TREE = Path("/sys/fs/cgroup")


def group_of(pid: int | None) -> Path:
    """The directory of the group that a process is in."""
    (line,) = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    assert line.startswith("0::/"), line
    return Path(f"{TREE}{line[3:]}")


def table(path: Path) -> dict[str, int]:
    """Lines of a name and a number."""
    return {name: int(value) for name, value in (line.split() for line in path.read_text().splitlines())}


@holds(*LIMITED)
def limits_are_the_kernels(place: Place) -> None:
    engine = place.engine
    with background(engine, "exec sleep 1000", memory=64 << 20, cpus=0.5, pids_limit=20) as id:
        group = group_of(engine.container(id).pid)
        found = {name: (group / name).read_text().strip() for name in ("memory.max", "cpu.max", "pids.max")}
        assert found == {"memory.max": str(64 << 20), "cpu.max": "50000 100000", "pids.max": "20"}
        stats = engine.stats(id)
        assert (stats.memory_limit, stats.counted, stats.pids) == (64 << 20, "control group", 1)
        engine.update(id, memory=96 << 20, cpus=1.5, pids_limit=30)
        found = {name: (group / name).read_text().strip() for name in found}
        assert found == {"memory.max": str(96 << 20), "cpu.max": "150000 100000", "pids.max": "30"}


@holds("root", "scope")
def too_much_memory_ends_it_and_is_told(place: Place) -> None:
    engine = place.engine
    made = engine.create(IMAGE, ("sh", "-c", "head -c 300m /dev/zero | tail"), Options(memory=16 << 20))
    engine.start(made)
    assert engine.wait(made, timeout=60) in (137, 1)
    running = engine.create(IMAGE, ("sh", "-c", "exec tail /dev/zero"), Options(memory=16 << 20))
    engine.start(running)
    assert engine.wait(running, timeout=60) == 137
    assert engine.container(running.id).oom
    for one in (made, running):
        engine.remove(one)


@holds("root", "scope")
def a_busy_one_is_held_back_to_its_share(place: Place) -> None:
    engine = place.engine
    with background(engine, "while :; do :; done", cpus=0.2) as id:
        group = group_of(engine.container(id).pid)
        until(lambda: table(group / "cpu.stat")["nr_throttled"] >= 3, "being held back")
        stat = table(group / "cpu.stat")
        # It may use 20 ms in each 100 ms; what a period has begun with is not taken away.
        assert stat["usage_usec"] <= (stat["nr_periods"] + 2) * 30_000, stat


@holds("root", "scope")
def a_fork_bomb_ends_at_its_limit(place: Place) -> None:
    engine = place.engine
    with background(engine, "f() { f & f & wait; }; f; sleep 1000", pids_limit=24) as id:
        group = group_of(engine.container(id).pid)
        until(lambda: table(group / "pids.events")["max"] > 0, "the limit")
        assert int((group / "pids.current").read_text()) <= 24
        engine.kill(id)
        assert engine.wait(id, timeout=60) == 137
        until(lambda: not group.exists(), "the group's end")


@holds("root", "scope")
def standing_still_uses_no_processor_time(place: Place) -> None:
    engine = place.engine
    with background(engine, "while :; do :; done") as id:
        group = group_of(engine.container(id).pid)
        engine.pause(id)
        assert (group / "cgroup.freeze").read_text().strip() == "1"
        assert table(group / "cgroup.events")["frozen"] == 1

        def used() -> int:
            return table(group / "cpu.stat")["usage_usec"]

        def stands() -> bool:
            before = used()
            return engine.wait(id, timeout=0.3) is None and used() == before

        until(stands, "its standing still")  # what it used before may be counted a little later
        before = used()
        engine.unpause(id)
        until(lambda: used() > before, "going on")


@holds("root", "user")
def processors_and_weights_can_be_chosen(place: Place) -> None:
    engine = place.engine
    with background(engine, "exec sleep 1000", cpuset_cpus="1", cpu_shares=2048) as id:
        pid = engine.container(id).pid
        group = group_of(pid)
        assert (group / "cpuset.cpus.effective").read_text() == "1\n"
        assert "Cpus_allowed_list:\t1\n" in Path(f"/proc/{pid}/status").read_text()
        assert 100 < int((group / "cpu.weight").read_text()) < 300
        engine.update(id, cpuset_cpus="0-1")
        assert (group / "cpuset.cpus.effective").read_text() == "0-1\n"


@holds("root", "system")
def devices_it_may_not_use_cannot_be_opened(place: Place) -> None:
    disk = Path("/sys/class/block/nvme0n3/dev").read_text().strip().replace(":", " ")
    script = (
        f"mknod /disk b {disk} && echo made; head -c 1 /disk || echo refused; head -c 1 /dev/zero | wc -c"
    )
    said = sh(place.engine, script)
    assert said.split() == ["made", "refused", "1"], said


@holds("root", "scope")
def many_at_once_leave_no_group(place: Place) -> None:
    engine = place.engine
    for _ in range(3):
        begun = [engine.launch(IMAGE, ("true",), Options(remove=True, memory=32 << 20)) for _ in range(4)]
        assert [running.wait(60) for running in begun] == [0] * 4
        for running in begun:
            running.close()
    until(lambda: not Path(layout().base, "sandcell").exists(), "the end of all groups")
