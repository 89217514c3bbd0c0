"""Control groups of version 2: one directory, controllers handed down from parent to child.

cgroup-v2 in the kernel's docs. Functions take the directory of a group.
"""

import errno
import os
import select
from collections.abc import Iterable

from sandcell.runtime.linux.cgroups_devices import restrict
from sandcell.runtime.linux.cgroups_files import kill_all, number, read, table, wait_until, write
from sandcell.runtime.linux.cgroups_layout import LEAF
from sandcell.runtime.linux.cgroups_limits import (
    UNLIMITED,
    Limits,
    Usage,
    cpu_max,
    or_max,
    put,
    weight,
)
from sandcell.runtime.linux.process import rules_the_machine

# v1 controllers that v2 has built in, or does by other means
_BUILT_IN = frozenset(("cpuacct", "freezer", "devices", "net_cls", "net_prio", "perf_event"))

_PASSES = 20
_PAUSE = 0.02


def hand_down(base: str, directory: str, controllers: Iterable[str]) -> frozenset[str]:
    """Let the group at ``directory`` have ``controllers``, switched on in every group from ``base``
    down to its parent. Gives those that it has; one that ``base`` has not, or the kernel does not
    switch on, is left out.

    A group that hands controllers down may hold no process itself, so processes that stand in
    ``base`` are moved into a child of it made for them.
    """
    wanted = {"io" if name == "blkio" else name for name in controllers if name not in _BUILT_IN}
    present = wanted & set(read(f"{directory}/cgroup.controllers").split())
    if present == wanted:
        return frozenset(present)
    parent = base
    for part in directory[len(base) :].strip("/").split("/"):
        possible = wanted & set(read(f"{parent}/cgroup.controllers").split())
        missing = possible - set(read(f"{parent}/cgroup.subtree_control").split())
        if missing:
            _switch_on(parent, missing, movable=parent == base)
        parent = f"{parent}/{part}"
    return frozenset(wanted & set(read(f"{directory}/cgroup.controllers").split()))


def limit(directory: str, limits: Limits) -> None:
    """Set the limits; ``InvalidOption`` names the one that was refused."""
    if limits.memory is not None:
        put(directory, "memory", "memory.max", or_max(limits.memory))
    if limits.memory_swap is not None and os.path.exists(f"{directory}/memory.swap.max"):
        swap = limits.memory_swap - (limits.memory or 0)
        put(
            directory,
            "memory",
            "memory.swap.max",
            "max" if limits.memory_swap == UNLIMITED else swap,
        )
    if limits.cpu_quota is not None or limits.cpu_period is not None:
        if limits.cpu_quota is None:
            # The file holds both; keep the quota that is there.
            quota = (read(f"{directory}/cpu.max") or "max").split(" ")[0]
            put(directory, "cpu", "cpu.max", f"{quota} {limits.cpu_period}")
        else:
            most, period = cpu_max(limits)
            put(directory, "cpu", "cpu.max", f"{'max' if most is None else most} {period}")
    if limits.cpu_shares is not None:
        put(directory, "cpu", "cpu.weight", weight(limits.cpu_shares))
    if limits.pids is not None:
        put(directory, "pids", "pids.max", or_max(limits.pids))
    if limits.cpuset_cpus:
        put(directory, "cpuset", "cpuset.cpus", limits.cpuset_cpus)
    if limits.cpuset_mems:
        put(directory, "cpuset", "cpuset.mems", limits.cpuset_mems)
    # Nobody but root of the machine may, and in a user namespace no device can be made in the first place.
    if limits.devices and rules_the_machine():
        restrict(directory, limits.devices)


def usage(directory: str) -> Usage:
    """What the group uses now."""
    used = number(f"{directory}/memory.current")
    if used is not None:
        used = max(0, used - table(f"{directory}/memory.stat").get("inactive_file", 0))
    microseconds = table(f"{directory}/cpu.stat").get("usage_usec")
    return Usage(
        memory=used,
        memory_limit=number(f"{directory}/memory.max"),
        cpu=None if microseconds is None else microseconds / 1e6,
        pids=number(f"{directory}/pids.current"),
        oom_kills=table(f"{directory}/memory.events").get("oom_kill", 0),
    )


def freeze(directory: str, seconds: float) -> bool:
    """Stop everything in the group and below; True once all of it stands still."""
    try:
        write(f"{directory}/cgroup.freeze", "1")
    except FileNotFoundError:
        return False
    events = f"{directory}/cgroup.events"
    return wait_until(lambda: table(events).get("frozen", 1) == 1, seconds)


def thaw(directory: str) -> None:
    """Let it run again; nothing where the group is gone."""
    try:
        write(f"{directory}/cgroup.freeze", "0")
    except FileNotFoundError:
        pass


def kill(directory: str) -> None:
    """SIGKILL to every process in the group and below; none escapes by forking. They end soon after
    this returns."""
    try:
        write(f"{directory}/cgroup.kill", "1")
    except FileNotFoundError:
        if os.path.isdir(directory):  # a kernel before 5.14
            freeze(directory, 0.5)
            kill_all(directory)
            thaw(directory)


def _switch_on(group: str, controllers: set[str], *, movable: bool) -> None:
    control = f"{group}/cgroup.subtree_control"
    for _ in range(_PASSES):
        try:
            write(control, " ".join(f"+{name}" for name in sorted(controllers)))
            return
        except OSError as error:
            if error.errno == errno.EBUSY and movable:
                _empty(group)
            elif error.errno == errno.EPERM:
                # cpuset takes nobody in who has more rights than we, as newuidmap(1) has for a moment.
                select.select([], [], [], _PAUSE)
            else:
                break
    # One that cannot be had (cpu, while real-time processes run) shall not keep back the others.
    for name in controllers:
        try:
            write(control, f"+{name}")
        except OSError:
            continue


def _empty(group: str) -> None:
    leaf = f"{group}/{LEAF}"
    try:
        os.mkdir(leaf)
    except FileExistsError:
        pass
    for pid in read(f"{group}/cgroup.procs").split():
        try:
            if pid != "0":
                write(f"{leaf}/cgroup.procs", pid)
        except ProcessLookupError:
            pass
