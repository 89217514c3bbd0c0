"""Ending, removing and listing containers, and what is left of them."""

import fcntl
import os
import select
import signal as signals
import time

from sandcell.runtime.container import jobs, state
from sandcell.runtime.container.launcher import Launcher
from sandcell.runtime.container.monitor import LOCK
from sandcell.runtime.engine import record
from sandcell.runtime.engine.birth import group, release, spec_of
from sandcell.runtime.engine.places import Places
from sandcell.runtime.engine.record import Record
from sandcell.runtime.engine.work import run_task
from sandcell.runtime.errors import InvalidOption, WrongState
from sandcell.runtime.linux.idmap import IdMap
from sandcell.runtime.linux.process import alive, send_signal

_CLEAN_UP = 10.0


def parse_signal(text: str | int) -> int:
    """The number of ``9``, ``KILL`` or ``SIGKILL``; ``InvalidOption`` for no signal."""
    word = str(text)
    if word.isdigit() and 0 < int(word) < signals.NSIG:
        return int(word)
    name = word.upper()
    found = getattr(signals, name if name.startswith("SIG") else f"SIG{name}", None)
    if not isinstance(found, signals.Signals):
        raise InvalidOption("send", f"signal {text}", "there is no such signal", "write TERM or 15")
    return int(found)


def send(places: Places, who: Record, signum: int) -> None:
    """Send a signal to the container's first process; ``WrongState`` when it does not run."""
    now = record.current(places, who)
    if now.status != state.RUNNING or now.init is None or not send_signal(now.init, signum):
        raise WrongState("kill", who.name, f"it is {now.status}, not running", "`ps -a` lists all containers")


def wait(places: Places, who: Record, timeout: float | None = None) -> state.State | None:
    """How it ended, or ``None`` if it still runs after ``timeout`` seconds."""
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        now = record.current(places, who)
        if now.status != state.RUNNING or now.monitor is None:
            return now
        # The monitor ends soon after init, but writes the state in between: wait for init first,
        # then for the state, whose writer is the monitor.
        watched = now.init if now.init is not None and alive(now.init) else now.monitor
        try:
            pidfd = os.pidfd_open(watched.pid)
        except OSError:
            continue
        try:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            # After init's end the state follows in a moment, but a monitor that waits for a slow
            # client may take longer; look again either way.
            patience = left if watched is now.init else min(0.02, 0.02 if left is None else left)
            ready, _, _ = select.select([pidfd], [], [], patience)
        finally:
            os.close(pidfd)
        if not ready and deadline is not None and time.monotonic() >= deadline:
            return None


def stop(places: Places, who: Record, stop_signal: int, timeout: float) -> None:
    """Ask it to end, and after ``timeout`` seconds make it. Repeating it does no harm."""
    if record.current(places, who).status != state.RUNNING:
        return
    try:
        send(places, who, stop_signal)
        if wait(places, who, timeout) is None:
            send(places, who, signals.SIGKILL)
            wait(places, who)
    except WrongState:
        return  # it ended meanwhile, which is what was asked for


def settle(places: Places, who: Record) -> None:
    """Wait until its monitor has cleaned up after it: the last unmount, the last file."""
    settle_at(places.running(who.id))


def settle_at(run: str) -> None:
    """``settle`` for the container whose run state is in that directory; bounded."""
    lock = take_lock(run, _CLEAN_UP)
    if lock is not None:
        os.close(lock)


def take_lock(run: str, patience: float) -> int | None:
    """The lock in a run directory, which a monitor holds from start to clean-up; ``None`` after
    ``patience`` seconds, or when the directory is gone."""
    try:
        fd = os.open(f"{run}/{LOCK}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(fd)
                return None
            select.select([], [], [], 0.002)


def remove(places: Places, launcher: Launcher, who: Record, *, force: bool) -> None:
    """Remove the container with its writable layer and its log.

    ``WrongState`` when it runs, unless ``force`` kills it first. If it fails half-way it is listed
    no more and ``prune`` removes the rest.
    """
    if record.current(places, who).status == state.RUNNING:
        if not force:
            raise WrongState("remove", who.name, "it is running", f"stop it first, or: rm -f {who.name}")
        try:
            send(places, who, signals.SIGKILL)
            wait(places, who)
        except WrongState:
            pass
    settle(places, who)
    sweep(places, launcher, who)


def sweep(places: Places, launcher: Launcher, who: Record) -> None:
    """Remove what there is of a container that does not run; what is gone already is no error."""
    base = places.container(who.id)
    try:
        cgroup = group(cgroups_path(places, who))
        if cgroup is not None:
            cgroup.kill()
            cgroup.remove()
    except FileNotFoundError:
        pass
    # The record goes first: whatever happens then, nobody takes the rest for a container.
    try:
        os.unlink(f"{base}/container.json")
    except FileNotFoundError:
        pass
    release(places, who)
    discard(launcher, who.idmap, base)
    discard(launcher, IdMap(), places.running(who.id))


def cgroups_path(places: Places, who: Record) -> str:
    """Where its control group is, empty without one."""
    linux = spec_of(places, who).linux
    return linux.cgroups_path if linux else ""


def discard(launcher: Launcher, idmap: IdMap, path: str) -> None:
    """Remove a tree, in a user namespace where its files need one."""
    run_task(
        lambda: launcher, jobs.Task("sandcell.runtime.container.mapped.remove_tree", {"path": path}, idmap)
    )
