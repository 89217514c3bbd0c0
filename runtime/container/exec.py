"""Another process in a running container.

The process must live in the container's pid namespace and be ours to wait for. Where we may enter that
namespace our next child is born in it, and enters the others by itself. Where only the root of the
container's user namespace may, a helper child enters all of them and clones the process with
CLONE_PARENT. None is dumpable from before it enters until the program is executed: nobody in the
container may look into an interpreter of the host. setns(2), prctl(2).
"""

import errno
import os
import signal
import socket
from typing import TYPE_CHECKING, NamedTuple

from sandcell.runtime.container import inside as player
from sandcell.runtime.container import jobs, outside, processes
from sandcell.runtime.container import steps as s
from sandcell.runtime.container.monitor import attend, collect, keyboard, own_pipes, pipes, streams, tell
from sandcell.runtime.container.pump import Pump
from sandcell.runtime.errors import SandcellError
from sandcell.runtime.linux import cgroups, process, trees
from sandcell.runtime.linux.namespaces import FLAGS
from sandcell.runtime.linux.syscall import CLONE_NEWCGROUP, clone3, pidfd_open, setns

if TYPE_CHECKING:
    from sandcell.runtime.container import bare

_CLONE_PARENT = 0x00008000


class _Entry(NamedTuple):
    """How a process gets in: by which namespaces (``flags``) of the process ``target`` (a pidfd), with which
    sockets to us, and into which control group (``into``: its descriptor, where it has to be born there).
    ``stage``: where it plays if it needs no interpreter."""

    job: jobs.Exec
    target: int
    flags: int
    ours: socket.socket
    theirs: socket.socket
    stdio: tuple[int, int, int]
    into: int | None
    group: cgroups.Cgroup | None
    stage: "bare.Stage | None"


def serve(job: jobs.Exec, control: socket.socket, sinks: list[int]) -> bool:
    """Start the process, move its output to the client, tell its end. The process and all that it
    started are killed when the client goes away. Replies as of ``monitor.serve``. False when a process
    that it started may still be a child of ours."""
    try:
        _serve(job, control, sinks)
        return "pid" in job.namespaces
    finally:
        if job.directory:
            trees.remove(job.directory)


def _serve(job: jobs.Exec, control: socket.socket, sinks: list[int]) -> None:
    if "pid" not in job.namespaces:
        from sandcell.runtime.container import descendants

        descendants.adopt()
    terminal = any(isinstance(step, s.Console) for step in job.inside)
    sources, targets = pipes(terminal=terminal)
    source, typed, _ = keyboard(sinks, terminal=terminal, kept=False)
    for step in job.inside:
        if isinstance(step, s.MappedRoot):
            own_pipes({source, *targets}, step)
    try:
        born = _enter(job, (source, targets[0], targets[1]))
    except SandcellError as error:
        born = jobs.Refused(str(error), 0, error.hint)
    except OSError as error:
        born = jobs.Refused(error.filename or "enter the container", error.errno or 0)
    for fd in {source, *targets}:
        os.close(fd)
    if isinstance(born, jobs.Refused):
        tell(control, born)
        return
    if "pid" not in job.namespaces:
        descendants.guard(job.init.pid)
    tell(control, jobs.Started(born.pid))
    pump = Pump(streams(sources, sinks, born.console, typed), None)

    def hang_up() -> None:
        members = processes.of_exec(job.init, job.exec_id, born.cgroup, born.pid)
        processes.signal_all(members, signal.SIGKILL)

    pump.run(born.pidfd, control.fileno(), lambda: attend(control, pump, born.console, hang_up))
    status = collect(born.pidfd)
    if "pid" not in job.namespaces:
        descendants.end_all()
    pump.finish()
    tell(control, jobs.Exited(status))
    control.close()
    if born.cgroup is not None and born.cgroup.pids():
        born.cgroup = None  # what it left behind lives on in the container, and in its group
    born.let_go()
    pump.hand_over()


def _enter(job: jobs.Exec, stdio: tuple[int, int, int]) -> outside.Born | jobs.Refused:
    target = pidfd_open(job.init.pid)
    try:
        if not process.alive(job.init):
            return jobs.Refused("enter the container", 0, "it has ended")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            return _born(job, target, ours, theirs, stdio)
    finally:
        os.close(target)


