"""A container's files without a mount: a copy of the merged layers, and what became different in it.

``copy_stack`` notes of every file which inode it is and when it was last changed: no process can turn a
ctime back, so what is still the same inode with the same ctime has not been touched. ``write_changes``
puts all else into an overlay upper directory, from where it goes the way of every other change. Both
are tasks as in ``layer.tasks``.
"""

import fcntl
import os
import stat
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import msgspec

from sandcell.runtime.known import known
from sandcell.runtime.layer import whiteout
from sandcell.runtime.layer.disk import refused
from sandcell.runtime.linux.syscall import RESOLVE_IN_ROOT, openat2
from sandcell.runtime.linux.trees import open_directory, remove

_Seen: TypeAlias = dict[bytes, tuple[int, int, int, int, int]]  # path → inode, ctime, mode, uid, gid

_FICLONE = 0x40049409  # ioctl_ficlone(2)
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ROOT = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_LATER = ".seen"


def copy_stack(*, lowers: Sequence[str], target: str) -> None:
    """Copy what the overlay-form directories ``lowers``, lowest first, are merged into the new directory
    ``target``; beside it ``target.seen`` is written. Content is shared with the layers where the file
    system can do that (reflinks), never an inode. Devices are left out.

    ``StoreFull``, ``Conflict``; then a part stands there.
    """
    below, to = [os.fsencode(lower) for lower in lowers], os.fsencode(target)
    try:
        os.mkdir(to, 0o755)
        for lower in below:
            _lay(lower, to)
        for lower in below:
            _date(lower, to)
        seen: _Seen = {}
        for directory, folders, files in os.walk(to):
            inner = directory[len(to) + 1 :]
            for name in (*folders, *files):
                status = os.lstat(os.path.join(directory, name))
                seen[os.path.join(inner, name)] = _mark(status)
        with open(to + b".new", "wb") as file:
            file.write(msgspec.msgpack.encode(seen))
        os.rename(to + b".new", to + _LATER.encode())
    except OSError as error:
        raise refused(error, "copy", target) from error


def place(*, root: str, files: Sequence[tuple[str, str]]) -> None:
    """Copy files of the host, or whole directories, into a copy: (source, path in it) each. What is at
    the path goes away; links on the way lead nowhere but inside. ``Conflict``, ``StoreFull``."""
    top = os.open(root, _ROOT)
    try:
        for source, path in files:
            above, _, name = path.strip("/").rpartition("/")
            directory = _folder(top, above)
            try:
                remove(name, directory)
                _put(os.fsencode(source), f"/proc/self/fd/{directory}/{name}".encode())
            finally:
                os.close(directory)
    except OSError as error:
        raise refused(error, "place files in", root) from error
    finally:
        os.close(top)


def _folder(root: int, path: str) -> int:
    """The directory ``path`` of the tree, opened; made where it is missing."""
    for end in (place for place, letter in enumerate(path + "/") if letter == "/"):
        above, _, name = path[:end].rpartition("/")
        directory = openat2(root, above or ".", _ROOT, resolve=RESOLVE_IN_ROOT)
        try:
            os.close(openat2(root, path[:end], _ROOT, resolve=RESOLVE_IN_ROOT))
        except OSError:
            remove(name, directory)  # no directory, or a link to none
            os.mkdir(name, 0o755, dir_fd=directory)
        finally:
            os.close(directory)
    return openat2(root, path or ".", _ROOT, resolve=RESOLVE_IN_ROOT)


def make_devices(*, root: str, devices: Sequence[tuple[str, int, int]]) -> None:
    """Make the character devices (name, major, minor) in /dev of a copy, as far as the host lets us. Where
    it does not, ``null`` is at least a plain file: without one a shell starts nothing in the background."""
    try:
        top = os.open(root, _ROOT)
        try:
            directory = openat2(top, "dev", _ROOT, resolve=RESOLVE_IN_ROOT)
        finally:
            os.close(top)
    except OSError:
        return  # its image made /dev something else
    for name, major, minor in devices:
        try:
            remove(name, directory)
            os.mknod(name, stat.S_IFCHR | 0o666, os.makedev(major, minor), dir_fd=directory)
        except OSError:
            if name != "null":
                continue
            os.close(os.open(name, _NEW, 0o666, dir_fd=directory))
        os.chmod(f"/proc/self/fd/{directory}/{name}", 0o666)
    os.close(directory)


