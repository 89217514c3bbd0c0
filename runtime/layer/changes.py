"""What a container's writable directory changes of the layers below it."""

import os
import stat
from collections.abc import Iterator, Sequence

from sandcell.runtime.layer import attributes, whiteout
from sandcell.runtime.layer.stack import Stack
from sandcell.runtime.layer.tree import Change, Entry, Kind, order, same
from sandcell.runtime.linux.trees import open_directory

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CHUNK = 1 << 18
_KINDS: dict[int, Kind] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo",
}


def upper_changes(upper: str, lowers: Sequence[str], *, recorded_owners: bool = False) -> tuple[Change, ...]:
    """How the tree changes when the overlay upper directory ``upper`` lies on ``lowers``, lowest first.

    In order of path, as ``tree.compare`` tells it of the merged trees: times do not count, a file
    that was copied up and is equal is no change, of a deleted directory only itself is told, of an
    added one everything. Paths of directories; ``recorded_owners`` as in ``attributes``. Reads files
    of equal size to see whether they are equal; changes nothing. Best asked while nothing writes.
    """
    roots: list[int] = []
    try:
        roots.extend(os.open(path, _DIRECTORY) for path in (upper, *lowers))
        walk = _Walk(roots[0], Stack(roots[1:]), recorded_owners)
        return tuple(sorted(walk.changes(), key=lambda change: order(change.path)))
    finally:
        for fd in roots:
            os.close(fd)


class _Walk:
    def __init__(self, upper: int, below: Stack, recorded: bool) -> None:
        self._upper = upper
        self._below = below
        self._recorded = recorded

    def changes(self) -> Iterator[Change]:
        # Beside each directory: is what lies below it hidden by an opaque one?
        waiting = [("", False)]
        while waiting:
            path, hidden = waiting.pop()
            directory = open_directory(self._upper, path)
            try:
                hidden = hidden or whiteout.is_opaque(directory)
                seen: set[str] = set()
                for name in os.listdir(directory):
                    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
                    if stat.S_ISSOCK(status.st_mode):
                        continue
                    where = f"{path}/{name}" if path else name
                    old = self._old(where)
                    if whiteout.is_whiteout(status):
                        if old is not None and not hidden:
                            yield Change("D", where, old)
                        continue
                    seen.add(name)
                    new = self._entry(self._upper, where, status)
                    if old is None:
                        yield Change("A", where, new)
                    elif not same(old, new) or (new.kind == "file" and not self._equal(where)):
                        yield Change("C", where, new)
                    if new.kind == "dir":
                        waiting.append((where, hidden))
                if hidden:
                    yield from self._hidden(path, seen)
            finally:
                os.close(directory)

    def _hidden(self, path: str, seen: set[str]) -> Iterator[Change]:
        """What an opaque directory deletes: whatever was there and is not again."""
        for name in self._below.names(path) - seen:
            where = f"{path}/{name}" if path else name
            old = self._old(where)
            if old is not None:
                yield Change("D", where, old)

    def _old(self, path: str) -> Entry | None:
        found = self._below.find(path)
        # A socket is in no image, so it cannot be changed or deleted.
        if found is None or stat.S_ISSOCK(found[1].st_mode):
            return None
        return self._entry(found[0], path, found[1])

    def _entry(self, root: int, path: str, status: os.stat_result) -> Entry:
        kind = _KINDS[stat.S_IFMT(status.st_mode)]
        uid, gid, mode = status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)
        size, link, device, xattrs = 0, "", (0, 0), {}
        if kind in ("file", "dir"):
            fd = self._open(root, path)
            try:
                uid, gid, mode = attributes.owner(fd, status, recorded=self._recorded)
                xattrs = attributes.read(fd)
            finally:
                os.close(fd)
            size = status.st_size if kind == "file" else 0
        elif kind == "symlink":
            link = os.readlink(path, dir_fd=root)
        elif kind != "fifo":
            device = (os.major(status.st_rdev), os.minor(status.st_rdev))
        return Entry(path, kind, mode, uid, gid, size, status.st_mtime_ns // 10**9, link, xattrs, device)

    def _equal(self, path: str) -> bool:
        """Has the file above the same bytes as the one below? Their sizes are equal."""
        found = self._below.find(path)
        assert found is not None
        new, old = self._open(self._upper, path), self._open(found[0], path)
        try:
            while data := os.read(new, _CHUNK):
                if data != os.read(old, _CHUNK):
                    return False
            return True
        finally:
            os.close(new)
            os.close(old)

    def _open(self, root: int, path: str) -> int:
        parent, _, name = path.rpartition("/")
        directory = open_directory(root, parent)
        try:
            return os.open(name, _OPEN, dir_fd=directory)
        finally:
            os.close(directory)
