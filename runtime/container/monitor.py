"""The monitor: one small process per container, and its init's parent.

Only a parent can collect an exit status on every kernel, so each container has one that lives as
long as it does: it makes the container, moves its output to the log, records its end and cleans
up. It belongs to no terminal and no client, so a container survives the kernel that started it.
"""

import fcntl
import os
import signal
import socket
import stat
import termios
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from sandcell.runtime.container import descendants, guests, jobs, journal, mapped, outside, ports, state
from sandcell.runtime.container.early import Early
from sandcell.runtime.container.farewell import release_name
from sandcell.runtime.container.keeping import SOON, Keeper, keep
from sandcell.runtime.container.mapped_steps import MappedRoot, OpenMapped
from sandcell.runtime.container.output import STDERR, STDOUT, Log
from sandcell.runtime.container.pump import STDIN, Pump
from sandcell.runtime.container.steps import MapIds, NewNamespaces
from sandcell.runtime.errors import SandcellError
from sandcell.runtime.linux import overlay, process, trees
from sandcell.runtime.linux.idmap import HOST, IdMap

if TYPE_CHECKING:
    from sandcell.runtime.container import forward

_PATIENCE = 10.0
# What a container's two directories usually have in them.
_FILES = ("hosts", "hostname", "resolv.conf", "config.json", "container.json")
_STATE = (guests.NAME, state.NAME, state.LOCK)
_SLOW = 1.0  # seconds for clients who read slowly, before the container is cleaned up without them


def serve(job: jobs.Run, control: socket.socket, sinks: list[int], early: Early | None = None) -> bool:
    """Carry a container from its making to its end. ``sinks``: the client's pipes for stdout and
    stderr, or none; ``early`` as in ``outside.prepare``. Replies: ``Started`` then ``Exited``, or
    ``Refused``. False when nothing else but the end of this process tells how the container stands."""
    ready = _ready(job)
    if isinstance(ready, jobs.Refused):
        if early is not None:
            early.drop()
        tell(control, ready)
        return False
    lock, log = ready
    listening = _listen(job)
    if isinstance(listening, jobs.Refused):
        if early is not None:
            early.drop()
        _refuse(job, listening, control, lock)
        return False
    terminal = job.plan.terminal
    sources, targets = pipes(terminal=terminal)
    source, typed, kept = keyboard(sinks, terminal=terminal, kept=job.interactive)
    if not _own_pids(job):
        descendants.adopt()
    for step in job.plan.outside:
        if isinstance(step, OpenMapped):
            own_pipes({source, *targets}, step)
    born = outside.prepare(job.plan, (source, targets[0], targets[1]), early)
    for fd in {source, *targets}:
        os.close(fd)
    if isinstance(born, jobs.Refused):
        _refuse(job, born, control, lock)
        return False
    now = time.time()
    living = state.State(
        status=state.RUNNING,
        init=process.identify(born.pid, ended=True),
        monitor=process.identify(os.getpid()),
        started=now,
    )
    try:
        state.write(job.run, living)
    except OSError as error:
        # A container that no state tells of would be nobody's.
        outside.reap(born.pid, born.pidfd)
        born.let_go()
        _refuse(job, jobs.Refused("write its state", error.errno or 0), control, lock)
        return False
    pump = Pump(streams(sources, sinks, born.console, typed), log)
    doors = _doors(job, listening, born.pid, pump)
    door = _guests(job, pump, born, born.console if job.interactive and terminal else kept)
    tell(control, jobs.Started(born.pid))
    keeper = Keeper(job.home)
    if not job.remove:
        _write(job.home, living)  # for whoever looks after the machine has been started again
        pump.later(SOON, lambda: pump.watch(keeper.begin(), keeper.collect))

    def hang_up() -> None:
        if job.die_with_client:
            os.kill(born.pid, signal.SIGKILL)
            if born.cgroup is not None:
                born.cgroup.thaw()  # v1 lets a paused process die only when it goes on

    pump.run(born.pidfd, control.fileno(), lambda: attend(control, pump, born.console, hang_up))
    status = collect(born.pidfd)
    os.close(born.pidfd)
    if not _own_pids(job):
        if born.cgroup is not None:
            born.cgroup.kill()  # no pid namespace of its own ends with it
        else:
            descendants.end_all(doors.pid if doors else 0)
    pump.finish()
    oom = born.cgroup is not None and status == 128 + signal.SIGKILL and born.cgroup.usage().oom_kills > 0
    ended = state.State(status=state.EXITED, exit_status=status, started=now, finished=time.time(), oom=oom)
    told = _write(job.run, ended)
    last = jobs.Exited(status, oom)
    tell(control, last)
    control.close()
    if door is not None:
        door.close(last)
    journal.tell(os.path.dirname(os.path.dirname(job.run)), "die", job.id, status=status)
    if doors is not None:
        doors.end()
    pump.hand_over(_SLOW)
    # Nobody waits for what follows, so it may take its time.
    keeper.collect()
    if not job.remove:
        _write(job.home, ended)
        if job.copied:
            _keep(job.home)
    try:
        born.let_go()
    except SandcellError:
        pass  # something in its control group does not end; `rm` and `prune` will find it again
    for call in (*job.afterwards, *jobs.added(job.run)):
        mapped.do(call)
    log.close()
    if job.remove:
        state.let_waiters_read(job.run, _PATIENCE)
        mapped.call(_owners(job), lambda: _remove(job.home))
        release_name(f"{os.path.dirname(os.path.dirname(job.home))}/names", job.id)
        trees.strip(job.run, _STATE)
        trees.remove(job.run)
    os.close(lock)
    pump.hand_over()  # a client that stands still keeps us, but nobody else
    for call in job.late:
        mapped.do(call)
    return told and _own_pids(job)