def take(*, root: str, path: str, target: str) -> None:
    """Copy the plain files in the directory ``path`` of a copy into the directory ``target``. Links lead
    nowhere but inside, and are not copied themselves; no such directory is no error."""
    try:
        top = os.open(root, _ROOT)
        try:
            directory = openat2(top, path.strip("/"), _ROOT, resolve=RESOLVE_IN_ROOT)
        finally:
            os.close(top)
    except OSError:
        return
    try:
        for name in os.listdir(directory):
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if stat.S_ISREG(status.st_mode):
                remove(f"{target}/{name}")
                _file(name.encode(), directory, f"{target}/{name}".encode())
    finally:
        os.close(directory)


def write_changes(*, copy: str, upper: str, ignored: Sequence[str]) -> None:
    """Make the new directory ``upper``, in overlay form, hold what was changed in ``copy`` since it was
    made; its files are those of the copy. ``ignored``: paths that do not count, nor what is below them.

    The copy may be in use; then each file is taken as it is at some moment. ``Conflict``, ``StoreFull``.
    """
    try:
        os.mkdir(upper, 0o755)
        with open(copy + _LATER, "rb") as file:
            seen = msgspec.msgpack.decode(file.read(), type=known(_Seen))
        root = os.open(copy, _ROOT)
        try:
            skipped = frozenset(os.fsencode(path.strip("/")) for path in ignored)
            _Comparison(root, os.fsencode(upper), seen, skipped).write()
        finally:
            os.close(root)
    except OSError as error:
        raise refused(error, "compare", copy) from error


class _Comparison:
    def __init__(self, root: int, upper: bytes, seen: _Seen, ignored: frozenset[bytes]) -> None:
        self._root = root
        self._upper = upper
        self._seen = seen
        self._ignored = ignored
        self._made = {b""}
        self._below: dict[bytes, set[bytes]] = {}
        for path in seen:
            above, _, name = path.rpartition(b"/")
            self._below.setdefault(above, set()).add(name)

    def write(self) -> None:
        _like(self._root, self._upper)
        waiting = [b""]
        while waiting:
            path = waiting.pop()
            directory = open_directory(self._root, path)
            try:
                waiting += self._inside(path, directory)
            finally:
                os.close(directory)

    def _inside(self, path: bytes, directory: int) -> Iterable[bytes]:
        names = {os.fsencode(name) for name in os.listdir(directory)}
        found = []
        for name in names:
            where = path + b"/" + name if path else name
            if where in self._ignored:
                continue
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            known = self._seen.get(where)
            if stat.S_ISDIR(status.st_mode):
                if known is None or known[2:] != _mark(status)[2:]:
                    self._directory(where)
                found.append(where)
            elif known is None or known[:2] != _mark(status)[:2]:
                self._directory(path)
                self._take(name, directory, where, status)
        for name in self._below.get(path, set()) - names:
            where = path + b"/" + name if path else name
            if where not in self._ignored:
                self._directory(path)
                whiteout.make_whiteout(self._upper + b"/" + where, -100)
        return found

    def _directory(self, path: bytes) -> None:
        """Have the directory, and those above it, in the upper one, looking as in the copy."""
        missing = []
        while path not in self._made:
            missing.append(path)
            path = path.rpartition(b"/")[0]
        for one in reversed(missing):
            os.mkdir(self._upper + b"/" + one, 0o700)
            source = open_directory(self._root, one)
            _like(source, self._upper + b"/" + one)
            os.close(source)
            self._made.add(one)

    def _take(self, name: bytes, directory: int, where: bytes, status: os.stat_result) -> None:
        target = self._upper + b"/" + where
        try:
            os.link(name, target, src_dir_fd=directory, follow_symlinks=False)
        except OSError:
            # Of another user's files the kernel may want no links: protected_hardlinks, proc_sys_fs(5).
            if stat.S_ISREG(status.st_mode):
                _file(name, directory, target)


def _mark(status: os.stat_result) -> tuple[int, int, int, int, int]:
    return status.st_ino, status.st_ctime_ns, status.st_mode, status.st_uid, status.st_gid


