"""The monitor: one small process per container, and its init's parent.

Only a parent can collect an exit status on every kernel, so each container has one that lives as
long as it does: it makes the container, moves its output to the log, records its end and cleans
up. It belongs to no terminal and no client, so a container survives the kernel that started it.
"""

import fcntl
import os
import signal
import socket
import time

from sandcell.runtime.container import jobs, mapped, outside, state
from sandcell.runtime.container.early import Early
from sandcell.runtime.container.output import STDERR, STDOUT, Log
from sandcell.runtime.container.pump import Pump
from sandcell.runtime.container.steps import Console, MapIds
from sandcell.runtime.linux import process
from sandcell.runtime.linux.idmap import HOST, IdMap

LOCK = "lock"


def serve(job: jobs.Run, control: socket.socket, sinks: list[int], early: Early | None = None) -> None:
    """Carry a container from its making to its end. ``sinks``: the client's pipes for stdout and
    stderr, or none; ``early`` as in ``outside.prepare``. Replies: ``Started`` then ``Exited``, or
    ``Refused``."""
    lock = _lock(job.run)
    sources, targets = pipes(terminal=_wants_terminal(job))
    nothing = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    born = outside.prepare(job.plan, (nothing, targets[0], targets[1]), early)
    for fd in {nothing, *targets}:
        os.close(fd)
    if isinstance(born, jobs.Refused):
        state.write(job.run, state.State(status=state.CREATED, error=born.step))
        tell(control, born)
        os.close(lock)
        return
    now = time.time()
    living = state.State(
        status=state.RUNNING,
        init=process.identify(born.pid, ended=True),
        monitor=process.identify(os.getpid()),
        started=now,
    )
    state.write(job.run, living)
    tell(control, jobs.Started(born.pid))

    log = Log(job.home)
    pump = Pump(streams(sources, sinks, born.console), log)

    def hang_up() -> None:
        if job.die_with_client:
            os.kill(born.pid, signal.SIGKILL)

    pump.run(born.pidfd, control.fileno(), hang_up)
    status = collect(born.pidfd)
    pump.finish()
    oom = born.cgroup is not None and status == 128 + signal.SIGKILL and born.cgroup.usage().oom_kills > 0
    ended = state.State(status=state.EXITED, exit_status=status, started=now, finished=time.time(), oom=oom)
    state.write(job.run, ended)
    tell(control, jobs.Exited(status, oom))
    control.close()
    # Nobody waits for what follows, so it may take its time.
    born.let_go()
    pump.hand_over()
    log.close()
    if job.remove:
        mapped.call(_idmap(job), lambda: mapped.remove_tree(job.home))
        mapped.remove_tree(job.run)
    else:
        state.write(job.home, ended)
    os.close(lock)


def _idmap(job: jobs.Run) -> IdMap:
    for step in job.plan.outside:
        if isinstance(step, MapIds):
            return step.idmap
    return HOST


def _lock(directory: str) -> int:
    # Held to the very end: who wants to start the container again, or to remove it, waits for
    # the last unmount and the last file.
    fd = os.open(f"{directory}/{LOCK}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd


def _wants_terminal(job: jobs.Run) -> bool:
    return any(isinstance(step, Console) for step in job.plan.inside)


def pipes(*, terminal: bool) -> tuple[list[int], list[int]]:
    """Read ends, and the two write ends that become stdout and stderr."""
    out_read, out_write = os.pipe2(os.O_CLOEXEC)
    if terminal:
        # The terminal takes the place of both as soon as init has opened it.
        return [out_read], [out_write, out_write]
    err_read, err_write = os.pipe2(os.O_CLOEXEC)
    return [out_read, err_read], [out_write, err_write]


def streams(sources: list[int], sinks: list[int], console: int) -> list[tuple[str, int, int]]:
    """What the pump shall move where; a terminal is one stream, in place of the pipes."""
    if console >= 0:
        for fd in (*sources, *sinks[1:]):
            os.close(fd)
        sources, sinks = [console], sinks[:1]
    padded = [*sinks, -1, -1]
    return list(zip((STDOUT, STDERR), sources, padded, strict=False))


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
