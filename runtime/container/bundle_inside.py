"""What the first process of a bundle's container does: play the steps of ``bundle_plan``.

The house rule of ``inside`` holds here too. Until ``ChangeRoot`` the host's tree is in sight and every
path into the container is walked by the kernel with RESOLVE_IN_ROOT; afterwards nothing is imported
or looked up.
"""

import ctypes
import errno
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any, Never

from sandcell.runtime.container import bundle_steps as b
from sandcell.runtime.container import bundle_tree as tree
from sandcell.runtime.container import hooks, inside
from sandcell.runtime.container import steps as s
from sandcell.runtime.container.execution import execute
from sandcell.runtime.errors import SandcellError
from sandcell.runtime.linux import capabilities, mounts, process, seccomp_load
from sandcell.runtime.linux.syscall import CLOSE_RANGE_CLOEXEC, MACHINE, close_range, fail, libc, pivot_root

HOOKS = b"h"
READY = b"r"
TOLD = b"?"
MOST_STATE = 1 << 17

_JOIN_SESSION_KEYRING = 1
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)

_keyctl, _set_mempolicy = (219, 237) if MACHINE == "aarch64" else (250, 238)


class Scene(inside.Scene):
    """What the steps share. ``door``: the socket at which ``start`` knocks; ``state``: the container's
    state as its hooks are told it."""

    __slots__ = ("door", "root", "state")

    def __init__(self, sync: socket.socket, door: socket.socket | None, trees: dict[int, int]) -> None:
        super().__init__(sync)
        self.trees = trees
        self.door = door
        self.root = -1
        self.state = b""


def become(steps: tuple[s.Step, ...], scene: Scene, preserve: int = 0) -> Never:
    """Turn this freshly cloned process into the container's; never returns.

    A failed step is told to whoever waits (``create``, later ``start``) as ``!<errno> <step>``, with
    words of its own as ``?<text>``; a successful ``execve`` closes the connection.
    """
    step: s.Step = s.Step()
    try:
        sys.path.clear()
        sys.meta_path.clear()
        close_range(3 + preserve, flags=CLOSE_RANGE_CLOEXEC)
        process.default_signals()
        os.umask(0)
        for step in steps:
            (PERFORM.get(type(step)) or inside.PERFORM[type(step)])(step, scene)
    except SandcellError as error:
        _tell(scene, TOLD + str(error).encode(errors="replace")[:4000])
    except OSError as error:
        _fail(scene, step, error.errno or errno.EIO)
    except BaseException:
        _fail(scene, step, errno.EPROTO)
    finally:
        os._exit(127)


def _fail(scene: Scene, step: s.Step, number: int) -> None:
    _tell(scene, b"%s%d %s" % (inside.FAILED, number, step.describe().encode(errors="replace")[:4000]))


def _tell(scene: Scene, message: bytes) -> None:
    try:
        scene.sync.send(message)
    except OSError:
        pass


def _keyring(step: b.SessionKeyring, scene: Scene) -> None:
    # A kernel without keyrings, or a full quota, must not keep a container from running.
    libc.syscall(_keyctl, _JOIN_SESSION_KEYRING, None, 0, 0, 0)


def _affinity(step: b.Affinity, scene: Scene) -> None:
    os.sched_setaffinity(0, step.processors)


def _memory(step: b.MemoryFrom, scene: Scene) -> None:
    if libc.syscall(_set_mempolicy, step.mode, step.nodes or None, ctypes.c_ulong(8 * len(step.nodes))) < 0:
        fail("set_mempolicy")


def _propagation(step: b.Propagation, scene: Scene) -> None:
    mounts.mount(None, b"/", None, step.flags)


def _source(step: b.SourceTree, scene: Scene) -> None:
    scene.trees[step.key] = mounts.clone_tree(os.fsencode(step.source), recursive=step.recursive)


def _file_system(step: b.FileSystem, scene: Scene) -> None:
    wanted = step.options
    if step.like and not any(option.startswith("mode=") for option in wanted):
        mode = tree.mode_of(scene.root, step.like)
        wanted = (*wanted, f"mode={mode:o}")
    scene.trees[step.key] = tree.make(step.fstype, step.source, wanted, step.attributes)


def _root(step: b.RootTree, scene: Scene) -> None:
    path = os.fsencode(step.path)
    if step.private_parent:
        # pivot_root(2) refuses where the mount above the new root is shared; and the host, that
        # shares it with us, would get a copy of whatever is mounted there.
        mounts.make_private(path)
    if step.bind:
        mounts.mount(path, path, None, mounts.MS_BIND | mounts.MS_REC)
    if step.private_parent:
        mounts.mount(None, path, None, mounts.MS_PRIVATE)
    scene.root = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _place(step: b.Place, scene: Scene) -> None:
    tree.place(scene.root, scene.trees.pop(step.key), step)


def _remount(step: b.RemountAt, scene: Scene) -> None:
    target = tree.reach(scene.root, step.target)
    tree.change(target, step.attributes)
    os.close(target)


def _device(step: b.DeviceAt, scene: Scene) -> None:
    tree.device(scene.root, step)


def _link(step: b.LinkAt, scene: Scene) -> None:
    tree.link(scene.root, step)


def _console(step: b.ConsoleAt, scene: Scene) -> None:
    # For a command in a running container the root is the container's already.
    root = scene.root if scene.root >= 0 else os.open("/", os.O_PATH | os.O_CLOEXEC)
    master, slave = tree.terminal(root, step)
    socket.send_fds(scene.sync, [inside.CONSOLE], [master])
    os.close(master)
    for fd in (0, 1, 2):
        os.dup2(slave, fd)
    scene.console = slave


