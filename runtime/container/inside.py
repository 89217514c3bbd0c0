"""What the process that becomes a container's init does: play the inside steps, then execute.

House rule: once ``PivotRoot`` has been played this interpreter stands in a tree that an image
made. Nothing may be imported, opened by name for Python's own use, looked up by libc (no NSS, no
locale) or formatted with a traceback from here on: every function is resolved before, and a
failure is told as step number and errno over an already open socket.
"""

import array
import errno
import fcntl
import os
import resource
import signal
import socket
import stat
import sys
import termios
from collections.abc import Callable
from typing import Any, Never

from sandcell.runtime.container import mapped_inside, reaper, root_inside, root_steps, view_inside, view_steps
from sandcell.runtime.container import steps as s
from sandcell.runtime.container.execution import execute
from sandcell.runtime.linux import capabilities, cgroups, mounts, namespaces, overlay, process, seccomp_load
from sandcell.runtime.linux.syscall import (
    CLONE_NEWCGROUP,
    close_range,
    pivot_root,
    setns,
    unshare,
    working_directory,
)

# pty ioctls that Python 3.11 has no names for (ioctl_tty(2))
_TIOCSPTLCK = 0x40045431
_TIOCGPTPEER = 0x5441

FAILED = b"!"
CONSOLE = b"c"
EXECUTING = b"e"
OWNERS = b"o"
_MOST_DOORS = 16
_LISTEN = seccomp_load.FILTER_FLAGS["NEW_LISTENER"] | seccomp_load.FILTER_FLAGS["SPEC_ALLOW"]


class Scene:
    """What the steps share: the socket to the monitor, and the trees that were opened; those
    ``unrestricted``, with the mounts below them, get their flags when they have a place."""

    __slots__ = ("console", "sync", "trees", "unrestricted")

    def __init__(self, sync: socket.socket) -> None:
        self.sync = sync
        self.trees: dict[int, int] = {}
        self.unrestricted: dict[int, tuple[str, ...]] = {}
        self.console = -1


def become(
    inside: tuple[s.Inside, ...],
    sync: socket.socket,
    stdio: tuple[int, int, int],
    joins: tuple[tuple[int, int], ...] = (),
) -> Never:
    """Turn this freshly cloned process into a container's; never returns. ``joins``: what setns(2) is
    still to be called with, where a pair names any namespace at all.

    A failed step is told over ``sync`` as ``!<index> <errno>``; a successful ``execve`` closes it.
    """
    index = -1
    try:
        for fd, flags in joins:
            if flags:
                setns(fd, flags)
        # The path finders are not to be asked again, whatever happens below.
        sys.path.clear()
        sys.meta_path.clear()
        for number, fd in enumerate(stdio):
            os.dup2(fd, number)
        # Closed and not only marked: until the program is executed a working directory or a link
        # in the image may say /proc/self/fd/N.
        kept = sync.fileno()
        if kept > 3:
            close_range(3, kept - 1)
        close_range(kept + 1)
        process.default_signals()
        scene = Scene(sync)
        for index, step in enumerate(inside):  # noqa: B007
            PERFORM[type(step)](step, scene)
    except OSError as error:
        _report(sync, index, error.errno or errno.EIO)
    except BaseException:
        _report(sync, index, errno.EPROTO)
    finally:
        os._exit(125)


def _report(sync: socket.socket, index: int, number: int) -> None:
    try:
        sync.send(b"%s%d %d" % (FAILED, index, number))
    except OSError:
        pass


def _await(scene: Scene, wanted: bytes) -> None:
    if scene.sync.recv(1) != wanted:
        # The monitor gave up or died; it tells why itself.
        os._exit(125)


def _ids(step: s.AwaitIds, scene: Scene) -> None:
    _await(scene, s.IDS_READY)
    os.setresgid(step.gid, step.gid, step.gid)
    os.setresuid(step.uid, step.uid, step.uid)


def _network(step: s.AwaitNetwork, scene: Scene) -> None:
    _await(scene, s.CONNECTED)


def _join(step: s.JoinNamespace, scene: Scene) -> None:
    fd = os.open(step.path, os.O_RDONLY | os.O_CLOEXEC)
    setns(fd, 0)  # whichever kind it is
    os.close(fd)


def _cgroup(step: s.EnterCgroup, scene: Scene) -> None:
    said, doors = process.receive_descriptors(scene.sync, _MOST_DOORS)
    if said != s.DOORS:
        os._exit(125)
    cgroups.enter(doors)
    for fd in doors:
        os.close(fd)
    if step.new_namespace:
        unshare(CLONE_NEWCGROUP)


def _private(step: s.PrivateMounts, scene: Scene) -> None:
    mounts.mount(None, b"/", None, mounts.MS_REC | step.flags)


def _open_tree(step: s.OpenTree, scene: Scene) -> None:
    tree = mounts.clone_tree(os.fsencode(step.source), recursive=step.recursive)
    scene.trees[step.key] = tree
    # Before anything is placed: a link in the image may lead to an open descriptor too.
    if not mounts.restrict(tree, step.flags, recursive=step.recursive):
        scene.unrestricted[step.key] = mounts.below(step.source) if step.recursive else ()


