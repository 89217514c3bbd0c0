"""The program that tries, in a small process of its own, what this host allows.

It is a process and not a function because the caller is a Jupyter kernel: a process with threads
can neither enter a user namespace nor fork safely. Each trial runs in a child, so that nothing
outlives it: when the child ends, its namespaces and mounts are gone. The result is one line of
JSON, read as ``host_model.Trial`` records; judging them is not done here.

Only ``ctypes``, ``json`` and ``os`` are loaded, because a cold probe delays the first cell.
"""

import ctypes
import errno
import json
import os
import signal
import sys
from collections.abc import Callable

from sandcell.runtime.linux import mounts, namespaces, overlay, syscall
from sandcell.runtime.linux.syscall import libc

_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_SET_MODE_FILTER = 1
_SECONDS = 10

# A filter of one instruction: BPF_RET | BPF_K with SECCOMP_RET_ALLOW. seccomp(2).
_ALLOW_ALL = (0x06).to_bytes(2, sys.byteorder) + bytes(2) + (0x7FFF0000).to_bytes(4, sys.byteorder)

# A bit that unshare(2) has never known: the kernel says EINVAL before it looks at privileges.
_UNKNOWN_FLAG = 0x1


class _Progress:
    """What a trial is doing right now, so that a refusal can be told precisely.

    ``step``: in words. ``call``: the system call, and ``flags`` its flags where it is unshare.
    """

    def __init__(self) -> None:
        self.step = ""
        self.call = ""
        self.flags = 0

    def unshare(self, flags: int, step: str) -> None:
        self.step, self.call, self.flags = step, "unshare", flags
        syscall.unshare(flags)

    def mount(self, step: str, source: bytes | None, target: str, fstype: bytes | None, flags: int) -> None:
        self.step, self.call = step, "mount"
        mounts.mount(source, os.fsencode(target), fstype, flags)

    def does(self, step: str, call: str = "") -> None:
        self.step, self.call = step, call


# What is tried on every rung; the names are those of the methods of ``_Trials``.
ANYWHERE = (
    "chroot",
    "pid namespace",
    "network namespace",
    "hostname namespace",
    "ipc namespace",
    "cgroup namespace",
    "seccomp filter",
)

Work = Callable[[_Progress], None]


def _answered_by_filter(progress: _Progress) -> bool:
    """True when a system-call filter, not the kernel, refused the call.

    The call is made once more with arguments that the kernel itself always finds faulty (an
    address or a flag) before it asks who is calling. Any other answer came from a filter.
    """
    attempts: dict[str, tuple[Callable[[], int], int]] = {
        "unshare": (lambda: syscall.call("unshare", progress.flags | _UNKNOWN_FLAG), errno.EINVAL),
        "mount": (lambda: _checked(libc.mount(None, None, None, 0, None)), errno.EFAULT),
        "pivot_root": (lambda: syscall.call("pivot_root", None, None), errno.EFAULT),
        "chroot": (lambda: _checked(libc.chroot(None)), errno.EFAULT),
    }
    if progress.call not in attempts:
        return False
    attempt, expected = attempts[progress.call]
    try:
        attempt()
    except OSError as error:
        return error.errno != expected
    return True


def _checked(result: int) -> int:
    if result < 0:
        syscall.fail("call")
    return result


def _try(work: Work) -> dict[str, object]:
    """Run ``work`` in a child; the record of how it went."""
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(readable)
            signal.alarm(_SECONDS)
            os.write(writable, json.dumps(_record(work)).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writable)
    data = b""
    while part := os.read(readable, 65536):
        data += part
    os.close(readable)
    _, status = os.waitpid(pid, 0)
    if not data:
        return {"errno": errno.EINTR, "step": f"the trial was ended (wait status {status})"}
    record: dict[str, object] = json.loads(data)
    return record


def _record(work: Work) -> dict[str, object]:
    progress = _Progress()
    try:
        work(progress)
    except OSError as error:
        number = error.errno or errno.EIO
        return {
            "errno": number,
            "step": progress.step,
            "call": progress.call,
            "filtered": _seccomp_mode() == 2 and _answered_by_filter(progress),
        }
    return {}


def _seccomp_mode() -> int:
    for line in _read("/proc/self/status").splitlines():
        if line.startswith("Seccomp:"):
            return int(line.split()[1])
    return 0


def _read(path: str) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 1 << 16).decode(errors="replace")
    finally:
        os.close(fd)


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _in_child(work: Callable[[], None]) -> None:
    """Run ``work`` in a child, as a new pid namespace wants, and raise the error it met."""
    pid = os.fork()
    if pid == 0:
        number = errno.EIO
        try:
            work()
            number = 0
        except OSError as error:
            number = error.errno or errno.EIO
        finally:
            os._exit(number)
    number = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if number:
        raise OSError(abs(number), os.strerror(abs(number)))