def _mask(step: b.MaskAt, scene: Scene) -> None:
    tree.mask(scene.root, step.path)


def _read_only(step: b.ReadOnlyAt, scene: Scene) -> None:
    tree.read_only(scene.root, step.path)


def _runtime_hooks(step: b.RuntimeHooks, scene: Scene) -> None:
    scene.sync.send(HOOKS)
    scene.state = scene.sync.recv(MOST_STATE)
    if not scene.state:
        os._exit(127)


def _call_hooks(step: b.CallHooks, scene: Scene) -> None:
    hooks.call(step.hooks, scene.state, step.moment, step.folder)


def _change_root(step: b.ChangeRoot, scene: Scene) -> None:
    before = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    os.fchdir(scene.root)
    os.close(scene.root)
    scene.root = -1
    pivot_root(b".", b".")
    # The host's tree lies on top now, and "." must mean it; it must not hear of its going.
    os.fchdir(before)
    os.close(before)
    mounts.mount(None, b".", None, mounts.MS_SLAVE | mounts.MS_REC)
    mounts.umount(b".", mounts.MNT_DETACH)
    os.chdir("/")
    mounts.mount(None, b"/", None, step.flags)


def _enter_root(step: b.EnterRoot, scene: Scene) -> None:
    os.fchdir(scene.root)
    os.close(scene.root)
    scene.root = -1
    os.chroot(".")
    os.chdir("/")


def _hold(step: b.Hold, scene: Scene) -> None:
    capabilities.hold(step.effective, step.permitted, step.inheritable)


def _read_only_root(step: b.ReadOnlyRoot, scene: Scene) -> None:
    mounts.remount(b"/", mounts.MS_RDONLY)


def _label(step: b.Label, scene: Scene) -> None:
    path = f"/proc/self/attr/{step.attribute}/exec"
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        fd = os.open("/proc/self/attr/exec", os.O_WRONLY | os.O_CLOEXEC)
    os.write(fd, step.text.encode())
    os.close(fd)


def _domain(step: b.Domain, scene: Scene) -> None:
    if libc.personality(step.value) < 0:
        raise OSError(errno.EINVAL, "personality")


def _await_start(step: b.AwaitStart, scene: Scene) -> None:
    assert scene.door is not None
    process.prctl(process.PR_SET_DUMPABLE, 0)
    for signum in _ENDING:
        # Pid 1 of a namespace is deaf to signals that it does not handle.
        signal.signal(signum, lambda number, _: os._exit(128 + number))
    scene.sync.send(READY)
    scene.sync.close()
    scene.sync, _ = scene.door.accept()
    scene.door.close()
    scene.state = scene.sync.recv(MOST_STATE)
    if not scene.state:
        os._exit(127)
    for signum in _ENDING:
        signal.signal(signum, signal.SIG_DFL)


def _notify(step: b.NotifyFilter, scene: Scene) -> None:
    agent = socket.socket(fileno=step.agent)
    message = tree.agent_message(step.metadata, scene.state)
    listener = seccomp_load.install(step.program, step.flags)
    socket.send_fds(agent, [message], [listener])
    os.close(listener)
    agent.close()


def _directory(step: b.ChangeDirectory, scene: Scene) -> None:
    os.chdir(step.path)
    try:
        os.getcwd()
    except FileNotFoundError:
        # An image or a user sent us to a directory of the host's through an open descriptor.
        raise OSError(errno.ELOOP, "chdir") from None
    except OSError:
        pass  # the filter forbids to ask


def _find(step: b.FindProgram, scene: Scene) -> None:
    program, path = step.arguments[0], "/usr/local/bin:/usr/bin:/bin"
    for entry in step.environment:
        if entry.startswith("PATH="):
            path = entry[5:]
    places = [program] if "/" in program else [f"{folder or '.'}/{program}" for folder in path.split(":")]
    if not any(os.access(place, os.X_OK) for place in places):
        there = any(os.path.lexists(place) for place in places)
        raise OSError(errno.EACCES if there else errno.ENOENT, "execve")


def _run(step: b.Run, scene: Scene) -> None:
    if step.preserve:
        close_range(3 + step.preserve, flags=CLOSE_RANGE_CLOEXEC)
    execute(step.arguments, step.environment)


PERFORM: dict[type, Callable[[Any, Any], None]] = {
    b.SessionKeyring: _keyring,
    b.Affinity: _affinity,
    b.MemoryFrom: _memory,
    b.MemoryFrom: _memory,
    b.Propagation: _propagation,
    b.SourceTree: _source,
    b.FileSystem: _file_system,
    b.RootTree: _root,
    b.Place: _place,
    b.RemountAt: _remount,
    b.DeviceAt: _device,
    b.LinkAt: _link,
    b.ConsoleAt: _console,
    b.MaskAt: _mask,
    b.ReadOnlyAt: _read_only,
    b.RuntimeHooks: _runtime_hooks,
    b.CallHooks: _call_hooks,
    b.ChangeRoot: _change_root,
    b.EnterRoot: _enter_root,
    b.Hold: _hold,
    b.ReadOnlyRoot: _read_only_root,
    b.Label: _label,
    b.Domain: _domain,
    b.AwaitStart: _await_start,
    b.NotifyFilter: _notify,
    b.ChangeDirectory: _directory,
    b.FindProgram: _find,
    b.Run: _run,
}
