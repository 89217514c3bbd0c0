"""The inside steps that mount and make files, as system calls: see ``compiled``. Pure."""

import errno
import os
import stat
import struct
from collections.abc import Callable
from typing import Any

from sandcell.runtime.container import steps as s
from sandcell.runtime.container.calls import Beside, Calls, Label, Room, Slot
from sandcell.runtime.container.room import (
    FIRST_TREE,
    STATUS,
    STATX_BASIC,
    STATX_DEVICE,
    STATX_MODE,
    TREES,
    A,
    B,
    expect_kind,
)
from sandcell.runtime.linux import mounts, overlay
from sandcell.runtime.linux.mounts import AT_FDCWD
from sandcell.runtime.linux.syscall import (
    AT_EMPTY_PATH,
    AT_RECURSIVE,
    FSMOUNT_CLOEXEC,
    FSOPEN_CLOEXEC,
    MOVE_MOUNT_F_EMPTY_PATH,
    OPEN_TREE_CLOEXEC,
    OPEN_TREE_CLONE,
)

_SET_FLAG, _SET_STRING, _CREATE = 0, 1, 6  # fsconfig(2)


def _tree(key: int) -> int:
    if key >= TREES:
        raise OverflowError
    return FIRST_TREE + key


def _open_tree(calls: Calls, step: s.OpenTree) -> None:
    recursive = AT_RECURSIVE if step.recursive else 0
    flags, tree, nothing = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC, _tree(step.key), calls.text("")
    calls.call("open_tree", AT_FDCWD, calls.text(step.source), flags | recursive, into=tree)
    restricted = struct.pack("QQQQ", mounts.attributes(step.flags), 0, mounts.MS_PRIVATE, 0)
    calls.call(
        "mount_setattr",
        Slot(tree),
        nothing,
        AT_EMPTY_PATH | recursive,
        calls.data(restricted),
        len(restricted),
    )


def _open_kernel(calls: Calls, step: s.OpenKernel) -> None:
    _detached(calls, step.fstype, step.source, step.flags, step.data, _tree(step.key))


def _detached(calls: Calls, fstype: str, source: str, flags: int, data: str, into: int) -> None:
    context = Slot(A)
    calls.call("fsopen", calls.text(fstype), FSOPEN_CLOEXEC, into=A)
    calls.call("fsconfig", context, _SET_STRING, calls.text("source"), calls.text(source), 0)
    for option in data.split(",") if data else ():
        name, sign, value = option.partition("=")
        given, kind = (calls.text(value), _SET_STRING) if sign else (0, _SET_FLAG)
        calls.call("fsconfig", context, kind, calls.text(name), given, 0)
    calls.call("fsconfig", context, _CREATE, 0, 0, 0)
    calls.call("fsmount", context, FSMOUNT_CLOEXEC, mounts.attributes(flags), into=into)
    calls.call("close", context)


def _overlay(calls: Calls, step: s.MountOverlay) -> None:
    directory, text = overlay.fitting(
        step.lowers, step.upper, step.work, volatile=step.volatile, userxattr=step.userxattr
    )
    if directory:
        calls.call("chdir", calls.text(directory))
    name, flags = calls.text("overlay"), mounts.MS_NODEV if step.nodev else 0
    calls.call("mount", name, calls.text(step.target), name, flags, calls.text(text))


def _bind_root(calls: Calls, step: s.BindRoot) -> None:
    flags = mounts.MS_BIND | mounts.MS_REC
    calls.call("mount", calls.text(step.source), calls.text(step.target), 0, flags, 0)


def _pivot(calls: Calls, step: s.PivotRoot) -> None:
    here = calls.text(".")
    calls.call("chdir", calls.text(step.root))
    calls.call("pivot_root", here, here)


def _drop(calls: Calls, step: s.DropOldRoot) -> None:
    calls.call("umount2", calls.text("."), mounts.MNT_DETACH)
    calls.call("chdir", calls.text("/"))


def _directory(calls: Calls, step: s.Directory) -> None:
    _directories(calls, step.path, step.mode)


def _directories(calls: Calls, path: str, mode: int) -> None:
    stands, missing = Label(), Label()
    words = calls.text(path)
    after = {errno.EEXIST: stands, errno.ENOENT: missing}
    calls.call("mkdirat", AT_FDCWD, words, mode, after=after, then=stands)
    calls.place(missing)
    above = []
    while path := path.rpartition("/")[0]:
        above.append(path)
    for parent in reversed(above):
        made = Label()
        calls.call("mkdirat", AT_FDCWD, calls.text(parent), 0o755, after={errno.EEXIST: made})
        calls.place(made)
    calls.call("mkdirat", AT_FDCWD, words, mode)
    calls.place(stands)


def _mount(calls: Calls, step: s.Mount) -> None:
    done, busy = Label(), Label()
    target = calls.text(step.target)
    data = calls.text(step.data) if step.data else 0
    operands = (calls.text(step.source), target, calls.text(step.fstype), step.flags, data)
    calls.call("mount", *operands, after={errno.EBUSY: busy}, then=done)
    calls.place(busy)
    _detached(calls, step.fstype, step.source, step.flags, step.data, B)
    _place_tree(calls, B, target)
    calls.place(done)


