"""Walking a directory as a sequence of entries, each with its content at hand."""

import os
import stat
from collections.abc import Iterator

from sandcell.runtime.errors import BadInput
from sandcell.runtime.layer import attributes, whiteout
from sandcell.runtime.layer.tree import Entry, Kind, told
from sandcell.runtime.linux.trees import open_directory

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_SECOND = 1_000_000_000


def scan(
    root: int, *, overlay: bool = False, recorded_owners: bool = False, mounts: bool = False
) -> Iterator[tuple[Entry, int | None]]:
    """Every file below the open directory ``root``, and the root itself first, with the path ``""``.

    Each comes with a descriptor of its content if it is a regular file of its own, valid until the
    next is asked for. The order depends on the names only: a directory, its files, its directories.
    ``overlay``: whiteouts and opaque marks become entries of these kinds. ``recorded_owners``: believe
    the owners kept beside files (see ``attributes``). ``mounts``: go into what is mounted there.
    Sockets are left out, as in every image.
    """
    links: dict[tuple[int, int], str] = {}
    waiting = [""]
    while waiting:
        path = waiting.pop()
        directory = open_directory(root, path, mounts=mounts)
        try:
            status = os.fstat(directory)
            uid, gid, mode = attributes.owner(directory, status, recorded=recorded_owners)
            mtime = status.st_mtime_ns // _SECOND
            yield Entry(path, "dir", mode, uid, gid, 0, mtime, xattrs=attributes.read(directory)), None
            if overlay and whiteout.is_opaque(directory):
                yield Entry(path, "opaque"), None
            prefix = path + "/" if path else ""
            below = []
            for name in sorted(os.listdir(directory)):
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
                if name.startswith(".wh."):
                    raise BadInput(
                        "pack",
                        told(prefix + name),
                        "a layer cannot hold names that begin with .wh.",
                        "rename it",
                    )
                if stat.S_ISDIR(status.st_mode):
                    below.append(prefix + name)
                elif stat.S_ISREG(status.st_mode):
                    yield from _file(directory, name, prefix + name, status, links, recorded_owners)
                elif overlay and whiteout.is_whiteout(status):
                    yield Entry(prefix + name, "whiteout"), None
                elif not stat.S_ISSOCK(status.st_mode):
                    yield _special(directory, name, prefix + name, status, links), None
            waiting += reversed(below)
        finally:
            os.close(directory)


def _file(
    directory: int,
    name: str,
    path: str,
    status: os.stat_result,
    links: dict[tuple[int, int], str],
    recorded_owners: bool,
) -> Iterator[tuple[Entry, int | None]]:
    first = _shared(path, status, links)
    fd = os.open(name, _FILE, dir_fd=directory)
    try:
        uid, gid, mode = attributes.owner(fd, status, recorded=recorded_owners)
        mtime = status.st_mtime_ns // _SECOND
        xattrs = attributes.read(fd)
        if first:
            yield Entry(path, "hardlink", mode, uid, gid, 0, mtime, first, xattrs), None
        else:
            yield Entry(path, "file", mode, uid, gid, status.st_size, mtime, "", xattrs), fd
    finally:
        os.close(fd)


def _special(
    directory: int, name: str, path: str, status: os.stat_result, links: dict[tuple[int, int], str]
) -> Entry:
    """A symlink, a device or a named pipe."""
    kind: Kind = "fifo"
    link, device = "", (0, 0)
    if stat.S_ISLNK(status.st_mode):
        kind, link = "symlink", os.readlink(name, dir_fd=directory)
    elif not stat.S_ISFIFO(status.st_mode):
        kind = "char" if stat.S_ISCHR(status.st_mode) else "block"
        device = (os.major(status.st_rdev), os.minor(status.st_rdev))
    first = _shared(path, status, links)
    if first:
        kind, link = "hardlink", first
    mtime = status.st_mtime_ns // _SECOND
    mode = stat.S_IMODE(status.st_mode)
    return Entry(path, kind, mode, status.st_uid, status.st_gid, 0, mtime, link, {}, device)


def _shared(path: str, status: os.stat_result, links: dict[tuple[int, int], str]) -> str:
    """The path under which the same file was met first, empty if this is the first."""
    if status.st_nlink == 1:
        return ""
    first = links.setdefault((status.st_dev, status.st_ino), path)
    return "" if first is path else first