class _Trials:
    """All trials of one entry: with the rights we have (``own``) or as root of a user namespace.

    ``scratch``: a directory on the store's file system, or ``""`` where none could be made.
    """

    def __init__(self, scratch: str, *, own: bool) -> None:
        self.scratch = scratch
        self.own = own
        self.uid, self.gid = os.geteuid(), os.getegid()

    def run(self, name: str) -> dict[str, object]:
        """Try the method of that name below, in a child."""
        return _try(getattr(self, name.replace(" ", "_"))) | ({"own": True} if self.own else {})

    def enter(self, progress: _Progress) -> None:
        """Become root of a new user namespace, unless our own rights are to be tried."""
        if self.own:
            return
        progress.unshare(syscall.CLONE_NEWUSER, "make a user namespace")
        progress.does("map the user into the user namespace", "write")
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"0 {self.uid} 1")
        _write("/proc/self/gid_map", f"0 {self.gid} 1")

    def enter_mounts(self, progress: _Progress, more: int = 0) -> str:
        """A private mount namespace; gives a directory to mount on."""
        self.enter(progress)
        progress.unshare(syscall.CLONE_NEWNS | more, "make a mount namespace")
        progress.mount("make its mounts private", None, "/", None, mounts.MS_REC | mounts.MS_PRIVATE)
        return self.scratch or "/tmp"

    def user_namespace(self, progress: _Progress) -> None:
        self.enter(progress)

    def mount(self, progress: _Progress) -> None:
        target = self.enter_mounts(progress)
        progress.mount("mount a tmpfs", b"tmpfs", target, b"tmpfs", mounts.MS_NOSUID)

    def overlay(self, progress: _Progress) -> None:
        self.enter_mounts(progress)
        progress.does("make directories in the store")
        if not self.scratch:
            raise OSError(errno.EACCES, "no scratch directory")
        self._overlay(progress, self.scratch)

    def overlay_in_memory(self, progress: _Progress) -> None:
        target = self.enter_mounts(progress)
        progress.mount("mount a tmpfs", b"tmpfs", target, b"tmpfs", mounts.MS_NOSUID)
        self._overlay(progress, target)

    def _overlay(self, progress: _Progress, place: str) -> None:
        lower, upper, work, merged = (f"{place}/{name}" for name in ("lower", "upper", "work", "merged"))
        for path in (lower, upper, work, merged, f"{lower}/gone"):
            os.mkdir(path)
        _touch(f"{lower}/kept")
        progress.does("mount an overlay", "mount")
        overlay.mount_overlay(merged, [lower], upper, work, userxattr=not self.own)
        progress.does("change a file in the overlay")
        fd = os.open(f"{merged}/kept", os.O_WRONLY | os.O_APPEND)
        os.write(fd, b"changed")
        os.close(fd)
        # Removing and re-making a directory asks for the two hard things: a whiteout (a device
        # node) and the "opaque" mark (an extended attribute).
        progress.does("record a removed directory in the overlay")
        os.rmdir(f"{merged}/gone")
        os.mkdir(f"{merged}/gone")
        mounts.umount(os.fsencode(merged))

    def pivot_root(self, progress: _Progress) -> None:
        target = self.enter_mounts(progress)
        progress.mount("mount a tmpfs", b"tmpfs", target, b"tmpfs", mounts.MS_NOSUID)
        progress.does("change the root with pivot_root", "pivot_root")
        os.chdir(target)
        syscall.pivot_root(b".", b".")

    def chroot(self, progress: _Progress) -> None:
        self.enter(progress)
        progress.does("change the root with chroot", "chroot")
        os.chroot(self.scratch or "/tmp")

    def pid_namespace(self, progress: _Progress) -> None:
        self.enter(progress)
        progress.unshare(syscall.CLONE_NEWPID, "make a pid namespace")

        def first() -> None:
            if os.getpid() != 1:
                raise OSError(errno.EPERM, "not the first process")

        progress.does("start the first process of a pid namespace", "fork")
        _in_child(first)

    def proc(self, progress: _Progress) -> None:
        target = self.enter_mounts(progress, syscall.CLONE_NEWPID)
        progress.does("mount /proc for the new pid namespace", "mount")
        _in_child(lambda: mounts.mount(b"proc", os.fsencode(target), b"proc", mounts.MS_NOSUID))

    def network_namespace(self, progress: _Progress) -> None:
        self.enter(progress)
        progress.unshare(syscall.CLONE_NEWNET, "make a network namespace")
        progress.does("bring the loopback interface up", "ioctl")
        namespaces.loopback_up()

    def hostname_namespace(self, progress: _Progress) -> None:
        self.enter(progress)
        progress.unshare(syscall.CLONE_NEWUTS, "make a hostname (uts) namespace")
        progress.does("set the hostname", "sethostname")
        _checked(libc.sethostname(b"probe", 5))

    def ipc_namespace(self, progress: _Progress) -> None:
        self.enter(progress)
        progress.unshare(syscall.CLONE_NEWIPC, "make an ipc namespace")

    def cgroup_namespace(self, progress: _Progress) -> None:
        self.enter(progress)
        progress.unshare(syscall.CLONE_NEWCGROUP, "make a cgroup namespace")

    def seccomp_filter(self, progress: _Progress) -> None:
        progress.does("install a system-call filter", "seccomp")
        _checked(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        program = ctypes.create_string_buffer(_ALLOW_ALL, len(_ALLOW_ALL))
        # struct sock_fprog: a count, padding to a pointer's alignment, the address.
        header = (1).to_bytes(8, sys.byteorder) + ctypes.addressof(program).to_bytes(8, sys.byteorder)
        syscall.call("seccomp", _SECCOMP_SET_MODE_FILTER, 0, header)


def _touch(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))