def _born(
    job: jobs.Exec, target: int, ours: socket.socket, theirs: socket.socket, stdio: tuple[int, int, int]
) -> outside.Born | jobs.Refused:
    flags = 0
    for name in job.namespaces:
        flags |= FLAGS[name]
    group = (
        cgroups.Cgroup(job.cgroup, cgroups.around(job.cgroup, job.init.pid)).child(job.exec_id)
        if job.cgroup
        else None
    )
    into = group.open() if group is not None else None
    # Not dumpable before the child enters, so that there is no moment to look.
    process.prctl(process.PR_SET_DUMPABLE, 0)
    direct = "pid" in job.namespaces and "user" not in job.namespaces
    stage = _stage(job) if direct and job.bare else None
    begin = _directly if direct else _by_a_helper
    number, unfit = begin(_Entry(job, target, flags, ours, theirs, stdio, into, group, stage))
    if number <= 0:
        if group is not None:
            group.remove()
        return jobs.Refused("enter the container's namespaces", -number)
    born = outside.Born(number, os.pidfd_open(number), group)
    refused = unfit or outside.listen(ours, lambda: job.inside, born, stage)
    if refused is not None:
        outside.reap(number, born.pidfd)
        born.let_go()
    if stage is not None:
        stage.close()
    return refused or born


def _stage(job: jobs.Exec) -> "bare.Stage | None":
    from sandcell.runtime.container import bare, compiled

    return bare.stage(compiled.joining() + compiled.beginning(), job.bare)


def _directly(entry: _Entry) -> tuple[int, jobs.Refused | None]:
    """The pid of the process, or a negative errno; and why its control group could not be made."""
    pid_namespace, last = FLAGS["pid"], entry.flags & CLONE_NEWCGROUP
    rest, into = entry.flags & ~last & ~pid_namespace, -1 if entry.into is None else entry.into
    try:
        setns(entry.target, pid_namespace)
        if entry.stage is not None:
            from sandcell.runtime.container import room

            entry.stage.give(room.TARGET, entry.target)
            entry.stage.give(room.JOIN, rest)
            entry.stage.give(room.JOIN_LAST, last)
            pid, pidfd = entry.stage.start(0, entry.theirs.fileno(), into, entry.stdio)
        else:
            pid, pidfd = clone3(0, signal.SIGCHLD, into)
    except OSError as error:
        return -(error.errno or errno.EIO), None
    if pid == 0:
        entry.ours.close()
        joins = ((entry.target, rest), (entry.target, last))
        player.become(entry.job.inside, entry.theirs, entry.stdio, joins)
    os.close(pidfd)
    outside.give_children("/proc/self/ns/pid")
    if entry.into is not None:
        os.close(entry.into)
    entry.theirs.close()
    return pid, _give_doors(entry.ours, entry.group)


def _by_a_helper(entry: _Entry) -> tuple[int, jobs.Refused | None]:
    """As ``_directly``."""
    announce, announced = os.pipe2(os.O_CLOEXEC)
    helper, helper_fd = clone3(0, signal.SIGCHLD)
    if helper == 0:
        entry.ours.close()
        _helper(entry, announced)
    if entry.into is not None:
        os.close(entry.into)
    entry.theirs.close()
    os.close(announced)
    try:
        # On v1 the group is made while the helper enters.
        unfit = _give_doors(entry.ours, entry.group)
        # One write; the end of the pipe comes only when the process executes its program.
        return int(os.read(announce, 32) or b"-5"), unfit
    finally:
        os.close(announce)
        os.waitid(os.P_PIDFD, helper_fd, os.WEXITED)
        os.close(helper_fd)


def _give_doors(ours: socket.socket, group: cgroups.Cgroup | None) -> jobs.Refused | None:
    try:
        outside.give_doors(ours, group)
    except SandcellError as error:
        return jobs.Refused(str(error), 0, error.hint)
    except OSError as error:
        return jobs.Refused(error.filename or "make its control group", error.errno or 0)
    return None


def _helper(entry: _Entry, announced: int) -> None:
    # A process is born into a group only by one whose cgroup namespace shows both groups; from within
    # the container's, our own is out of sight. cgroups(7), nsdelegate.
    last = entry.flags & CLONE_NEWCGROUP
    try:
        if entry.flags & ~last:
            setns(entry.target, entry.flags & ~last)
        pid, _ = clone3(_CLONE_PARENT, 0, -1 if entry.into is None else entry.into)
        if pid == 0:
            player.become(entry.job.inside, entry.theirs, entry.stdio, ((entry.target, last),))
        os.write(announced, b"%d" % pid)
    except OSError as error:
        os.write(announced, b"-%d" % (error.errno or 5))
    finally:
        os._exit(0)