def _open_kernel(step: s.OpenKernel, scene: Scene) -> None:
    scene.trees[step.key] = mounts.detached(
        step.fstype.encode(), step.source.encode(), step.flags, step.data.encode()
    )


def _overlay(step: s.MountOverlay, scene: Scene) -> None:
    overlay.mount_overlay(
        step.target,
        step.lowers,
        step.upper,
        step.work,
        volatile=step.volatile,
        userxattr=step.userxattr,
        flags=mounts.MS_NODEV if step.nodev else 0,
    )


def _bind_root(step: s.BindRoot, scene: Scene) -> None:
    mounts.mount(os.fsencode(step.source), os.fsencode(step.target), None, mounts.MS_BIND | mounts.MS_REC)


def _pivot(step: s.PivotRoot, scene: Scene) -> None:
    os.chdir(step.root)
    # Stacks the old root on the new one. No path may be walked until it is gone: "/.." leads to it.
    pivot_root(b".", b".")


def _drop(step: s.DropOldRoot, scene: Scene) -> None:
    mounts.umount(b".", mounts.MNT_DETACH)
    os.chdir("/")


def _directory(step: s.Directory, scene: Scene) -> None:
    make_directories(step.path, step.mode)


def make_directories(path: str, mode: int) -> None:
    """Like ``mkdir -p``; what stands already is left as it is."""
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        return
    except FileNotFoundError:
        parent = path.rpartition("/")[0]
        if not parent:
            raise
        make_directories(parent, 0o755)
        os.mkdir(path, mode)


def _mount(step: s.Mount, scene: Scene) -> None:
    source, target, fstype = step.source.encode(), os.fsencode(step.target), step.fstype.encode()
    try:
        mounts.mount(source, target, fstype, step.flags, step.data.encode())
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        # Where /sys is the host's, its control groups are there already, and mount(2) puts no file
        # system on itself.
        mounts.attach(mounts.detached(fstype, source, step.flags, step.data.encode()), target)


def _attach(step: s.AttachTree, scene: Scene) -> None:
    tree = scene.trees.pop(step.key)
    if stat.S_ISDIR(os.fstat(tree).st_mode):
        make_directories(step.target, 0o755)
    else:
        _make_file(step.target)
    target = os.fsencode(step.target)
    mounts.attach(tree, target)
    if step.key in scene.unrestricted:
        mounts.remount_tree(target, step.flags, scene.unrestricted[step.key])