def _remove(home: str) -> None:
    # Most containers have written nothing: then this is all.
    overlay.sweep(f"{home}/upper", f"{home}/work")
    trees.strip(home, _FILES, ("shared/out", "shared"))
    trees.remove(home)


def _listen(job: jobs.Run) -> "forward.Listening | jobs.Refused":
    """The ports that the container publishes, taken before it is made."""
    if not job.ports:
        return []
    from sandcell.runtime.container import forward

    try:
        return forward.listen(job.ports)
    except OSError as error:
        return jobs.Refused(f"publish {error.filename}", error.errno or 0, forward.hint(error))


def _guests(job: jobs.Run, pump: Pump, born: outside.Born, typing: int) -> guests.Guests | None:
    """The door for who attaches later; where it cannot be made the container runs without."""
    try:
        return guests.Guests(job.run, pump, born.pid, typing, lambda request: answer(request, born.console))
    except OSError:
        return None


def _doors(job: jobs.Run, listening: "forward.Listening", init: int, pump: Pump) -> "forward.Doors | None":
    """Write down which ports are published, and wait for callers."""
    if not listening:
        return None
    from sandcell.runtime.container import forward

    doors = forward.Doors(listening, pump, lambda: forward.begin(listening, init, job.target, job.target6))
    try:
        ports.write(job.run, tuple(port for _, port in listening))
    except OSError:
        doors.end()  # the disk is full, and nobody could know of them
    return doors


def _refuse(job: jobs.Run, why: jobs.Refused, control: socket.socket, lock: int) -> None:
    for call in job.afterwards:
        mapped.do(call)
    _write(job.run, state.State(status=state.CREATED, error=why.step))
    tell(control, why)
    os.close(lock)
    control.close()
    for call in job.late:
        mapped.do(call)


def _write(directory: str, now: state.State) -> bool:
    try:
        state.write(directory, now)
    except OSError:
        return False  # whoever asks finds the old one, sees that we are gone, and knows that it has ended
    return True


def _keep(home: str) -> None:
    try:
        keep(home)
    except OSError:
        pass  # the disk is full or broken: the kernel writes what it can


def _own_pids(job: jobs.Run) -> bool:
    return any("pid" in step.names for step in job.plan.outside if isinstance(step, NewNamespaces))


def _owners(job: jobs.Run) -> IdMap:
    """The map of the owners that its files have: the host's, where they are only seen through another."""
    outside_steps = job.plan.outside
    if any(isinstance(step, OpenMapped) for step in outside_steps):
        return HOST
    return next((step.idmap for step in outside_steps if isinstance(step, MapIds)), HOST)


