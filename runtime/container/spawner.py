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
_LULL = 1000  # milliseconds without a job after which fewer are enough
_MOST_WAITING = 8
_MOST_BUSY = 64
_MOST_JOBS = 100
_TAKEN, _BACK = b"t", b"b"


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
    if most > 1:  # a command makes one container, and has no time for that
        from sandcell.runtime.container import rehearsal

        rehearsal.rehearse()
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
    from sandcell.runtime.container import descendants

    # Nobody waits for a monitor by its parent's hand; the kernel may forget it at once. And what loses
    # its monitor comes to us: a container does not end before all its processes are collected, and the
    # machine's first process may be slow at that, or never do it.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    descendants.adopt()
    reserve = Reserve(channel, idmap, few=most == 1)
    reserve.hire()
    while True:
        # When a job was taken a moment ago whoever waits for it wants the processors now: the
        # reserve is filled a little later, unless nobody is left to take the next of many.
        if not reserve.waiting and most > 1:
            reserve.hire()
        lacking, surplus = len(reserve.waiting) < most, len(reserve.waiting) > most
        events = reserve.poll.poll(_CALM if lacking else _LULL if surplus else None)
        if not events and lacking:
            reserve.hire()
        elif not events:
            reserve.dismiss(reserve.waiting[0])
        for link, _ in events:
            if link == channel.fileno():
                return
            if link in reserve.waiting or link in reserve.busy:  # not one let go a moment ago
                reserve.hear(link)


class Reserve:
    """The children, by the sockets at which they tell that they have taken a job or come back.

    ``waiting``: for a job; ``busy``: with one. ``few``: as of ``boot``.
    """

    def __init__(self, channel: socket.socket, idmap: "IdMap", *, few: bool = False) -> None:
        self._channel = channel
        self._idmap = idmap
        self._few = few
        self.waiting: list[int] = []
        self.busy: list[int] = []
        self.poll = select.poll()
        self.poll.register(channel, 0)

    def hire(self) -> None:
        """Make one child more."""
        pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours, theirs = (end.detach() for end in pair)
        if os.fork() == 0:
            for link in (ours, *self.waiting, *self.busy):
                os.close(link)
            _serve_jobs(self._channel, theirs, self._idmap, few=self._few)
        os.close(theirs)
        self.waiting.append(ours)
        self.poll.register(ours, select.POLLIN)

    def hear(self, link: int) -> None:
        """What a child says: it is busy now, or free again; or it has ended."""
        try:
            said = os.read(link, 1)
        except ConnectionResetError:
            said = b""  # it was killed before it read what we said
        if said == _TAKEN:
            self.waiting.remove(link)
            self.busy.append(link)
            if len(self.busy) > _MOST_BUSY:
                self.dismiss(self.busy[0])  # it ends with its container
        elif said == _BACK and len(self.waiting) < _MOST_WAITING and self._welcome(link):
            self.busy.remove(link)
            self.waiting.append(link)
        else:
            self.dismiss(link)

    def _welcome(self, link: int) -> bool:
        with socket.socket(fileno=os.dup(link)) as ours:
            try:
                socket.send_fds(ours, [_BACK], [self._channel.fileno()])
            except OSError:
                return False
        return True

    def dismiss(self, link: int) -> None:
        """Have nothing more to do with a child; it ends when it has nothing to do."""
        for links in (self.waiting, self.busy):
            if link in links:
                links.remove(link)
        self.poll.unregister(link)
        os.close(link)


def _serve_jobs(channel: socket.socket, link: int, idmap: "IdMap", *, few: bool) -> Never:
    """Wait for a job and do it, and come back for more: the memory that a process has written to is its
    own by then, and another would begin with copying it."""
    from sandcell.runtime.container import early
    from sandcell.runtime.linux import process

    waiting: Early | None = None
    try:
        # Its own session: Jupyter sends signals to whole process groups.
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for _ in range(_MOST_JOBS):
            waiting = waiting or early.prepare(idmap, link, few=few)
            fit, waiting = _serve_a_job(channel, link, waiting)
            if not fit or not _left_nothing(link, waiting):
                break
            with socket.socket(fileno=os.dup(link)) as ours:
                ours.send(_BACK)
                _, fds = process.receive_descriptors(ours, 1)
            if not fds:
                break
            channel = socket.socket(fileno=fds[0])
    except OSError:
        pass  # the spawner has ended
    finally:
        os._exit(0)


def _left_nothing(link: int, waiting: "Early | None") -> bool:
    """True when the last job left neither a descriptor nor a child in this process; one that waits for the
    next job is none of it."""
    kept = {0, 1, 2, link, *(waiting.descriptors if waiting is not None else ())}
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        alone = waiting is not None
    except ChildProcessError:
        alone = waiting is None
    return alone and (_only(kept) or (gc.collect() > 0 and _only(kept)))


def _only(kept: set[int]) -> bool:
    opened = {int(name) for name in os.listdir("/proc/self/fd")}
    return len(opened) == len(kept) + 1 and opened >= kept  # one is that of the listing


def _serve_a_job(channel: socket.socket, link: int, waiting: "Early | None") -> "tuple[bool, Early | None]":
    """Whether this process is fit for another job, and the child that still waits for one."""
    from sandcell.runtime.container import exec, jobs, mapped, monitor
    from sandcell.runtime.linux import process

    try:
        fds = _next(channel, link)
        channel.close()
        if not fds:
            return False, waiting
        _say(link, _TAKEN)
        control = socket.socket(fileno=fds[0])
        received = process.receive(control)
        if received is None:
            return False, waiting
        job = jobs.decode_job(received[0])
    except Exception as error:
        sys.stderr.write(f"sandcell monitor: {type(error).__name__}: {error}\n")
        return False, waiting
    # A container may run for months: whoever waits for the end of the client's output shall not
    # wait for that.
    os.dup2(1, 2)
    try:
        if isinstance(job, jobs.Run):
            return monitor.serve(job, control, fds[1:], waiting), None
        if isinstance(job, jobs.Exec):
            return exec.serve(job, control, fds[1:]), waiting
        if waiting is not None:
            waiting.drop()
        monitor.tell(control, mapped.perform(job, fds[1:]))
    except Exception as error:
        monitor.tell(control, jobs.Refused(f"watch over it: {type(error).__name__}: {error}", 0))
    return False, None


def _say(link: int, what: bytes) -> None:
    try:
        os.write(link, what)
    except OSError:
        pass  # the spawner was killed; what we are doing goes on


def _next(channel: socket.socket, link: int) -> list[int]:
    """The descriptors of the next job; none when the client or the spawner has gone, or does not need us."""
    from sandcell.runtime.linux import process

    poll = select.poll()
    poll.register(channel, select.POLLIN)
    poll.register(link, 0)
    while True:
        for fd, _ in poll.poll():
            if fd == link:
                return []
            try:
                return process.receive_descriptors(channel, 4, flags=socket.MSG_DONTWAIT)[1]
            except BlockingIOError:
                pass  # another was quicker