def _id_range(tool: str, uid: int, gid: int, first: int, count: int) -> dict[str, object]:
    """Ask ``tool`` (newuidmap or newgidmap) to map a range into a fresh user namespace."""
    own = uid if tool.endswith("newuidmap") else gid
    ready, made = os.pipe()
    done, keep = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(keep)
            syscall.unshare(syscall.CLONE_NEWUSER)
            os.write(made, b"1")
            os.read(done, 1)
        finally:
            os._exit(0)
    for fd in (made, done):
        os.close(fd)
    record: dict[str, object] = {"errno": errno.EPERM, "step": "make a user namespace", "call": "unshare"}
    if os.read(ready, 1):
        arguments = [tool, str(pid), "0", str(own), "1", "1", str(first), str(count)]
        said, status = _output_of(arguments)
        record = {"errno": errno.EPERM, "step": said or f"{tool} failed"} if status else {}
    for fd in (ready, keep):
        os.close(fd)
    os.waitpid(pid, 0)
    return record


def _output_of(arguments: list[str]) -> tuple[str, int]:
    """What a program said on standard error, and its exit status."""
    readable, writable = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, writable, 2)]
    pid = os.posix_spawn(arguments[0], arguments, dict(os.environ), file_actions=actions)
    os.close(writable)
    said = os.read(readable, 4096).decode(errors="replace").strip()
    os.close(readable)
    return said, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _worked(record: dict[str, object]) -> bool:
    return "errno" not in record


def run(store: str, forced: str, nested: bool, maps: list[tuple[str, int, int]]) -> dict[str, object]:
    """Every trial, as a dictionary for JSON.

    ``nested``: not in the first user namespace. ``maps``: (tool, first id, count) of each id range.
    """
    os.umask(0o077)
    scratch, scratch_error = _make_scratch(store)
    trials: dict[str, dict[str, object]] = {}
    try:
        own, user = _Trials(scratch, own=True), _Trials(scratch, own=False)
        trials["mount as root"] = own.run("mount")
        trials["user namespace"] = user.run("user namespace")
        # Root of a container's user namespace cannot write trusted.* marks: there, and when it is
        # asked for, one more user namespace is the better way.
        can_mount = _worked(trials["mount as root"])
        by_choice = nested or forced in ("rootless", "nomount") or not can_mount
        chosen = user if by_choice and _worked(trials["user namespace"]) else own
        if chosen is user:
            trials["mount"] = user.run("mount")
            can_mount = _worked(trials["mount"])
            for tool, first, count in maps if can_mount else ():
                trials[os.path.basename(tool)] = _id_range(tool, user.uid, user.gid, first, count)
        if can_mount:
            trials["overlay"] = chosen.run("overlay")
            if not _worked(trials["overlay"]):
                trials["overlay in memory"] = chosen.run("overlay in memory")
            for name in ("pivot_root", "proc"):
                trials[name] = chosen.run(name)
        for name in ANYWHERE:
            trials[name] = chosen.run(name)
    finally:
        if scratch:
            _remove(scratch)
    entry = "own" if chosen is own else "user"
    return {"entry": entry, "scratch_errno": scratch_error, "trials": trials}


def _make_scratch(store: str) -> tuple[str, int]:
    """A fresh directory below the store's ``tmp``, or ``""`` and why not."""
    path = f"{store}/tmp/probe-{os.getpid()}"
    try:
        os.makedirs(path, mode=0o700)
    except OSError as error:
        return "", error.errno or errno.EIO
    return path, 0


def _remove(tree: str) -> None:
    # Not shutil: its import alone costs a tenth of a whole probe. The kernel leaves a directory
    # without any permission in an overlay's work directory.
    os.chmod(tree, 0o700)
    for entry in list(os.scandir(tree)):
        if entry.is_dir(follow_symlinks=False):
            _remove(entry.path)
        else:
            os.unlink(entry.path)
    os.rmdir(tree)


def main() -> None:
    """``argv``: the arguments of ``run`` as JSON. Writes the record to standard output."""
    signal.alarm(3 * _SECONDS)
    os.write(1, json.dumps(run(*json.loads(sys.argv[1]))).encode())
