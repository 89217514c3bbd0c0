"""What a monitor does to make a container: the outside steps, then the hand-over to init."""

import errno
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sandcell.runtime.container import inside as player
from sandcell.runtime.container import steps as s
from sandcell.runtime.container.early import Early
from sandcell.runtime.container.jobs import Refused
from sandcell.runtime.container.sealed import Sealed
from sandcell.runtime.errors import SandcellError
from sandcell.runtime.linux import cgroups, idmap
from sandcell.runtime.linux.namespaces import FLAGS
from sandcell.runtime.linux.syscall import clone3, setns

if TYPE_CHECKING:
    from sandcell.runtime.container import bare

# A cgroup namespace shows where its maker is, so it is made by init itself once it has been moved.
_LATER = "cgroup"
_KILLED = Refused("set it up", 0, "it was killed meanwhile; try again")


class Born:
    """A living init: its pid and pidfd, its control group, and the terminal's master, if any."""

    __slots__ = ("cgroup", "console", "lifeline", "mount_namespace", "pasta", "pid", "pidfd", "recorder")

    def __init__(self, pid: int, pidfd: int, cgroup: cgroups.Cgroup | None, mounts: int = -1) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.cgroup = cgroup
        self.console = -1
        self.lifeline = -1  # of the process that is its way out, where it has one
        self.pasta = 0  # or its pid
        self.recorder = 0  # the process that answers its chown(2), where it has one
        # While this is open the container's mounts outlive init: unmounting an overlay may wait
        # for the disk, and nobody shall wait for that to hear an exit status.
        self.mount_namespace = mounts if mounts >= 0 else _mount_namespace(pid)

    def let_go(self) -> None:
        """Let the way out and the mounts go, and remove the control group."""
        if self.recorder:
            os.kill(self.recorder, signal.SIGKILL)  # it stands in the container's files
            os.waitpid(self.recorder, 0)
        if self.lifeline >= 0:
            os.close(self.lifeline)
        if self.pasta:
            from sandcell.runtime.container import pasta

            pasta.end(self.pasta)
        if self.mount_namespace >= 0:
            os.close(self.mount_namespace)
        if self.cgroup is not None:
            self.cgroup.remove()
            # The directory of all our groups, when this was the last.
            parent = self.cgroup.path.rpartition("/")[0]
            if parent:
                cgroups.Cgroup(parent, self.cgroup.layout).prune()


def _mount_namespace(pid: int) -> int:
    try:
        return os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1  # it has ended already


def prepare(plan: Sealed, stdio: tuple[int, int, int], early: Early | None) -> Born | Refused:
    """Carry the plan out: a container whose program runs, or why it does not. ``early``: a child
    that waits for a plan; it is used if it fits and dropped if not.

    If it fails, nothing of it is left but directories.
    """
    group: s.MakeCgroup | None = None
    wire: s.Connect | s.Slirp | None = None
    mapped: s.OpenMapped | None = None
    flags, ids, shared = 0, None, ""
    for step in plan.outside:
        if isinstance(step, s.MakeCgroup):
            group = step
        elif isinstance(step, s.NewNamespaces):
            shared = step.pid
            for name in step.names:
                flags |= FLAGS[name] if name != _LATER else 0
        elif isinstance(step, s.Connect | s.Slirp):
            wire = step
        elif isinstance(step, s.OpenMapped):
            mapped = step
        else:
            ids = step.idmap
    # On v2 a process must be born in its group: moving it there takes longer than a birth.
    born_inside = group is not None and cgroups.layout().unified
    try:
        if early is not None:
            if not born_inside and early.fits(plan) and early.go(plan, stdio):
                born = Born(early.pid, early.pidfd, None, early.mount_namespace)
                settled = _settled(early.channel, lambda: plan.following, born, group, wire, early.stage)
                if settled is not _KILLED:
                    return settled
                # It had been killed while it waited, and was not quite dead yet: nothing is lost.
            else:
                early.drop()
        with _pid_namespace(shared):
            return _bear(plan, stdio, flags, ids, group, wire, mapped, born_inside=born_inside)
    except SandcellError as error:
        return Refused(str(error), 0, error.hint)
    except OSError as error:
        return Refused(error.filename or "make the container", error.errno or errno.EIO)


@contextmanager
def _pid_namespace(path: str) -> Iterator[None]:
    """Children begin in the pid namespace at ``path`` meanwhile, if it is given; we stay in ours. setns(2)"""
    if not path:
        yield
        return
    give_children(path)
    try:
        yield
    finally:
        give_children("/proc/self/ns/pid")


def give_children(path: str) -> None:
    """Let the children that we have from now on begin in the pid namespace at ``path``. setns(2)"""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(fd, FLAGS["pid"])
    finally:
        os.close(fd)


def make_cgroup(step: s.MakeCgroup) -> cgroups.Cgroup:
    """The control group with its limits; removed again if a limit is refused."""
    group = cgroups.Cgroup(step.path, cgroups.layout())
    controllers = set(cgroups.USUAL)
    if step.limits.cpuset_cpus or step.limits.cpuset_mems:
        controllers.add("cpuset")
    group.create(controllers)
    try:
        group.limit(step.limits)
    except BaseException:
        group.remove()
        raise
    return group


