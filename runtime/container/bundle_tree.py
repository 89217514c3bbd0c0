"""Placing things in a container's root from outside of it, by descriptor.

Each path below is resolved by the kernel as if the root were ``/`` already (openat2(2),
RESOLVE_IN_ROOT, and no magic links), and used through the descriptor that this gives. An image may
hold any link it likes: it stays inside.
"""

import array
import errno
import fcntl
import os
import stat
import struct
import termios

from sandcell.runtime.container import bundle_steps as b
from sandcell.runtime.linux import mounts
from sandcell.runtime.linux.syscall import (
    AT_EMPTY_PATH,
    AT_RECURSIVE,
    OPEN_TREE_CLOEXEC,
    OPEN_TREE_CLONE,
    RESOLVE_BENEATH,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    call,
    fsconfig,
    fsmount,
    fsopen,
    open_tree,
    openat2,
)

_INSIDE = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
_BOTH_EMPTY = 0x4 | 0x40  # MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
_RDONLY = 0x1
_TIOCSPTLCK = 0x40045431
_TIOCGPTPEER = 0x5441


def reach(root: int, path: str, *, plain: bool = False) -> int:
    """An O_PATH descriptor of ``path``; ``plain`` refuses links (ELOOP). ``OSError``."""
    resolve = _INSIDE | (RESOLVE_NO_SYMLINKS if plain else 0)
    return openat2(root, path, os.O_PATH, resolve=resolve)


def reach_or_make(root: int, path: str, *, directory: bool, plain: bool = False) -> int:
    """The same, with the file or directory and all above it made where missing (0755, 0644)."""
    try:
        return reach(root, path, plain=plain)
    except FileNotFoundError:
        pass
    parts = [part for part in path.split("/") if part]
    above, done = os.dup(root), ""
    os.set_inheritable(above, False)
    for place, part in enumerate(parts, 1):
        done += "/" + part
        try:
            found = reach(root, done, plain=plain)
        except FileNotFoundError:
            try:
                _make(part, above, directory=place < len(parts) or directory)
            except FileExistsError:
                # A link to what is missing: made is what it points to, inside.
                link = os.readlink(part, dir_fd=above)
                os.close(above)
                again = "/".join((done.rpartition("/")[0], link, *parts[place:]))
                if link.startswith("/"):
                    again = "/".join((link, *parts[place:]))
                return reach_or_make(root, again, directory=directory, plain=plain)
            found = openat2(above, part, os.O_PATH, resolve=RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)
        os.close(above)
        above = found
    return above


def _make(name: str, above: int, *, directory: bool) -> None:
    if directory:
        os.mkdir(name, 0o755, dir_fd=above)
    else:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        os.close(os.open(name, flags, 0o644, dir_fd=above))


def mode_of(root: int, path: str) -> int:
    """The permissions of a directory in the root; those of /tmp where it is missing."""
    try:
        found = reach(root, path)
    except OSError:
        return 0o1777
    mode = stat.S_IMODE(os.fstat(found).st_mode)
    os.close(found)
    return mode


def make(fstype: str, source: str, options: tuple[str, ...], attributes: int) -> int:
    """A detached mount of a new file system. fsopen(2)."""
    context = fsopen(fstype.encode())
    try:
        fsconfig(context, b"source", source.encode())
        for option in options:
            name, sign, value = option.partition("=")
            fsconfig(context, name.encode(), value.encode() if sign else None)
        return fsmount(context, attributes)
    finally:
        os.close(context)


def place(root: int, tree: int, step: b.Place) -> None:
    """Attach ``tree`` as ``step`` says; closes it."""
    directory = stat.S_ISDIR(os.fstat(tree).st_mode)
    target = reach_or_make(root, step.target, directory=directory, plain=step.plain)
    if step.copy_up:
        _copy(target, tree)
    _set(tree, step.attributes)
    _move(tree, target)
    _travel(tree, step.attributes)
    os.close(tree)
    os.close(target)


def change(target: int, attributes: b.Attributes) -> None:
    """Change the mount whose root ``target`` is."""
    _set(target, attributes)
    _travel(target, attributes)


def _move(tree: int, target: int) -> None:
    call("move_mount", tree, b"", target, b"", _BOTH_EMPTY)


def _set(tree: int, wanted: b.Attributes) -> None:
    for to_set, to_clear, flags in (
        (wanted.tree_set, wanted.tree_clear, AT_EMPTY_PATH | AT_RECURSIVE),
        (wanted.set, wanted.clear, AT_EMPTY_PATH),
    ):
        if not to_set and not to_clear:
            continue
        try:
            _setattr(tree, flags, to_set, to_clear)
        except PermissionError:
            # In a user namespace what the host has set cannot be taken back; what is asked to be
            # set still must be.
            if to_set:
                _setattr(tree, flags, to_set, to_clear & 0x70 if to_set & 0x70 else 0)


def _travel(tree: int, wanted: b.Attributes) -> None:
    for flag, recursive in wanted.propagation:
        _setattr(tree, AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0), propagation=flag)


def _setattr(tree: int, flags: int, to_set: int = 0, to_clear: int = 0, propagation: int = 0) -> None:
    data = struct.pack("QQQQ", to_set, to_clear, propagation, 0)
    call("mount_setattr", tree, b"", flags, data, len(data))


def idmapped(source: str, user_namespace: int, *, recursive: bool, whole: bool) -> int:
    """A detached copy of a host mount whose owners are seen through the maps of a user namespace;
    ``whole``: also in the mounts below it. mount_setattr(2), MOUNT_ATTR_IDMAP."""
    tree = mounts.clone_tree(os.fsencode(source), recursive=recursive)
    try:
        mounts.map_owners(tree, user_namespace, recursive=whole)
    except OSError:
        os.close(tree)
        raise
    return tree