def _place_tree(
    calls: Calls,
    tree: int,
    target: Beside,
    after: dict[int, Label] | None = None,
    then: Label | None = None,
) -> None:
    operands = (Slot(tree), calls.text(""), AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH)
    calls.call("move_mount", *operands, after=after)
    calls.call("close", Slot(tree), then=then)


def _attach(calls: Calls, step: s.AttachTree) -> None:
    tree, target = _tree(step.key), calls.text(step.target)
    missing, is_file, ready, done = Label(), Label(), Label(), Label()
    _place_tree(calls, tree, target, after={errno.ENOENT: missing}, then=done)
    calls.place(missing)
    calls.call("statx", Slot(tree), calls.text(""), AT_EMPTY_PATH, STATX_BASIC, STATUS)
    expect_kind(calls, stat.S_IFDIR, is_file)
    _directories(calls, step.target, 0o755)
    _place_tree(calls, tree, target, then=done)
    calls.place(is_file)
    _make_file(calls, step.target, target, ready)
    calls.place(ready)
    _place_tree(calls, tree, target)
    calls.place(done)


def _make_file(calls: Calls, path: str, words: Beside, ready: Label) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    missing, made = Label(), Label()
    after = {errno.EEXIST: ready, errno.ENOENT: missing}
    calls.call("openat", AT_FDCWD, words, flags, 0o644, into=B, after=after, then=made)
    calls.place(missing)
    _directories(calls, path.rpartition("/")[0], 0o755)
    calls.call("openat", AT_FDCWD, words, flags, 0o644, into=B)
    calls.place(made)
    calls.call("close", Slot(B))


def _node(calls: Calls, step: s.Node) -> None:
    path = calls.text(step.path)
    calls.call("mknodat", AT_FDCWD, path, step.mode, os.makedev(step.major, step.minor))
    calls.call("fchmodat", AT_FDCWD, path, step.mode & 0o7777)


def _symlink(calls: Calls, step: s.Symlink) -> None:
    stands = Label()
    operands = (calls.text(step.target), AT_FDCWD, calls.text(step.path))
    calls.call("symlinkat", *operands, after={errno.EEXIST: stands})
    calls.place(stands)


def _mask(calls: Calls, step: s.Mask) -> None:
    nothing, tmpfs, size = calls.text(""), calls.text("tmpfs"), calls.text("size=0k")
    flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
    calls.call("openat", AT_FDCWD, calls.text("/dev/null"), flags, 0, into=B)
    # What lies at /dev/null may be an image's or a volume's: a link there would show what it hides.
    calls.call("statx", Slot(B), nothing, AT_EMPTY_PATH, STATX_BASIC, STATUS)
    for offset, wanted, mask in (
        (STATX_MODE, stat.S_IFCHR, 0o170000),
        (STATX_DEVICE, 1, 0xFFFFFFFF),
        (STATX_DEVICE + 4, 3, 0xFFFFFFFF),
    ):
        calls.load(Room(STATUS.offset + offset), A)
        calls.expect(Slot(A), wanted, errno.ENODEV, mask=mask)
    for path in step.paths:
        is_file, done = Label(), Label()
        target = calls.text(path)
        calls.call("statx", AT_FDCWD, target, 0, STATX_BASIC, STATUS, after={errno.ENOENT: done})
        expect_kind(calls, stat.S_IFDIR, is_file)
        calls.call("mount", tmpfs, target, tmpfs, mounts.MS_RDONLY, size, then=done)
        calls.place(is_file)
        clone = AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC
        calls.call("open_tree", Slot(B), nothing, clone, into=A)
        _place_tree(calls, A, target)
        calls.place(done)
    calls.call("close", Slot(B))


def _read_only(calls: Calls, step: s.ReadOnly) -> None:
    only_read = struct.pack("QQQQ", mounts.attributes(mounts.MS_RDONLY), 0, 0, 0)
    attributes = calls.data(only_read)
    for path in step.paths:
        target, done = calls.text(path), Label()
        if path != "/":
            flags = mounts.MS_BIND | mounts.MS_REC
            calls.call("mount", target, target, 0, flags, 0, after={errno.ENOENT: done})
        calls.call("mount_setattr", AT_FDCWD, target, 0, attributes, len(only_read))
        calls.place(done)


COMPILE: dict[type, Callable[[Calls, Any], None]] = {
    s.OpenTree: _open_tree,
    s.OpenKernel: _open_kernel,
    s.MountOverlay: _overlay,
    s.BindRoot: _bind_root,
    s.PivotRoot: _pivot,
    s.DropOldRoot: _drop,
    s.Directory: _directory,
    s.Mount: _mount,
    s.AttachTree: _attach,
    s.Node: _node,
    s.Symlink: _symlink,
    s.Mask: _mask,
    s.ReadOnly: _read_only,
}
