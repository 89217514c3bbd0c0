"""A first process prepared before anybody asks for it.

Making namespaces takes about as long as all that follows, and is the same for nearly every
container. So a monitor in reserve clones its child ahead of time, lets it play the steps that every
plan begins with, and keeps it waiting for the rest. It is used only when the plan really begins so
and nothing has been mounted or unmounted on the host meanwhile; else it is dropped and the plan
played from the start.
"""

import os
import select
import signal
import socket
from typing import TYPE_CHECKING, Never

from sandcell.runtime.container import inside as player
from sandcell.runtime.container import steps as s
from sandcell.runtime.container.sealed import Sealed, unpack
from sandcell.runtime.errors import SandcellError
from sandcell.runtime.linux import idmap as ids
from sandcell.runtime.linux import mounts, process
from sandcell.runtime.linux.namespaces import FLAGS
from sandcell.runtime.linux.syscall import clone3

if TYPE_CHECKING:
    from sandcell.runtime.container import bare

NAMESPACES = ("ipc", "mnt", "net", "pid", "uts")
_MOST = 160_000  # bytes in one packet, well below what a Unix socket takes by default
_STDIO = 3


class Early:
    """A waiting child: already in ``NAMESPACES`` (and ``user``) with ``idmap``'s ids. It closes
    ``link``, which is its monitor's alone.

    ``stage``: where it plays if it has no interpreter; one that has plays any plan, and costs more.
    """

    __slots__ = ("_table", "channel", "idmap", "mount_namespace", "pid", "pidfd", "prefix", "stage")

    def __init__(self, idmap: ids.IdMap, link: int, *, few: bool) -> None:
        self.idmap = idmap
        self.prefix = prefix(idmap)
        # The kernel marks this file when the mount table changes: proc(5), "mounts".
        self._table = os.open("/proc/self/mounts", os.O_RDONLY | os.O_CLOEXEC)
        flags = FLAGS["user"] if idmap.user_namespace else 0
        for name in NAMESPACES:
            flags |= FLAGS[name]
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # With a single id nearly every plan has a step that needs the interpreter.
        self.stage = None if few or idmap.single else _stage(self.prefix)
        if self.stage is not None:
            self.pid, self.pidfd = self.stage.start(flags, theirs.fileno())
        else:
            self.pid, self.pidfd = clone3(flags, signal.SIGCHLD)
            if self.pid == 0:
                self.channel.close()
                os.close(link)
                _wait(self.prefix, theirs)
        theirs.close()
        self.mount_namespace = os.open(f"/proc/{self.pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        if idmap.user_namespace:
            ids.write(self.pid, idmap)
            self.channel.send(s.IDS_READY)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What it holds open in this process."""
        return (self.channel.fileno(), self.pidfd, self.mount_namespace, self._table)

    def fits(self, plan: Sealed) -> bool:
        """True when the plan begins as this child did, and the host's mounts are still the same."""
        wanted: set[str] = set()
        idmap = ids.HOST
        for step in plan.outside:
            if isinstance(step, s.NewNamespaces):
                wanted = set(step.names) - {"cgroup", "user"}
            elif isinstance(step, s.MapIds):
                idmap = step.idmap
        return (
            (self.stage is None or bool(plan.bare))
            and wanted == set(NAMESPACES)
            and idmap == self.idmap
            and plan.first == self.prefix
            and not select.select([], [], [self._table], 0)[2]
        )

    def go(self, plan: Sealed, stdio: tuple[int, int, int]) -> bool:
        """Let the child play the rest of the plan. False, and nothing happened, when that is too long
        or the child has ended: then a host that refused what it began with says so again."""
        try:
            if self.stage is not None:
                self.stage.add_plan(plan.bare)
                socket.send_fds(self.channel, [s.GO], stdio)
            elif len(plan.rest) <= _MOST:
                socket.send_fds(self.channel, [plan.rest], stdio)
            else:
                return False
        except (BrokenPipeError, OverflowError):
            return False
        os.close(self._table)
        return True

    def drop(self) -> None:
        """End the child that nobody will need."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
        if self.stage is not None:
            self.stage.close()
        self.channel.close()
        for fd in (self.pidfd, self.mount_namespace, self._table):
            os.close(fd)


def prefix(idmap: ids.IdMap) -> tuple[s.Inside, ...]:
    """What every plan begins with."""
    steps: list[s.Inside] = []
    if idmap.user_namespace:
        steps.append(s.AwaitIds(idmap.uids[0].inside, idmap.gids[0].inside))
    return (*steps, s.PrivateMounts(mounts.MS_SLAVE), s.Loopback())


def prologue(first: tuple[s.Inside, ...]) -> bytes:
    """What a child without an interpreter does until it has the rest of its plan."""
    from sandcell.runtime.container import compiled

    before = (compiled.closing(), compiled.calls_of(first) or b"")
    return b"".join((*before, compiled.awaited(), compiled.beginning()))


def _stage(first: tuple[s.Inside, ...]) -> "bare.Stage | None":
    from sandcell.runtime.container import bare

    return bare.stage(prologue(first))


def _wait(prefix: tuple[s.Inside, ...], channel: socket.socket) -> Never:
    try:
        os.dup2(1, 2)  # nowhere: who waits for the end of the client's output waits not for us
        scene = player.Scene(channel)
        for step in prefix:
            player.PERFORM[type(step)](step, scene)
        data, fds = process.receive_descriptors(channel, _STDIO, _MOST)
        if data:
            player.become(unpack(data), channel, (fds[0], fds[1], fds[2]))
    finally:
        # Nobody needs us any more, or the host refuses what a plan begins with: whoever plays
        # that plan from the start will tell why.
        os._exit(125)


def prepare(idmap: ids.IdMap, link: int, *, few: bool = False) -> Early | None:
    """``Early``, or ``None`` where the host does not allow one. ``few``: as of ``boot``."""
    try:
        return Early(idmap, link, few=few)
    except (OSError, SandcellError):
        return None
