"""mount(2), umount2(2) and the detached mounts of open_tree(2).

A bind source is opened as a detached copy while the host's tree is still in sight and attached
after pivot_root(2), when every path can only lead into the container. So no path is ever walked
through a tree that an image or a volume may have filled with symbolic links to the host.
"""

import ctypes
import errno
import os
import re
import stat

from sandcell.runtime.linux.syscall import (
    AT_EMPTY_PATH,
    AT_RECURSIVE,
    OPEN_TREE_CLOEXEC,
    OPEN_TREE_CLONE,
    RESOLVE_BENEATH,
    RESOLVE_NO_SYMLINKS,
    fail,
    fsconfig,
    fsmount,
    fsopen,
    libc,
    mount_setattr,
    move_mount,
    open_tree,
    openat2,
)

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MS_RELATIME = 1 << 21
MS_STRICTATIME = 1 << 24
MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8

AT_FDCWD = -100

_ESCAPED = r"\\([0-7]{3})"

# mount_setattr(2) has numbers of its own for what mount(2) calls MS_*.
_ATTRIBUTES = ((MS_RDONLY, 0x1), (MS_NOSUID, 0x2), (MS_NODEV, 0x4), (MS_NOEXEC, 0x8))

_IDMAP = 0x100000

_mount = libc.mount
_mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)
_umount2 = libc.umount2
_umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)


def mount(
    source: bytes | None, target: bytes, fstype: bytes | None, flags: int = 0, data: bytes = b""
) -> None:
    """mount(2). ``OSError`` names the target."""
    if _mount(source, target, fstype, flags, data or None) < 0:
        fail(f"mount {os.fsdecode(target)}")


def umount(target: bytes, flags: int = 0) -> None:
    """umount2(2). ``OSError`` names the target."""
    if _umount2(target, flags) < 0:
        fail(f"umount {os.fsdecode(target)}")


def make_private(path: bytes) -> None:
    """Make the mount that ``path`` lies on private: what is mounted there stays in this namespace."""
    while True:
        try:
            return mount(None, path, None, MS_PRIVATE)
        except OSError as error:
            # EINVAL: no mount point, so the mount is that of a directory above.
            if error.errno != errno.EINVAL:
                raise
        if path == b"/":
            return None  # we are in a chroot, and cannot see it
        path = os.path.dirname(path)


def clone_tree(path: bytes, *, recursive: bool) -> int:
    """A descriptor of a detached copy of the mount (tree) at ``path``; closing it drops the copy."""
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (AT_RECURSIVE if recursive else 0)
    return open_tree(AT_FDCWD, path, flags)


def clone_file(fd: int) -> int:
    """Like ``clone_tree`` for the file or directory that ``fd`` stands for."""
    return open_tree(fd, b"", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)


def detached(fstype: bytes, source: bytes, flags: int, data: bytes = b"") -> int:
    """A descriptor of a new mount that is nowhere yet; ``flags`` and ``data`` as of ``mount``.

    fsopen(2), fsconfig(2), fsmount(2).
    """
    context = fsopen(fstype)
    try:
        fsconfig(context, b"source", source)
        for option in data.split(b",") if data else ():
            name, sign, value = option.partition(b"=")
            fsconfig(context, name, value if sign else None)
        return fsmount(context, attributes(flags))
    finally:
        os.close(context)


def attach(tree: int, target: bytes) -> None:
    """Attach the detached ``tree`` at ``target``, which is not followed if it is a link itself;
    closes ``tree``."""
    move_mount(tree, AT_FDCWD, target)
    os.close(tree)


def restrict(tree: int, flags: int, *, recursive: bool = False) -> bool:
    """Set MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC on a detached tree, and let nothing come into it that is
    mounted where it was cloned from later on, for that would have none of them. False before Linux 5.12."""
    where = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    try:
        mount_setattr(tree, b"", where, set=attributes(flags), propagation=MS_PRIVATE)
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        return False
    return True


def map_owners(tree: int, user_namespace: int, *, recursive: bool = False) -> None:
    """Let the owners of a detached tree be seen through the maps of a user namespace, a descriptor of it.
    ``OSError`` before Linux 5.12, and where the file system cannot. mount_setattr(2)"""
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    mount_setattr(tree, b"", flags, set=_IDMAP, user_namespace=user_namespace)


def attributes(flags: int) -> int:
    """The MOUNT_ATTR_* of mount_setattr(2) and fsmount(2) that the MS_* ``flags`` ask for."""
    wanted = 0
    for old, new in _ATTRIBUTES:
        if flags & old:
            wanted |= new
    return wanted


def below(path: str) -> tuple[str, ...]:
    """The mount points below ``path``, as paths from there. proc_pid_mountinfo(5)."""
    root = os.path.realpath(path).rstrip("/") + "/"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        points = [re.sub(_ESCAPED, lambda one: chr(int(one[1], 8)), line.split(" ")[4]) for line in file]
    return tuple(
        dict.fromkeys(point[len(root) :] for point in points if point.startswith(root) and point != root)
    )


def remount_tree(target: bytes, flags: int, points: tuple[str, ...]) -> None:
    """Put MS_* ``flags`` on the bind mount at ``target`` and on those at ``points`` below it, and make them
    private: what ``restrict`` does before Linux 5.12. ``OSError`` when one of them cannot be reached, by a
    path without symbolic links, or does not take them. The working directory is another afterwards."""
    mount(None, target, None, MS_PRIVATE | MS_REC)
    remount(target, flags)
    root = os.open(target, os.O_PATH | os.O_CLOEXEC)
    try:
        for point in points:
            name = os.fsencode(point)
            # No link may lead to another mount, which would take the flags in its place.
            fd = openat2(root, name, os.O_PATH, resolve=RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)
            try:
                if stat.S_ISDIR(os.fstat(fd).st_mode):
                    os.fchdir(fd)
                    remount(b".", flags)
                else:
                    remount(target + b"/" + name, flags)
                if flags & MS_RDONLY and not os.fstatvfs(fd).f_flag & os.ST_RDONLY:
                    raise OSError(errno.EBUSY, "it is not read-only", point)
            finally:
                os.close(fd)
    finally:
        os.close(root)
        os.chdir(b"/")


def remount(target: bytes, flags: int) -> None:
    """Put MS_* ``flags`` on the bind mount at ``target``.

    In a user namespace the flags that the host's mount already has are locked and must be named
    again, so they are read from the mount first. mount_namespaces(7).
    """
    vfs = os.statvfs(target)
    locked = 0
    for bit, have in (
        (MS_RDONLY, os.ST_RDONLY),
        (MS_NOSUID, os.ST_NOSUID),
        (MS_NODEV, os.ST_NODEV),
        (MS_NOEXEC, os.ST_NOEXEC),
        (MS_RELATIME, os.ST_RELATIME),
    ):
        if vfs.f_flag & have:
            locked |= bit
    mount(None, target, None, MS_REMOUNT | MS_BIND | flags | locked)