def _make_file(path: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        os.close(os.open(path, flags, 0o644))
    except FileExistsError:
        pass
    except FileNotFoundError:
        make_directories(path.rpartition("/")[0], 0o755)
        os.close(os.open(path, flags, 0o644))


def _node(step: s.Node, scene: Scene) -> None:
    os.mknod(step.path, step.mode, os.makedev(step.major, step.minor))
    os.chmod(step.path, step.mode & 0o7777)


def _symlink(step: s.Symlink, scene: Scene) -> None:
    try:
        os.symlink(step.target, step.path)
    except FileExistsError:
        pass


def _console(step: s.Console, scene: Scene) -> None:
    # Below the mount of devpts nobody in the container can put anything else, unlike at /dev/ptmx.
    master = os.open(step.path, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(master, _TIOCSPTLCK, b"\0\0\0\0")
    slave = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    _hand_over(scene.sync, CONSOLE, master)
    if step.rows and step.columns:
        termios.tcsetwinsize(master, (step.rows, step.columns))
    os.close(master)
    for fd in (0, 1, 2):
        os.dup2(slave, fd)
    scene.console = slave


def _hand_over(sync: socket.socket, what: bytes, fd: int) -> None:
    # socket.send_fds would import a module.
    sync.sendmsg([what], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", (fd,)))])


def _mask(step: s.Mask, scene: Scene) -> None:
    # What lies at /dev/null may be an image's or a volume's: a link there would show what it hides.
    null = os.open("/dev/null", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    status = os.fstat(null)
    if not stat.S_ISCHR(status.st_mode) or status.st_rdev != os.makedev(1, 3):
        raise OSError(errno.ENODEV, "/dev/null")
    for path in step.paths:
        target = os.fsencode(path)
        try:
            directory = stat.S_ISDIR(os.stat(target).st_mode)
        except FileNotFoundError:
            continue
        if directory:
            mounts.mount(b"tmpfs", target, b"tmpfs", mounts.MS_RDONLY, b"size=0k")
        else:
            mounts.attach(mounts.clone_file(null), target)
    os.close(null)


def _read_only(step: s.ReadOnly, scene: Scene) -> None:
    for path in step.paths:
        target = os.fsencode(path)
        if path != "/":
            try:
                mounts.mount(target, target, None, mounts.MS_BIND | mounts.MS_REC)
            except FileNotFoundError:
                continue
        mounts.remount(target, mounts.MS_RDONLY)


def _hostname(step: s.Hostname, scene: Scene) -> None:
    if step.name:
        socket.sethostname(step.name)
    if step.domain:
        name = step.domain.encode()
        if namespaces.setdomainname(name, len(name)) < 0:
            raise OSError(errno.EPERM, "setdomainname")


def _loopback(step: s.Loopback, scene: Scene) -> None:
    namespaces.loopback_up()


def _write(path: str, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)


def _sysctl(step: s.Sysctl, scene: Scene) -> None:
    _write("/proc/sys/" + step.name.replace(".", "/"), step.value.encode())


def _oom(step: s.OomScore, scene: Scene) -> None:
    _write("/proc/self/oom_score_adj", b"%d" % step.value)


def _limit(step: s.ResourceLimit, scene: Scene) -> None:
    resource.setrlimit(step.resource, (step.soft, step.hard))


def _session(step: s.NewSession, scene: Scene) -> None:
    os.setsid()
    if scene.console >= 0:
        fcntl.ioctl(scene.console, termios.TIOCSCTTY, 0)


def _identity(step: s.Identity, scene: Scene) -> None:
    if step.uid:
        _own_streams(step.uid)
    capabilities.drop_bounding(step.bounding)
    if step.setgroups:
        os.setgroups(step.groups)
    process.prctl(process.PR_SET_KEEPCAPS, 1)
    os.setresgid(step.gid, step.gid, step.gid)
    os.setresuid(step.uid, step.uid, step.uid)
    process.prctl(process.PR_SET_KEEPCAPS, 0)
    if step.no_new_privileges:
        process.prctl(process.PR_SET_NO_NEW_PRIVS, 1)
    capabilities.set_caps(step.effective, step.permitted, step.inheritable, step.ambient)
    os.umask(step.umask)


def _own_streams(uid: int) -> None:
    """Let the user open /dev/stdout and its like again: our pipes and the terminal, nothing shared."""
    for fd in (0, 1, 2):
        if stat.S_ISFIFO(os.fstat(fd).st_mode) or os.isatty(fd):
            try:
                os.fchown(fd, uid, -1)
            except OSError:
                pass  # it is somebody else's, and stays so


def _filter(step: s.Filter, scene: Scene) -> None:
    seccomp_load.install(step.program, step.flags)


def _record_owners(step: s.RecordOwners, scene: Scene) -> None:
    try:
        listener = seccomp_load.install(step.program, _LISTEN)
    except OSError as error:
        # A kernel before 5.0, or we are somebody's container that is listened to already.
        if error.errno not in (errno.EINVAL, errno.EBUSY):
            raise
        return
    _hand_over(scene.sync, OWNERS, listener)
    os.close(listener)


def _cwd(step: s.WorkingDirectory, scene: Scene) -> None:
    os.chdir(step.path)
    if not working_directory().startswith(b"/"):
        raise OSError(errno.ENOENT, "chdir")  # it lies outside of the root: getcwd(2)


def _stay_with_the_monitor(sync: socket.socket) -> None:
    """From now on, and across execve, this process is killed when its monitor dies: nobody else
    could tell its end. To be called again after every change of ids, which ends it. prctl(2)."""
    process.prctl(process.PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        sync.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK)
    except BlockingIOError:
        return  # it is there
    os._exit(125)


def _reaper(step: s.Reaper, scene: Scene) -> None:
    _stay_with_the_monitor(scene.sync)
    reaper.begin()


def _execute(step: s.Execute, scene: Scene) -> None:
    _stay_with_the_monitor(scene.sync)
    scene.sync.send(EXECUTING)
    execute(step.arguments, step.environment)


PERFORM: dict[type, Callable[[Any, Scene], None]] = {
    s.AwaitIds: _ids,
    s.AwaitNetwork: _network,
    s.JoinNamespace: _join,
    s.EnterCgroup: _cgroup,
    s.PrivateMounts: _private,
    s.OpenTree: _open_tree,
    s.OpenKernel: _open_kernel,
    root_steps.ChangeRoot: root_inside.change_root,
    root_steps.KeepBelow: root_inside.keep_below,
    view_steps.OpenOverlay: view_inside.open_overlay,
    view_steps.OpenFile: view_inside.open_file,
    **mapped_inside.PERFORM,
    s.MountOverlay: _overlay,
    s.BindRoot: _bind_root,
    s.PivotRoot: _pivot,
    s.DropOldRoot: _drop,
    s.Directory: _directory,
    s.Mount: _mount,
    s.AttachTree: _attach,
    s.Node: _node,
    s.Symlink: _symlink,
    s.Console: _console,
    s.Mask: _mask,
    s.ReadOnly: _read_only,
    s.Hostname: _hostname,
    s.Loopback: _loopback,
    s.Sysctl: _sysctl,
    s.OomScore: _oom,
    s.ResourceLimit: _limit,
    s.NewSession: _session,
    s.Identity: _identity,
    s.Filter: _filter,
    s.RecordOwners: _record_owners,
    s.WorkingDirectory: _cwd,
    s.Reaper: _reaper,
    s.Execute: _execute,
}