def _settled(
    ours: socket.socket,
    steps: Callable[[], tuple[s.Inside, ...]],
    born: Born,
    group: s.MakeCgroup | None,
    wire: s.Connect | s.Slirp | None,
    stage: "bare.Stage | None",
) -> Born | Refused:
    """Make the control group and the network link while the child mounts its files, and hear what
    becomes of it; then its ``stage`` is not needed any more."""
    try:
        if group is not None and born.cgroup is None:
            born.cgroup = make_cgroup(group)
        give_doors(ours, born.cgroup)
        if wire is not None:
            connect(ours, born, wire)
        refused = listen(ours, steps, born, stage)
        if refused is not None:
            reap(born.pid, born.pidfd)
            born.let_go()
    except BaseException:
        reap(born.pid, born.pidfd)
        born.let_go()
        raise
    finally:
        ours.close()
        if stage is not None:
            stage.close()
    return refused or born


def connect(ours: socket.socket, born: Born, wire: s.Connect | s.Slirp) -> None:
    """Connect the child's network namespace, and tell its ``AwaitNetwork``."""
    try:
        if isinstance(wire, s.Slirp):
            _lead_out(born, wire)
        else:
            from sandcell.runtime.linux import network

            for one in (wire, *wire.others):
                inner = (one.inside, one.mac, one.address, one.prefix, one.gateway, one.six)
                network.connect(born.pid, one.bridge, one.outside, *inner)
    except OSError as error:
        raise OSError(error.errno, error.strerror, wire.describe()) from None
    try:
        ours.send(s.CONNECTED)
    except ConnectionError:
        pass  # it has failed meanwhile, and said why


def _lead_out(born: Born, wire: s.Slirp) -> None:
    from sandcell.runtime.container import pasta, slirp

    program = wire.program
    if os.path.basename(program) == pasta.NAME:
        try:
            born.pasta = pasta.begin(program, born.pid, wire.run)
            return
        except OSError:
            program = slirp.find()
            if not program:
                raise
    born.lifeline = slirp.begin(program, born.pid)


def give_doors(ours: socket.socket, group: cgroups.Cgroup | None) -> None:
    """Send the child what its ``EnterCgroup`` waits for: the doors of its group, on v2 none."""
    if group is None:
        return
    doors = group.doors()
    try:
        socket.send_fds(ours, [s.DOORS], doors)
    except ConnectionError:
        pass  # it has failed meanwhile, and said why
    finally:
        for fd in doors:
            os.close(fd)


def _bear(
    plan: Sealed,
    stdio: tuple[int, int, int],
    flags: int,
    ids: idmap.IdMap | None,
    group: s.MakeCgroup | None,
    wire: s.Connect | s.Slirp | None,
    mapped: s.OpenMapped | None,
    *,
    born_inside: bool,
) -> Born | Refused:
    cgroup = make_cgroup(group) if group is not None and born_inside else None
    into = cgroup.open() if cgroup is not None else None
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    stage = _stage(plan)
    try:
        if stage is not None:
            pid, pidfd = stage.start(flags, theirs.fileno(), -1 if into is None else into, stdio)
        else:
            pid, pidfd = clone3(flags, signal.SIGCHLD, -1 if into is None else into)
    except OSError:
        if cgroup is not None:
            cgroup.remove()
        raise
    if pid == 0:
        ours.close()
        player.become(plan.inside, theirs, stdio)
    if into is not None:
        os.close(into)
    theirs.close()
    born = Born(pid, pidfd, cgroup)
    try:
        if ids is not None:
            idmap.write(pid, ids)
            ours.send(s.IDS_READY)
        if mapped is not None:
            from sandcell.runtime.container import provide

            provide.provide(mapped, pid, ours)
    except BaseException:
        reap(pid, pidfd)
        born.let_go()
        raise
    return _settled(ours, lambda: plan.inside, born, group, wire, stage)


def _stage(plan: Sealed) -> "bare.Stage | None":
    """Where the plan can be played without an interpreter, if it can."""
    if not plan.bare:
        return None
    from sandcell.runtime.container import bare, compiled

    first = compiled.calls_of(plan.first)
    return None if first is None else bare.stage(compiled.beginning(), first + plan.bare)


def listen(
    ours: socket.socket,
    steps: Callable[[], tuple[s.Inside, ...]],
    born: Born,
    stage: "bare.Stage | None" = None,
) -> Refused | None:
    """Hear what the child tells until its program runs (``None``) or it has failed. ``steps``: gives what
    it does. ``stage``: where it tells if it has no interpreter."""
    executing = False
    while True:
        try:
            message, fds, _, _ = socket.recv_fds(ours, 64, 1)
        except ConnectionResetError:
            # It ended before it read what we sent; this is told once, before what it sent.
            continue
        if not message:
            if stage is not None and (failed := stage.failed(steps)) is not None:
                return told(steps(), *failed)
            return None if executing or (stage is not None and stage.executing) else _KILLED
        if message == player.EXECUTING:
            executing = True
        elif message == player.CONSOLE:
            born.console = fds[0]
            os.set_inheritable(born.console, False)
        elif message == player.OWNERS:
            from sandcell.runtime.container import recorder

            born.recorder = recorder.begin(fds[0], born.pid)
        elif message.startswith(player.FAILED):
            index, number = (int(text) for text in message[1:].split())
            return told(steps(), index, number)


def told(steps: tuple[s.Inside, ...], index: int, number: int) -> Refused:
    """What a failed inside step means."""
    if index < 0:
        return Refused("begin", number)
    step = steps[index]
    return Refused(step.describe(), number, executing=isinstance(step, s.Execute))


def reap(pid: int, pidfd: int) -> None:
    """End a child of ours and collect it; closes ``pidfd``."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    os.waitpid(pid, 0)
    os.close(pidfd)
