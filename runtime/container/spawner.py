"""The spawner: a small helper process per client that makes containers for it.

A notebook's kernel has threads and hundreds of megabytes: forking it is slow and unsafe. So the
client starts this process once, with the few modules a container needs, and hands it descriptors.
The spawner keeps a child or two in reserve; each takes one job and becomes its monitor. When the
client goes away the reserve and the spawner end; monitors at work stay until their containers end.

It is started from a copy of the interpreter that nobody can write to: see ``program``.
"""

import gc
import os
import select
import signal
import socket
import sys
from typing import TYPE_CHECKING, Never

from sandcell.runtime.linux.syscall import close_range

if TYPE_CHECKING:
    from sandcell.runtime.container.early import Early
    from sandcell.runtime.linux.idmap import IdMap

_LONGEST = 1 << 16
_CALM = 15  # milliseconds, about what a start takes


def main(channel_fd: int, most: int) -> Never:
    """Serve the client at the other end of ``channel_fd`` until it closes, with ``most`` children in
    reserve. What it says first is the id map that its containers usually have, as JSON."""
    os.chdir("/")
    if channel_fd > 3:
        close_range(3, channel_fd - 1)
    close_range(channel_fd + 1)
    # msgspec does without it, and every fork would carry its three megabytes.
    sys.modules.setdefault("typing_extensions", None)  # type: ignore[arg-type]
    # Loaded once here and shared by all children: these are what a monitor and an init need.
    import msgspec

    from sandcell.runtime.container import early, exec, forward, mapped, monitor  # noqa: F401
    from sandcell.runtime.linux import cgroups, network  # noqa: F401
    from sandcell.runtime.linux.idmap import IdMap

    cgroups.layout()
    channel = socket.socket(fileno=channel_fd)
    os.set_inheritable(channel_fd, False)
    said = channel.recv(_LONGEST)
    if not said:
        os._exit(0)
    idmap = msgspec.json.decode(said, type=IdMap)
    if idmap.single:
        from sandcell.runtime.container import recorder  # noqa: F401
    _forget_what_the_client_ignores()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.umask(0o022)
    gc.collect()
    gc.disable()
    gc.freeze()
    _keep_a_reserve(channel, idmap, most)
    os._exit(0)


def _forget_what_the_client_ignores() -> None:
    from sandcell.runtime.linux import process

    # Ignored signals stay ignored over execve: a client under nohup(1) would pass that on to the
    # containers. What Python itself ignores is set right before the command is executed.
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    process.default_threads_signals()


def _keep_a_reserve(channel: socket.socket, idmap: "IdMap", most: int) -> None:
    # Nobody waits for a monitor by its parent's hand; the kernel may forget it at once.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    reserve: set[int] = set()
    poll = select.poll()
    poll.register(channel, 0)
    _hire(channel, idmap, reserve, poll)
    while True:
        # When a job was taken a moment ago whoever waits for it wants the processors now: the
        # reserve is filled a little later, unless nobody is left to take the next of many.
        if not reserve and most > 1:
            _hire(channel, idmap, reserve, poll)
        events = poll.poll(_CALM if len(reserve) < most else None)
        if not events:
            _hire(channel, idmap, reserve, poll)
        for fd, _ in events:
            if fd == channel.fileno():
                return
            poll.unregister(fd)
            reserve.remove(fd)
            os.close(fd)


def _hire(channel: socket.socket, idmap: "IdMap", reserve: set[int], poll: select.poll) -> None:
    """Make one child more. Its number in ``reserve`` is a pipe that ends when it has taken a job, or
    was killed."""
    taken, giving = os.pipe2(os.O_CLOEXEC)
    if os.fork() == 0:
        for fd in (taken, *reserve):
            os.close(fd)
        _wait_for_a_job(channel, giving, idmap)
    os.close(giving)
    reserve.add(taken)
    poll.register(taken, select.POLLIN)


def _wait_for_a_job(channel: socket.socket, giving: int, idmap: "IdMap") -> Never:
    from sandcell.runtime.container import early, exec, jobs, mapped, monitor
    from sandcell.runtime.linux import process

    try:
        # Its own session: Jupyter sends signals to whole process groups.
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        waiting = early.prepare(idmap, giving)
        _, fds = process.receive_descriptors(channel, 4)
        os.close(giving)
        channel.close()
        if not fds:
            os._exit(0)
        control = socket.socket(fileno=fds[0])
        received = process.receive(control)
        if received is None:
            os._exit(0)
        job = jobs.decode_job(received[0])
    except Exception as error:
        sys.stderr.write(f"sandcell monitor: {type(error).__name__}: {error}\n")
        os._exit(1)
    # A container may run for months: whoever waits for the end of the client's output shall not
    # wait for that.
    os.dup2(1, 2)
    try:
        if isinstance(job, jobs.Run):
            monitor.serve(job, control, fds[1:], waiting)
        elif isinstance(job, jobs.Exec):
            exec.serve(job, control, fds[1:], waiting)
        else:
            _drop(waiting)
            monitor.tell(control, mapped.perform(job, fds[1:]))
    except Exception as error:
        monitor.tell(control, jobs.Refused(f"watch over it: {type(error).__name__}: {error}", 0))
    finally:
        os._exit(0)


def _drop(waiting: "Early | None") -> None:
    if waiting is not None:
        waiting.drop()
