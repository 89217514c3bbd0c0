"""Another process in a running container.

A helper child enters the container's namespaces and clones the real one with CLONE_PARENT, so that
the process lives in the container's pid namespace and is still ours to wait for. Both are not
dumpable from before they enter until the program is executed: nobody in the container may look
into an interpreter of the host. setns(2), prctl(2).
"""

import os
import signal
import socket

from sandcell.runtime.container import inside as player
from sandcell.runtime.container import jobs, outside, processes
from sandcell.runtime.container import steps as s
from sandcell.runtime.container.mapped import remove_tree
from sandcell.runtime.container.monitor import attend, collect, keyboard, pipes, streams, tell
from sandcell.runtime.container.pump import Pump
from sandcell.runtime.errors import SandcellError
from sandcell.runtime.linux import cgroups, process
from sandcell.runtime.linux.namespaces import FLAGS
from sandcell.runtime.linux.syscall import clone3, setns

_CLONE_PARENT = 0x00008000


def serve(job: jobs.Exec, control: socket.socket, sinks: list[int]) -> None:
    """Start the process, move its output to the client, tell its end. The process and all that it
    started are killed when the client goes away. Replies as of ``monitor.serve``."""
    try:
        _serve(job, control, sinks)
    finally:
        if job.directory:
            remove_tree(job.directory)


def _serve(job: jobs.Exec, control: socket.socket, sinks: list[int]) -> None:
    terminal = any(isinstance(step, s.Console) for step in job.inside)
    sources, targets = pipes(terminal=terminal)
    source, typed = keyboard(sinks, terminal=terminal, kept=False)
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
    tell(control, jobs.Started(born.pid))
    pump = Pump(streams(sources, sinks, born.console, typed), None)

    def hang_up() -> None:
        members = processes.of_exec(job.init, job.exec_id, born.cgroup, born.pid)
        processes.signal_all(members, signal.SIGKILL)

    pump.run(born.pidfd, control.fileno(), lambda: attend(control, pump, born.console, hang_up))
    status = collect(born.pidfd)
    pump.finish()
    tell(control, jobs.Exited(status))
    control.close()
    if born.cgroup is not None and born.cgroup.pids():
        born.cgroup = None  # what it left behind lives on in the container, and in its group
    born.let_go()
    pump.hand_over()


def _enter(job: jobs.Exec, stdio: tuple[int, int, int]) -> outside.Born | jobs.Refused:
    target = os.pidfd_open(job.init.pid)
    group: cgroups.Cgroup | None = None
    try:
        if not process.alive(job.init):
            return jobs.Refused("enter the container", 0, "it has ended")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        announce, announced = os.pipe2(os.O_CLOEXEC)
        flags = 0
        for name in job.namespaces:
            flags |= FLAGS[name]
        if job.cgroup:
            group = cgroups.Cgroup(job.cgroup, cgroups.layout()).child(job.exec_id)
        into = group.open() if group is not None else None
        # Not dumpable before the child enters, so that there is no moment to look.
        process.prctl(process.PR_SET_DUMPABLE, 0)
        helper, helper_fd = clone3(0, signal.SIGCHLD)
        if helper == 0:
            ours.close()
            _helper(job, target, flags, announced, theirs, stdio, into)
        if into is not None:
            os.close(into)
        theirs.close()
        os.close(announced)
        # One write; the end of the pipe comes only when the process executes its program.
        said = os.read(announce, 32)
        os.close(announce)
        os.waitid(os.P_PIDFD, helper_fd, os.WEXITED)
        os.close(helper_fd)
        number = int(said or b"-5")
        if number <= 0:
            if group is not None:
                group.remove()
            return jobs.Refused("enter the container's namespaces", -number)
        pidfd = os.pidfd_open(number)
        try:
            born = outside.Born(number, pidfd, group)
            outside.give_doors(ours, group)
            refused = outside.listen(ours, job.inside, born)
        except BaseException:
            outside.reap(number, pidfd)
            raise
        finally:
            ours.close()
        if refused is not None:
            outside.reap(number, pidfd)
            born.let_go()
            return refused
        return born
    finally:
        os.close(target)


def _helper(
    job: jobs.Exec,
    target: int,
    flags: int,
    announced: int,
    theirs: socket.socket,
    stdio: tuple[int, int, int],
    into: int | None,
) -> None:
    try:
        setns(target, flags)
        pid, _ = clone3(_CLONE_PARENT, 0, -1 if into is None else into)
        if pid == 0:
            player.become(job.inside, theirs, stdio)
        os.write(announced, b"%d" % pid)
    except OSError as error:
        os.write(announced, b"-%d" % (error.errno or 5))
    finally:
        os._exit(0)
