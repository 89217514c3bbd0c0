"""Ending, removing and listing containers, and what is left of them."""

import os
import select
import signal as signals
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sandcell.runtime.container import jobs, state
from sandcell.runtime.container.launcher import Launcher
from sandcell.runtime.engine import names, record
from sandcell.runtime.engine.birth import CGROUP_PARENT, group, spec_of
from sandcell.runtime.engine.places import Places
from sandcell.runtime.engine.record import Record
from sandcell.runtime.engine.refusals import told
from sandcell.runtime.engine.work import run_task
from sandcell.runtime.errors import ContainerNotFound, InvalidOption, WrongState
from sandcell.runtime.linux import trees
from sandcell.runtime.linux.cgroups import layout
from sandcell.runtime.linux.idmap import IdMap
from sandcell.runtime.linux.process import Identity, alive, send_signal
from sandcell.runtime.linux.syscall import pidfd_open

_CLEAN_UP = 10.0
_KILLED = 30.0
_LOOK_AGAIN = 0.02


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
    if signum == signals.SIGKILL:
        wake(places, who, now)


def wake(places: Places, who: Record, now: state.State) -> None:
    """Let a paused container go on, so that it can hear a signal."""
    if record.paused(places, who, now):
        from sandcell.runtime.engine import pausing

        pausing.thaw(places, who)


def wait(places: Places, who: Record, timeout: float | None = None) -> state.State | None:
    """How it ended, or ``None`` if it still runs after ``timeout`` seconds. ``ContainerNotFound`` when
    it was removed before we looked."""
    try:
        waiting = state.announce_waiter(places.running(who.id))
    except FileNotFoundError:
        waiting = None  # it never ran since the machine was started
    try:
        ended = _ended(places, who, timeout)
    finally:
        if waiting is not None:
            os.close(waiting)
    if ended is not None and ended.status == state.CREATED and record.read(places, who.id) is None:
        raise ContainerNotFound("wait for", who.name, "it has ended and is removed")
    return ended


def _ended(places: Places, who: Record, timeout: float | None) -> state.State | None:
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        now = record.current(places, who)
        if now.status != state.RUNNING or now.monitor is None:
            return now
        # The monitor ends soon after init, but writes the state in between: wait for init first,
        # then for the state, whose writer is the monitor.
        watched = now.init if now.init is not None and alive(now.init) else now.monitor
        # After init's end the state follows in a moment, but a monitor that waits for a slow client
        # may take longer; look again either way.
        patience = 0.02 if watched is now.monitor else None
        if deadline is not None:
            left = max(0.0, deadline - time.monotonic())
            patience = left if patience is None else min(patience, left)
        if not ends(watched, patience) and deadline is not None and time.monotonic() >= deadline:
            return None


def ends(who: Identity, patience: float | None) -> bool:
    """Has that process ended, or does it within ``patience`` seconds?"""
    try:
        pidfd = pidfd_open(who.pid)
    except ProcessLookupError:
        return True
    try:
        if not alive(who):
            return True
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        return bool(poll.poll(None if patience is None else patience * 1000))
    finally:
        os.close(pidfd)


def stop(places: Places, who: Record, stop_signal: int, timeout: float) -> None:
    """Ask it to end, and after ``timeout`` seconds make it; -1 waits for ever. Repeating it does no harm.
    ``WrongState`` when it was killed and does not end."""
    if record.current(places, who).status != state.RUNNING:
        return
    try:
        send(places, who, stop_signal)
        wake(places, who, record.current(places, who))
        if wait(places, who, None if timeout < 0 else timeout) is not None:
            return
        send(places, who, signals.SIGKILL)
    except WrongState:
        pass  # it ended meanwhile, and how is just being written down
    await_end(places, who, "stop")


def await_end(places: Places, who: Record, operation: str, timeout: float = _KILLED) -> None:
    """Wait for the end of what was killed; ``WrongState`` when it does not come within ``timeout`` seconds.
    It comes when the last of its processes has ended and is collected by its parent: pid_namespaces(7)."""
    if wait(places, who, timeout) is None:
        cause = f"it was killed {timeout:.0f} seconds ago and has not ended"
        hint = "one of its processes waits in the kernel, or for its parent: ps -eo pid,ppid,stat,wchan,args"
        raise WrongState(operation, who.name, cause, hint)


def settle(places: Places, who: Record) -> None:
    """Wait until its monitor has cleaned up after it: the last unmount, the last file. Not when it
    runs; bounded."""
    try:
        lock = _lock(places, who)
    except FileNotFoundError:
        return
    if lock is not None:
        os.close(lock)


def settle_at(run: str) -> None:
    """``settle`` for the container whose run state is in that directory; bounded."""
    try:
        lock = state.take_lock(run, _CLEAN_UP)
    except FileNotFoundError:
        return
    if lock is not None:
        os.close(lock)


