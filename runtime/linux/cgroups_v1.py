"""Control groups of version 1: a directory in each controller's tree. cgroup-v1 in the kernel's docs.

Functions take ``places``: controller → directory of the group in that controller's tree.
"""

import errno
import os
from itertools import groupby

from sandcell.runtime.errors import InvalidOption
from sandcell.runtime.linux.cgroups_files import kill_all, number, read, table, wait_until, write
from sandcell.runtime.linux.cgroups_limits import UNLIMITED, Limits, Usage, cpu_max, or_max, put, unavailable

Places = dict[str, str]


def prepare_cpuset(base: str, directory: str) -> None:
    """Give each new group between ``base`` and ``directory`` its parent's cpus and memory nodes:
    v1 lets no process into a group without."""
    path = base
    for part in directory[len(base) :].strip("/").split("/"):
        parent, path = path, f"{path}/{part}"
        for name in ("cpuset.cpus", "cpuset.mems"):
            if not read(f"{path}/{name}"):
                write(f"{path}/{name}", read(f"{parent}/{name}"))


def limit(places: Places, limits: Limits) -> None:
    """Set the limits, each in its tree; ``InvalidOption`` names the one that was refused."""
    if limits.memory is not None or limits.memory_swap is not None:
        _memory(_place(places, "memory"), limits)
    if limits.cpu_quota is not None or limits.cpu_period is not None:
        _cpu(_place(places, "cpu"), limits)
    if limits.cpu_shares is not None:
        put(_place(places, "cpu"), "cpu", "cpu.shares", limits.cpu_shares)
    if limits.pids is not None:
        put(_place(places, "pids"), "pids", "pids.max", or_max(limits.pids))
    if limits.cpuset_cpus:
        put(_place(places, "cpuset"), "cpuset", "cpuset.cpus", limits.cpuset_cpus)
    if limits.cpuset_mems:
        put(_place(places, "cpuset"), "cpuset", "cpuset.mems", limits.cpuset_mems)
    if limits.devices and "devices" in places:
        rules = [(allow, text) for allow, rule in limits.devices for text in _device_rules(rule)]
        for allow, texts in groupby(rules, lambda rule: rule[0]):
            name = "devices.allow" if allow else "devices.deny"
            put(places["devices"], "devices", name, *[text for _, text in texts])


def usage(places: Places) -> Usage:
    """What the group uses now."""
    memory, cpu = places.get("memory", ""), places.get("cpuacct", "")
    used = number(f"{memory}/memory.usage_in_bytes") if memory else None
    if used is not None:
        used = max(0, used - table(f"{memory}/memory.stat").get("total_inactive_file", 0))
    ceiling = number(f"{memory}/memory.limit_in_bytes") if memory else None
    nanoseconds = number(f"{cpu}/cpuacct.usage") if cpu else None
    return Usage(
        memory=used,
        # No limit reads as the largest number of whole pages.
        memory_limit=ceiling if ceiling is not None and ceiling < 1 << 62 else None,
        cpu=None if nanoseconds is None else nanoseconds / 1e9,
        pids=number(f"{places['pids']}/pids.current") if "pids" in places else None,
        oom_kills=table(f"{memory}/memory.oom_control").get("oom_kill", 0) if memory else 0,
    )


def freeze(tracker: str, seconds: float) -> bool:
    """Stop everything in the group and below; True once all of it stands still."""
    state = f"{tracker}/freezer.state"

    def frozen() -> bool:
        # Reading makes the kernel look whether the last process has stopped.
        if read(state) in ("FROZEN", ""):
            return True
        # Who just begins another program can miss that it shall stop (seen in one of 100 new
        # containers), and would run on for ever: all are told again.
        _tell(state, "FROZEN")
        return False

    return _tell(state, "FROZEN") and wait_until(frozen, seconds)


def thaw(tracker: str) -> None:
    """Let it run again; nothing where the group is gone or has no freezer."""
    _tell(f"{tracker}/freezer.state", "THAWED")


def kill(tracker: str) -> None:
    """SIGKILL to every process in the group and below, stopped first so that none escapes by
    forking. They end soon after this returns."""
    freeze(tracker, 0.5)
    kill_all(tracker)
    thaw(tracker)


def _tell(state: str, word: str) -> bool:
    """False where the group is gone or has no freezer."""
    try:
        write(state, word)
    except FileNotFoundError:
        return False
    return True


def _device_rules(rule: str) -> tuple[str, ...]:
    # To the kernel "a" means all, whatever numbers follow.
    if rule == "a *:* rwm":
        return ("a",)
    return ("b" + rule[1:], "c" + rule[1:]) if rule.startswith("a ") else (rule,)


def _place(places: Places, controller: str) -> str:
    if controller not in places:
        raise unavailable(controller)
    return places[controller]


def _memory(directory: str, limits: Limits) -> None:
    memory, both = "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"
    if limits.memory is not None:
        try:
            put(directory, "memory", memory, limits.memory)
        except InvalidOption:
            # More than memory and swap together are allowed so far: those first.
            if limits.memory_swap is None or number(f"{directory}/{both}") is None:
                raise
            put(directory, "memory", both, limits.memory_swap)
            put(directory, "memory", memory, limits.memory)
            return
    # Kernels without accounting of swap have no such file; then memory alone is limited.
    if limits.memory_swap is not None and os.path.exists(f"{directory}/{both}"):
        put(directory, "memory", both, limits.memory_swap)


def _cpu(directory: str, limits: Limits) -> None:
    quota, period = cpu_max(limits)
    if limits.cpu_quota is None:
        put(directory, "cpu", "cpu.cfs_period_us", period)
        return
    # Period and old quota together may ask for more than the parent has.
    try:
        write(f"{directory}/cpu.cfs_quota_us", "-1")
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise unavailable("cpu", os.strerror(errno.ENOENT)) from None
        raise
    if limits.cpu_period is not None:
        put(directory, "cpu", "cpu.cfs_period_us", period)
    put(directory, "cpu", "cpu.cfs_quota_us", UNLIMITED if quota is None else quota)
