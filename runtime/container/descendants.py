"""Processes of a container that has no pid namespace: all that come from its monitor.

Whoever's parent ends goes to the monitor, which asked for that (PR_SET_CHILD_SUBREAPER, prctl(2)), so
none gets lost as long as the monitor lives.
"""

import os
import select
import signal

from sandcell.runtime.linux import process
from sandcell.runtime.linux.process import read_text
from sandcell.runtime.linux.syscall import close_range

_CHILD_SUBREAPER = 36


def adopt() -> None:
    """From now on orphans among our descendants become our children."""
    process.prctl(_CHILD_SUBREAPER, 1)


def parents() -> dict[int, int]:
    """Process → parent, of all that can be seen."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                found[int(name)] = int(read_text(f"/proc/{name}/stat").rpartition(")")[2].split()[1])
            except OSError:
                continue
    return found


def below(pid: int) -> list[int]:
    """All descendants of a process, children first."""
    families, found, waiting = parents(), list[int](), [pid]
    while waiting:
        above = waiting.pop(0)
        children = [child for child, parent in families.items() if parent == above]
        found += children
        waiting += children
    return found


def mates(init: int) -> list[int]:
    """The processes of the container whose first process, and child of its monitor, is ``init``."""
    monitor = parents().get(init)
    return below(monitor) if monitor else []


def guard(init: int) -> None:
    """Start a child that ends all other descendants of ours when the process ``init`` has ended."""
    ours, watched = os.getpid(), os.pidfd_open(init)
    if os.fork() == 0:
        try:
            # Nobody shall wait for the end of a stream that only we hold open.
            os.dup2(watched, 0)
            close_range(1)
            select.select([0], [], [])
            while found := [pid for pid in below(ours) if pid != os.getpid()]:
                _kill(found)
        finally:
            os._exit(0)
    os.close(watched)


def end_all(spared: int = 0) -> None:
    """Kill and collect all descendants of ours but ``spared``, also those that fork meanwhile."""
    while found := [pid for pid in below(os.getpid()) if pid != spared]:
        _kill(found)
        for pid in found:
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                pass  # not ours yet; it will be, when its parent is gone


def _kill(pids: list[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