def device(root: int, step: b.DeviceAt) -> None:
    """Make the node; what stands there already must be the same device."""
    folder, _, name = step.path.rpartition("/")
    above = reach_or_make(root, folder or "/", directory=True)
    number = os.makedev(step.major, step.minor)
    try:
        os.mknod(name, step.mode, number, dir_fd=above)
        os.chown(name, step.uid, step.gid, dir_fd=above, follow_symlinks=False)
    except FileExistsError:
        found = os.stat(name, dir_fd=above, follow_symlinks=False)
        kind = stat.S_IFMT(step.mode)
        if stat.S_IFMT(found.st_mode) != kind or (kind != stat.S_IFIFO and found.st_rdev != number):
            raise
    except PermissionError:
        # In a user namespace no device can be made, but the host's may be shown.
        tree = mounts.clone_tree(os.fsencode(step.path), recursive=False)
        target = reach_or_make(root, step.path, directory=False)
        _move(tree, target)
        os.close(tree)
        os.close(target)
    os.close(above)


def link(root: int, step: b.LinkAt) -> None:
    """Make the link unless the name is taken."""
    folder, _, name = step.path.rpartition("/")
    above = reach_or_make(root, folder, directory=True)
    try:
        os.symlink(step.target, name, dir_fd=above)
    except FileExistsError:
        pass
    os.close(above)


def mask(root: int, path: str) -> None:
    """Cover a file with /dev/null, a directory with an empty one; a path that is missing is fine."""
    try:
        target = reach(root, path)
    except (FileNotFoundError, NotADirectoryError):
        return
    if stat.S_ISDIR(os.fstat(target).st_mode):
        tree = make("tmpfs", "tmpfs", ("size=0k",), _RDONLY)
    else:
        tree = mounts.clone_tree(b"/dev/null", recursive=False)
    _move(tree, target)
    os.close(tree)
    os.close(target)


def read_only(root: int, path: str) -> None:
    """Show a path anew, read-only; a path that is missing is fine."""
    try:
        target = reach(root, path)
    except (FileNotFoundError, NotADirectoryError):
        return
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_EMPTY_PATH
    tree = open_tree(target, b"", flags)
    _setattr(tree, AT_EMPTY_PATH | AT_RECURSIVE, _RDONLY)
    _move(tree, target)
    os.close(tree)
    os.close(target)


def terminal(root: int, step: b.ConsoleAt) -> tuple[int, int]:
    """Master and slave of a new terminal in the container's devpts, shown at /dev/console."""
    master = openat2(root, "/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY, resolve=_INSIDE)
    fcntl.ioctl(master, _TIOCSPTLCK, b"\0\0\0\0")
    slave = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    os.fchown(slave, step.uid, -1)
    if step.rows or step.columns:
        size = array.array("H", (step.rows, step.columns, 0, 0))
        fcntl.ioctl(master, termios.TIOCSWINSZ, size)
    if step.show:
        target = reach_or_make(root, "/dev/console", directory=False)
        tree = open_tree(slave, b"", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH)
        _move(tree, target)
        os.close(tree)
        os.close(target)
    return master, slave


def agent_message(metadata: str, state: bytes) -> bytes:
    """What the agent of a filter is told (config-linux.md, "The Container Process State")."""
    escaped = '"' + "".join(_escape(character) for character in metadata) + '"'
    version = state.partition(b'"ociVersion":"')[2].partition(b'"')[0]
    pid = state.partition(b'"pid":')[2].partition(b",")[0].partition(b"}")[0]
    return b'{"ociVersion":"%s","fds":["seccompFd"],"pid":%s,"metadata":%s,"state":%s}' % (
        version,
        pid,
        escaped.encode(),
        state,
    )


def _escape(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return character if character >= " " else f"\\u{ord(character):04x}"


def _copy(source: int, tree: int) -> None:
    """Fill an empty tmpfs with what the directory below it holds: files, directories and links."""
    readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=source)
    for name in os.listdir(readable):
        found = os.stat(name, dir_fd=readable, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            os.symlink(os.readlink(name, dir_fd=readable), name, dir_fd=tree)
        elif stat.S_ISDIR(found.st_mode):
            os.mkdir(name, 0o700, dir_fd=tree)
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            inner, outer = os.open(name, flags, dir_fd=readable), os.open(name, flags, dir_fd=tree)
            _copy(inner, outer)
            os.close(inner)
            os.close(outer)
        elif stat.S_ISREG(found.st_mode):
            _copy_file(readable, tree, name)
        else:
            os.mknod(name, found.st_mode, found.st_rdev, dir_fd=tree)
        os.chown(name, found.st_uid, found.st_gid, dir_fd=tree, follow_symlinks=False)
        if not stat.S_ISLNK(found.st_mode):
            os.chmod(name, stat.S_IMODE(found.st_mode), dir_fd=tree)
            os.utime(name, ns=(found.st_atime_ns, found.st_mtime_ns), dir_fd=tree)
    os.close(readable)


def _copy_file(source: int, tree: int, name: str) -> None:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    inner = os.open(name, flags, dir_fd=source)
    outer = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=tree)
    try:
        while part := os.read(inner, 1 << 20):
            if os.write(outer, part) != len(part):
                raise OSError(errno.ENOSPC, "write")
    finally:
        os.close(inner)
        os.close(outer)
