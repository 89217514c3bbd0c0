"""Making the first process of a bundle's container.

The process is a child of the command that makes it, without a monitor: when the command ends, the
nearest subreaper above becomes its parent, which is how a supervisor such as conmon collects the exit
status. Namespaces that are joined or that only unshare(2) can make are entered by a helper in
between, whose child is a sibling of it (CLONE_PARENT), so a child of ours all the same.
"""

import errno
import os
import resource
import signal
import socket
from collections.abc import Callable, Set
from typing import NamedTuple

import msgspec

from sandcell.runtime.container import bundle_inside as player
from sandcell.runtime.container import inside
from sandcell.runtime.container import steps as s
from sandcell.runtime.errors import HostRefused, InvalidDocument, StartFailed
from sandcell.runtime.linux import cgroups, idmap, process
from sandcell.runtime.linux.namespaces import FLAGS
from sandcell.runtime.linux.syscall import clone3, setns, unshare
from sandcell.runtime.oci.spec import Process

# In the order of asm-generic/resource.h, which x86-64 and aarch64 share: the place is the number.
_LIMITS = "CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING MSGQUEUE NICE RTPRIO RTTIME"
_RESOURCES = {f"RLIMIT_{name}": number for number, name in enumerate(_LIMITS.split())}
CLONE_NEWTIME = 0x80
_CLONE_PARENT = 0x8000
_LATER = ("cgroup", "time")
ALL_FLAGS = {**FLAGS, "time": CLONE_NEWTIME}


class Wanted(NamedTuple):
    """``joins``: (name as in /proc/PID/ns, descriptor) in the order to enter. ``offsets``: the text for
    timens_offsets(5), where a time namespace is made."""

    new: frozenset[str]
    joins: tuple[tuple[str, int], ...] = ()
    offsets: str | None = None


class Child(msgspec.Struct):
    """The living first process, and how to talk to it."""

    pid: int
    sync: socket.socket
    console: int = -1


def bear(
    steps: tuple[s.Step, ...],
    wanted: Wanted,
    *,
    group: cgroups.Cgroup | None,
    door: socket.socket | None,
    trees: dict[int, int],
    preserve: int,
    move: Callable[[int], None] | None = None,
) -> Child:
    """Clone the process that plays ``steps``. ``HostRefused`` where the kernel does not let us. ``move``
    brings a process of that pid into the group, where we may not put it there ourselves."""
    flags = 0
    for name in wanted.new:
        flags |= FLAGS[name] if name not in _LATER else 0
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    into = group.open() if group is not None and move is None else None

    def play() -> None:
        ours.close()
        player.become(steps, player.Scene(theirs, door, trees), preserve)

    try:
        if wanted.joins or "time" in wanted.new or move is not None:
            pid = _beside(wanted, flags, into, play, move)
        else:
            pid, pidfd = clone3(flags, signal.SIGCHLD, -1 if into is None else into)
            if pid == 0:
                play()
            os.close(pidfd)
    except OSError as error:
        cause = f"{error.filename}: {os.strerror(error.errno or 0)}"
        raise HostRefused("make", "namespaces", cause, "see `sandcell doctor`") from None
    finally:
        theirs.close()
        if into is not None:
            os.close(into)
    return Child(pid, ours)


def _beside(
    wanted: Wanted,
    flags: int,
    into: int | None,
    play: Callable[[], None],
    move: Callable[[int], None] | None,
) -> int:
    announce, announced = os.pipe2(os.O_CLOEXEC)
    moved, moving = os.pipe2(os.O_CLOEXEC)
    if os.geteuid() == 0:
        # From now on, so that there is no moment for those inside to look into it.
        process.prctl(process.PR_SET_DUMPABLE, 0)
    helper, helper_fd = clone3(0, signal.SIGCHLD)
    if helper == 0:
        try:
            os.close(moving)
            os.read(moved, 1)
            for name, fd in wanted.joins:
                # A process is born into a group only where its maker sees both: cgroups(7), nsdelegate.
                if name != "cgroup" or into is None:
                    setns(fd, ALL_FLAGS.get(name, 0))
            if "time" in wanted.new:
                unshare(CLONE_NEWTIME)
                _put("/proc/self/timens_offsets", wanted.offsets or "")
            pid, _ = clone3(flags | _CLONE_PARENT, 0, -1 if into is None else into)
            if pid == 0:
                for name, fd in wanted.joins:
                    if name == "cgroup" and into is not None:
                        setns(fd, ALL_FLAGS[name])
                play()
            os.write(announced, b"%d" % pid)
        except OSError as error:
            os.write(announced, b"-%d" % (error.errno or errno.EIO))
        finally:
            os._exit(0)
    os.close(announced)
    os.close(moved)
    try:
        if move is not None:
            move(helper)
    except BaseException:
        os.kill(helper, signal.SIGKILL)
        raise
    finally:
        os.close(moving)
    said = os.read(announce, 32)
    os.close(announce)
    os.close(helper_fd)
    os.waitpid(helper, 0)
    number = int(said or b"-5")
    if number <= 0:
        raise OSError(-number, os.strerror(-number), "enter namespaces")
    return number