def _lock(places: Places, who: Record) -> int | None:
    """Its lock; ``None`` when it runs, or is not cleaned up in time."""
    deadline = time.monotonic() + _CLEAN_UP
    while (lock := state.take_lock(places.running(who.id), _LOOK_AGAIN)) is None:
        if record.current(places, who).status == state.RUNNING or time.monotonic() > deadline:
            return None
    return lock


@contextmanager
def alone(places: Places, who: Record, operation: str) -> Iterator[None]:
    """Keep everybody else from starting, changing or removing the container. ``WrongState`` when it
    runs or is not cleaned up in time, ``ContainerNotFound`` when it is gone."""
    run = places.running(who.id)
    os.makedirs(run, mode=0o700, exist_ok=True)
    try:
        lock = _lock(places, who)
    except FileNotFoundError:  # its monitor took the directory away just now
        raise ContainerNotFound(operation, who.name, "somebody removed it meanwhile") from None
    if lock is None:
        cause = f"it is {record.current(places, who).status} and its monitor at work"
        raise WrongState(operation, who.name, cause, "try again when it has ended")
    try:
        if record.read(places, who.id) is None:
            trees.remove(run)  # made by us just now
            raise ContainerNotFound(operation, who.name, "somebody removed it meanwhile")
        yield
    finally:
        os.close(lock)


def unmark(places: Places, who: Record) -> None:
    """Let overlayfs take a writable layer again that it has marked as never synced: that of a container that
    is removed at its end, but has not come to it. For who is ``alone`` with it."""
    trees.remove(f"{places.container(who.id)}/work/work")


def remove(places: Places, launcher: Launcher, who: Record, *, force: bool) -> None:
    """Remove the container with its writable layer and its log.

    ``WrongState`` when it runs, unless ``force`` kills it first, also when somebody starts it meanwhile. If
    it fails half-way it is listed no more and ``prune`` removes the rest.
    """
    while not _removed(places, launcher, who, force=force):
        pass


def _removed(places: Places, launcher: Launcher, who: Record, *, force: bool) -> bool:
    if record.current(places, who).status == state.RUNNING:
        if not force:
            raise WrongState("remove", who.name, "it is running", f"stop it first, or: rm -f {who.name}")
        try:
            try:
                send(places, who, signals.SIGKILL)
            except WrongState:
                pass  # it ended meanwhile, and how is just being written down
            await_end(places, who, "remove")
        except ContainerNotFound:
            pass
    try:
        with told("remove", who.name), alone(places, who, "remove"):
            sweep(places, launcher, who)
    except ContainerNotFound:
        # A container that removes itself at its end; only the empty directory is ours.
        discard(launcher, IdMap(), places.running(who.id))
    except WrongState:
        if not force or record.current(places, who).status != state.RUNNING:
            raise
        return False  # it was just being started
    return True


def clear(places: Places, launcher: Launcher, id: str, idmap: IdMap) -> None:
    """Remove a container whose record is spoiled, by the beginning of its id; nothing else."""
    for spoiled in record.spoiled(places):
        if spoiled.startswith(id):
            cgroup = group(f"{CGROUP_PARENT}/{spoiled}") if layout().writable else None
            if cgroup is not None:
                cgroup.kill()
                cgroup.remove()
            discard(launcher, idmap, places.container(spoiled))
            discard(launcher, IdMap(), places.running(spoiled))


def sweep(places: Places, launcher: Launcher, who: Record) -> None:
    """Remove what there is of a container that does not run; what is gone already is no error."""
    base = places.container(who.id)
    try:
        cgroup = group(cgroups_path(places, who))
        if cgroup is not None:
            cgroup.kill()
            cgroup.remove()
    except (FileNotFoundError, ContainerNotFound):
        pass
    if who.options.network not in ("none", "host"):
        from sandcell.runtime.engine import wiring

        wiring.end(places, who)
    # The record goes first: whatever happens then, nobody takes the rest for a container.
    try:
        with record.locked(places, who.id):
            os.unlink(f"{base}/container.json")
    except FileNotFoundError:
        pass
    names.release(places, who.options.name, who.id)
    discard(launcher, who.idmap, base)
    discard(launcher, IdMap(), places.running(who.id))


def cgroups_path(places: Places, who: Record) -> str:
    """Where its control group is, empty without one."""
    linux = spec_of(places, who).linux
    return linux.cgroups_path if linux else ""


def discard(launcher: Launcher, idmap: IdMap, path: str) -> None:
    """Remove a tree, in a user namespace where its files need one."""
    run_task(lambda: launcher, jobs.Task("sandcell.runtime.linux.trees.remove", {"path": path}, idmap))
