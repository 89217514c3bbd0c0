"""What a container's writable directory changes of the layers below it."""

import os
import stat
from collections.abc import Iterable, Sequence

from sandcell.runtime.layer import attributes, whiteout
from sandcell.runtime.layer.stack import Stack
from sandcell.runtime.layer.tree import Change, Entry, Kind, order, same
from sandcell.runtime.linux.trees import open_directory

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CHUNK = 1 << 18
_FORMAT = 0o170000
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
    added one everything. Attributes are read where there is something to compare them with. Paths of
    directories; ``recorded_owners`` as in ``attributes``. Reads files of equal size to see whether
    they are equal; changes nothing. Best asked while nothing writes.
    """
    roots: list[int] = []
    try:
        roots.extend(os.open(path, _DIRECTORY) for path in (upper, *lowers))
        walk = _Walk(roots[0], Stack(roots[1:]), recorded_owners)
        walk.all()
        return tuple(sorted(walk.found, key=lambda change: order(change.path)))
    finally:
        for fd in roots:
            os.close(fd)


class _Walk:
    """``found``: the changes, in no order."""

    def __init__(self, upper: int, below: Stack, recorded: bool) -> None:
        self._upper = upper
        self._below = below
        self._recorded = recorded
        self._waiting: list[tuple[str, bool]] = [("", False)]
        self.found: list[Change] = []

    def all(self) -> None:
        """Find the changes."""
        while self._waiting:
            self._inside(*self._waiting.pop())

    def _inside(self, path: str, hidden: bool) -> None:
        """What became of the names in a directory; ``hidden``: an opaque one above hides what lies below."""
        directory = open_directory(self._upper, path)
        try:
            hidden = hidden or whiteout.is_opaque(directory)
            below = self._names_below(path)
            prefix = path + "/" if path else ""
            plain = not self._recorded
            names = os.listdir(directory)
            for name in names:
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
                where = prefix + name
                mode = status[0]
                if plain and mode & _FORMAT == stat.S_IFREG and name not in below:
                    # Nearly everything, mostly.
                    new = Entry(where, "file", mode & 0o7777, status[4], status[5], status[6], int(status[8]))
                    self.found.append(Change("A", where, new))
                else:
                    self._one(where, status, name in below, hidden)
            if hidden:
                self._hidden(prefix, below.difference(names))
        finally:
            os.close(directory)

    def _one(self, where: str, status: os.stat_result, known: bool, hidden: bool) -> None:
        """What became of one name; ``known``: some layer below may have it."""
        old = self._old(where) if known else None
        if whiteout.is_whiteout(status):  # which is a socket where the store itself lies on an overlay
            if old is not None and not hidden:
                self.found.append(Change("D", where, old))
            return
        if stat.S_ISSOCK(status.st_mode):
            return
        new = self._entry(self._upper, where, status, attributed=old is not None)
        if old is None:
            self.found.append(Change("A", where, new))
        elif not same(old, new) or (new.kind == "file" and not self._equal(where)):
            self.found.append(Change("C", where, new))
        if new.kind == "dir":
            self._waiting.append((where, hidden))

    def _hidden(self, prefix: str, gone: Iterable[str]) -> None:
        """What an opaque directory deletes: whatever was there and is not again."""
        for name in gone:
            old = self._old(prefix + name)
            if old is not None:
                self.found.append(Change("D", prefix + name, old))

    def _names_below(self, path: str) -> set[str]:
        """The names in a directory of the layers below, deleted ones too."""
        names: set[str] = set()
        for root in self._below.directory(path):
            directory = open_directory(root, path)
            try:
                names.update(os.listdir(directory))
            finally:
                os.close(directory)
        return names

    def _old(self, path: str) -> Entry | None:
        found = self._below.find(path)
        # A socket is in no image, so it cannot be changed or deleted.
        if found is None or stat.S_ISSOCK(found[1].st_mode):
            return None
        return self._entry(found[0], path, found[1])

    def _entry(self, root: int, path: str, status: os.stat_result, *, attributed: bool = True) -> Entry:
        kind = _KINDS[stat.S_IFMT(status.st_mode)]
        uid, gid, mode = status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)
        size, link, device, xattrs = 0, "", (0, 0), {}
        if kind == "file":
            size = status.st_size
        if kind in ("file", "dir") and (attributed or self._recorded):
            fd = self._open(root, path)
            try:
                uid, gid, mode = attributes.owner(fd, status, recorded=self._recorded)
                xattrs = attributes.read(fd)
            finally:
                os.close(fd)
        elif kind == "symlink":
            link = os.readlink(path, dir_fd=root)
        elif kind in ("char", "block"):
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