def _ready(job: jobs.Run) -> tuple[int, Log] | jobs.Refused:
    # The lock is held to the very end: who wants to start the container again, or to remove it,
    # waits for the last unmount and the last file.
    try:
        lock = os.open(f"{job.run}/{state.LOCK}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        obstacle = _take(lock, job)
        return jobs.Refused(obstacle, 0) if obstacle else (lock, Log(job.home))
    except OSError as error:
        return jobs.Refused(f"open {error.filename}", error.errno or 0)


def _take(lock: int, job: jobs.Run) -> str:
    """Take the lock; or why not: somebody else was quicker."""
    deadline = time.monotonic() + _PATIENCE
    while not state.hold(lock, 0.01):
        if state.truth(state.read(job.run, job.home)).status == state.RUNNING:
            return "it is running already"
        if time.monotonic() > deadline:
            return "its last run is not cleaned up yet"
    removed = os.fstat(lock).st_nlink == 0 or not os.path.isdir(job.home)
    return "it was removed meanwhile" if removed else ""


def pipes(*, terminal: bool) -> tuple[list[int], list[int]]:
    """Read ends, and the two write ends that become stdout and stderr."""
    out_read, out_write = os.pipe2(os.O_CLOEXEC)
    if terminal:
        # The terminal takes the place of both as soon as init has opened it.
        return [out_read], [out_write, out_write]
    err_read, err_write = os.pipe2(os.O_CLOEXEC)
    return [out_read, err_read], [out_write, err_write]


def own_pipes(fds: set[int], root: OpenMapped | MappedRoot) -> None:
    """Let the pipes among ``fds`` belong to who is ``root`` inside, so that /dev/stdout opens there."""
    for fd in fds:
        if stat.S_ISFIFO(os.fstat(fd).st_mode):
            os.fchown(fd, root.uid, root.gid)


def keyboard(sinks: list[int], *, terminal: bool, kept: bool) -> tuple[int, int, int]:
    """What becomes stdin, what the pump shall read for a terminal, and the write end of a pipe of our
    own (-1: nothing).

    The client's pipe is the third of ``sinks`` and taken out of them. ``kept``: without one, stdin is
    a pipe into which nobody writes yet, and which stays open as long as we live.
    """
    typed = sinks.pop() if len(sinks) > 2 else -1
    if typed >= 0 and not terminal:
        return typed, -1, -1
    if kept and not terminal:
        read, write = os.pipe2(os.O_CLOEXEC)
        return read, -1, write
    return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), typed, -1


def attend(control: socket.socket, pump: Pump, console: int, hang_up: Callable[[], None]) -> bool:
    """Do what the client asks; false when it is gone, or leaves and the process shall go on."""
    try:
        received = process.receive(control)
    except OSError:
        received = None
    if received is None:
        hang_up()
        return False
    if answer(jobs.decode_request(received[0]), console):
        return True
    pump.detach()
    tell(control, jobs.Detached())
    control.close()
    return False


def answer(request: jobs.Request, console: int) -> bool:
    """Do what somebody who listens asks; false when they leave."""
    if isinstance(request, jobs.Resize):
        resize(console, request)
    return not isinstance(request, jobs.Detach)


def resize(console: int, size: jobs.Resize) -> None:
    """Give a terminal another size; nothing where there is none or it has closed. ioctl_tty(2)."""
    try:
        termios.tcsetwinsize(console, (size.rows, size.columns))
    except (OSError, ValueError, OverflowError, termios.error):
        pass


def streams(
    sources: list[int], sinks: list[int], console: int, typed: int = -1
) -> list[tuple[str, int, int]]:
    """What the pump shall move where; a terminal is one stream, in place of the pipes, and takes
    what is ``typed``."""
    keys: list[tuple[str, int, int]] = []
    if typed >= 0:
        keys = [(STDIN, typed, fcntl.fcntl(console, fcntl.F_DUPFD_CLOEXEC, 3))]
    if console >= 0:
        for fd in (*sources, *sinks[1:]):
            os.close(fd)
        sources, sinks = [console], sinks[:1]
    padded = [*sinks, -1, -1]
    return [*zip((STDOUT, STDERR), sources, padded, strict=False), *keys]


def collect(pidfd: int) -> int:
    """The exit status of a child that has ended, as a shell tells it."""
    ended = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    assert ended is not None
    return ended.si_status if ended.si_code == os.CLD_EXITED else 128 + ended.si_status


def tell(control: socket.socket, reply: jobs.Reply) -> None:
    """Send a reply to the client, if it is still there."""
    try:
        process.send(control, jobs.encode(reply))
    except OSError:
        pass  # the client is gone; state.json tells the next one
