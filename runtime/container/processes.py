"""Which of the host's processes belong to a container, or to one cell that runs in it.

A control group knows best. Without one a container's processes are those of its pid namespace, and
a cell's are those that carry its mark in their environment, are in its session, or come from one of
these: a process may leave its session and its parent, but what it was started with stays readable
in /proc/PID/environ. Only who leaves all three behind is missed.
"""

import os
from collections.abc import Iterable

from sandcell.runtime.linux.cgroups import Cgroup
from sandcell.runtime.linux.process import Identity, alive, read_text

MARK = "SANDCELL_EXEC"


def of_container(init: Identity, cgroup: Cgroup | None) -> list[int]:
    """Host pids of every process of the container, init first; empty when init has ended."""
    if not alive(init):
        return []
    found = _in_pid_namespace(init.pid) if cgroup is None else cgroup.pids()
    return [init.pid, *(pid for pid in found if pid != init.pid)]


def of_exec(init: Identity, exec_id: str, cgroup: Cgroup | None, leader: int) -> list[int]:
    """Host pids of the processes that ``exec_id`` started and of all that they started. ``leader``:
    its own process, which began a session."""
    if cgroup is not None:
        return cgroup.pids()
    if _is_ours(init.pid):
        from sandcell.runtime.container import descendants

        return descendants.mates(leader)
    mark = f"{MARK}={exec_id}".encode()
    families = {pid: _family(pid) for pid in _in_pid_namespace(init.pid)}
    found = {pid for pid, (_, session) in families.items() if session == leader or mark in _environment(pid)}
    size = 0
    while len(found) > size:
        size = len(found)
        found |= {pid for pid, (parent, _) in families.items() if parent in found}
    return sorted(found)


def signal_all(pids: Iterable[int], signum: int) -> None:
    """Send ``signum`` to each; those that have ended meanwhile are passed over."""
    for pid in pids:
        try:
            os.kill(pid, signum)
        except (ProcessLookupError, PermissionError):
            continue


def _is_ours(pid: int) -> bool:
    """Is the process in our own pid namespace, where its number says nothing?"""
    try:
        return os.readlink(f"/proc/{pid}/ns/pid") == os.readlink("/proc/self/ns/pid")
    except OSError:
        return False


def _in_pid_namespace(pid: int) -> list[int]:
    if _is_ours(pid):
        from sandcell.runtime.container import descendants

        return descendants.mates(pid)
    try:
        wanted = os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return []
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            if os.readlink(f"/proc/{name}/ns/pid") == wanted:
                found.append(int(name))
        except OSError:
            continue
    return found


def _family(pid: int) -> tuple[int, int]:
    """Parent and session of a process as this pid namespace sees them; zeros when it has ended."""
    try:
        fields = read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    except OSError:
        return 0, 0
    return int(fields[1]), int(fields[3])


def _environment(pid: int) -> frozenset[bytes]:
    try:
        fd = os.open(f"/proc/{pid}/environ", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return frozenset()
    with open(fd, "rb") as file:
        try:
            return frozenset(file.read().split(b"\0"))
        except OSError:
            return frozenset()