def _lay(lower: bytes, target: bytes) -> None:
    """Put one layer over what is in the target."""
    links: dict[tuple[int, int], bytes] = {}
    waiting = [b""]
    while waiting:
        path = waiting.pop()
        source, to = os.path.join(lower, path), os.path.join(target, path)
        hides = whiteout.is_opaque(os.fsdecode(source))
        if not os.path.isdir(to) or os.path.islink(to):
            remove(to)
            os.mkdir(to, 0o700)
        elif hides:
            for name in os.listdir(to):
                remove(os.path.join(to, name))
        _owned(source, to, os.lstat(source))
        for entry in os.scandir(source):
            status = entry.stat(follow_symlinks=False)
            where = os.path.join(to, entry.name)
            if stat.S_ISDIR(status.st_mode):
                waiting.append(os.path.join(path, entry.name))
                continue
            remove(where)
            if whiteout.is_whiteout(status):
                continue
            known = links.setdefault((status.st_dev, status.st_ino), where) if status.st_nlink > 1 else where
            if known is not where:
                os.link(known, where, follow_symlinks=False)
            else:
                _put(entry.path, where)


def _date(lower: bytes, target: bytes) -> None:
    """Give directories the times that they have in the layer: filling them changed these."""
    for directory, _, _ in os.walk(lower):
        status, to = os.lstat(directory), os.path.join(target, directory[len(lower) + 1 :])
        if os.path.isdir(to) and not os.path.islink(to):
            os.utime(to, ns=(status.st_mtime_ns, status.st_mtime_ns))


def _put(source: bytes, target: bytes) -> None:
    """A copy of whatever ``source`` is, as a new ``target``."""
    status = os.lstat(source)
    if stat.S_ISDIR(status.st_mode):
        os.mkdir(target, 0o700)
        for name in os.listdir(source):
            _put(os.path.join(source, name), os.path.join(target, name))
    elif stat.S_ISREG(status.st_mode):
        _file(source, None, target)
        return
    elif stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(source), target)
    elif stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        return  # where nothing is mounted nothing would keep a device of the image's shut
    else:
        os.mknod(target, status.st_mode)
    _owned(source, target, status)
    os.utime(target, ns=(status.st_mtime_ns, status.st_mtime_ns), follow_symlinks=False)


def _file(source: bytes, directory: int | None, target: bytes) -> None:
    read = os.open(source, _READ, dir_fd=directory)
    try:
        write = os.open(target, _NEW, 0o600)
        try:
            status = os.fstat(read)
            _content(read, write)
            _give(write, status)
            for name in _attributes(read):
                _attribute(write, name, os.getxattr(read, name))
            os.fchmod(write, stat.S_IMODE(status.st_mode))
            os.utime(write, ns=(status.st_mtime_ns, status.st_mtime_ns))
        finally:
            os.close(write)
    finally:
        os.close(read)


def _content(read: int, write: int) -> None:
    try:
        fcntl.ioctl(write, _FICLONE, read)
        return
    except OSError:
        pass  # most file systems cannot share
    try:
        while os.copy_file_range(read, write, 1 << 30):
            pass
    except OSError:
        offset = os.lseek(write, 0, os.SEEK_CUR)
        while sent := os.sendfile(write, read, offset, 1 << 30):
            offset += sent


def _like(source: int, target: bytes) -> None:
    """Let the directory look like the open one."""
    status = os.fstat(source)
    _owned(f"/proc/self/fd/{source}".encode(), target, status)
    os.utime(target, ns=(status.st_mtime_ns, status.st_mtime_ns))


def _owned(source: bytes, target: bytes, status: os.stat_result) -> None:
    try:
        os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)
    except PermissionError:
        pass  # whose it is meant to be is recorded beside it, and copied with the attributes
    if not stat.S_ISLNK(status.st_mode):
        for name in _attributes(source):
            _attribute(target, name, os.getxattr(source, name))
        os.chmod(target, stat.S_IMODE(status.st_mode))


def _give(fd: int, status: os.stat_result) -> None:
    try:
        os.fchown(fd, status.st_uid, status.st_gid)
    except PermissionError:
        pass  # as above


def _attributes(source: int | bytes) -> list[str]:
    try:
        return [name for name in os.listxattr(source) if ".overlay." not in name]
    except OSError:
        return []


def _attribute(target: int | bytes, name: str, value: bytes) -> None:
    try:
        os.setxattr(target, name, value)
    except OSError:
        pass  # a mark of a security module, or more than the file system holds