def map_ids(child: Child, maps: idmap.IdMap | None) -> None:
    """Write the maps of a new user namespace (``None``: there is none new), let the child go on."""
    if maps is not None:
        write_maps(child.pid, maps)
    child.sync.send(s.IDS_READY)


def write_maps(pid: int, maps: idmap.IdMap) -> None:
    """Write the maps of the new user namespace of ``pid``."""
    if os.geteuid() != 0:
        idmap.write(pid, maps)
        return
    for name, ranges in (("uid_map", maps.uids), ("gid_map", maps.gids)):
        _put(f"/proc/{pid}/{name}", "".join(f"{r.inside} {r.outside} {r.size}\n" for r in ranges))


def give_doors(child: Child, group: cgroups.Cgroup) -> None:
    """Let the child into its control group."""
    doors = group.doors()
    socket.send_fds(child.sync, [s.DOORS], doors)
    for fd in doors:
        os.close(fd)


def outfit(pid: int, wanted: Process, *, affinity: Set[int] = frozenset()) -> None:
    """What a process is given from outside, while its maker still has the right to. ``affinity``:
    processors to run on."""
    if wanted.oom_score_adj is not None:
        _put(f"/proc/{pid}/oom_score_adj", str(wanted.oom_score_adj))
    for limit in wanted.rlimits:
        number = _RESOURCES.get(limit.type)
        if number is None:
            raise InvalidDocument("limit", limit.type, "no such resource limit")
        try:
            resource.prlimit(pid, number, (_limit(limit.soft), _limit(limit.hard)))
        except (PermissionError, ValueError) as error:
            raise HostRefused("limit", limit.type, f"to {limit.soft}:{limit.hard}: {error}") from None
    if affinity:
        os.sched_setaffinity(pid, affinity)
    if wanted.scheduler or wanted.io_priority:
        from sandcell.runtime.oci_cli.priority import prioritise

        prioritise(pid, wanted)


def _limit(value: int) -> int:
    return -1 if value >= 1 << 63 else value


def listen(child: Child, on_hooks: Callable[[], bytes]) -> bool:
    """Hear the child until it waits to be started (True) or executes its program (False). ``on_hooks``
    calls the runtime's hooks and gives the state. ``StartFailed`` with what it could not do."""
    while True:
        message, fds, _, _ = socket.recv_fds(child.sync, 8192, 1)
        if message == inside.CONSOLE:
            child.console = fds[0]
            os.set_inheritable(fds[0], False)
        elif message == player.HOOKS:
            child.sync.send(on_hooks())
        else:
            return answered(message)


def answered(message: bytes) -> bool:
    """True: it waits to be started; False: its program runs. ``StartFailed`` tells what went wrong."""
    if message == player.READY:
        return True
    if not message:
        return False
    if message.startswith(player.TOLD):
        raise StartFailed("start", "the container", message[1:].decode(errors="replace"))
    number, _, step = message[1:].decode(errors="replace").partition(" ")
    cause = f"{step}: {os.strerror(int(number))}"
    # The status that a shell gives: execvp(3) says not found or not allowed.
    status = 125
    if step.startswith("execute "):
        status = 127 if int(number) in (errno.ENOENT, errno.ENOTDIR) else 126
    raise StartFailed("start", "the container", cause, status=status)


def end(child: Child) -> None:
    """Kill and collect a child whose making failed."""
    try:
        os.kill(child.pid, signal.SIGKILL)
        os.waitpid(child.pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def send_console(path: str, master: int) -> None:
    """Give the terminal's master to who listens at ``path`` (runc's "console socket")."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
        folder = os.open(os.path.dirname(path) or ".", os.O_PATH | os.O_CLOEXEC)
        try:
            channel.connect(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
        except OSError as error:
            raise HostRefused("send", "the terminal", f"{path}: {os.strerror(error.errno or 0)}") from None
        finally:
            os.close(folder)
        socket.send_fds(channel, [b"/dev/ptmx"], [master])
    os.close(master)


def _put(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    except OSError as error:
        raise HostRefused("write", path, f"{text.strip()!r}: {os.strerror(error.errno or 0)}") from None
    finally:
        os.close(fd)
