"""What one layer's archive does to the tree below it: added, changed, deleted, and what it wastes.

Pure but for the reading: an archive comes as a stream, an answer is made of frozen values.
"""

import os
from bisect import bisect_left
from collections.abc import Iterator
from functools import cached_property
from itertools import accumulate

import msgspec

from sandcell.runtime.layer import tar_read, whiteout
from sandcell.runtime.layer.compress import Source
from sandcell.runtime.layer.place import clean
from sandcell.runtime.layer.tar_read import Header, TarReader
from sandcell.runtime.layer.tree import Change, Entry, Kind, Tree, apply, order, same

_KINDS: dict[bytes, Kind] = {
    tar_read.FILE: "file",
    tar_read.DIRECTORY: "dir",
    tar_read.SYMLINK: "symlink",
    tar_read.HARDLINK: "hardlink",
    tar_read.CHAR: "char",
    tar_read.BLOCKDEV: "block",
    tar_read.FIFO: "fifo",
}


class LayerFiles(msgspec.Struct, frozen=True):
    """What a layer changes, in order of path. ``wasted``: by path, the bytes of lower layers that the
    change hides: they are still stored and sent, and nobody can read them any more."""

    changes: tuple[Change, ...]
    wasted: dict[str, int] = {}


def entries(reader: TarReader) -> Iterator[tuple[Entry, Header]]:
    """The entries of an uncompressed archive, deletions as such; read the content of one before the next
    is asked for. ``Corrupted``, ``BadInput``."""
    for header in reader:
        raw = clean(header.name)
        parent, slash, base = raw.rpartition(b"/")
        if base[:4] != whiteout.PREFIX:
            yield entry_of(header), header
        elif base == whiteout.OPAQUE:
            yield Entry(os.fsdecode(parent), "opaque"), header
        elif not base.startswith(whiteout.META):
            yield Entry(os.fsdecode(parent + slash + base[len(whiteout.PREFIX) :]), "whiteout"), header


def entry_of(header: Header) -> Entry:
    """One archive member as an entry; the target of a hard link is a path like any other."""
    kind = _KINDS[header.type]
    return Entry(
        os.fsdecode(clean(header.name)),
        kind,
        header.mode,
        header.uid,
        header.gid,
        header.size if kind == "file" else 0,
        header.mtime // 1_000_000_000,
        os.fsdecode(clean(header.link) if kind == "hardlink" else header.link),
        header.xattrs,
        (header.major, header.minor) if kind in ("char", "block") else (0, 0),
    )


def layer_files(below: Tree, layer: tuple[Entry, ...]) -> tuple[LayerFiles, Tree]:
    """What ``layer`` does to the tree ``below``, and the tree that this gives.

    A file that the layer brings again counts as changed even if it is equal: its bytes are stored
    twice. Directories that stay as they were are no change.
    """
    after = apply(below, layer)
    beneath = _Below(below)
    emptied: set[str] = set()
    found: dict[str, Change] = {}
    wasted: dict[str, int] = {}
    for entry in layer:
        if entry.kind == "whiteout":
            old = below.entries.get(entry.path)
            if old is not None:
                found[entry.path] = Change("D", entry.path, old)
                wasted[entry.path] = beneath.weight(old)
        elif entry.kind == "opaque" and entry.path not in emptied:
            emptied.add(entry.path)
            for old in beneath.children(entry.path):
                found.setdefault(old.path, Change("D", old.path, old))
                wasted[old.path] = beneath.weight(old)
    for entry in layer:
        if entry.kind in ("whiteout", "opaque") or not entry.path:
            continue
        old, new = below.entries.get(entry.path), after.entries.get(entry.path)
        if new is None:
            continue
        if old is None:
            found[entry.path] = Change("A", entry.path, new)
        elif not (old.kind == "dir" and same(old, new)):
            found[entry.path] = Change("C", entry.path, new)
            if old.kind == "file":
                wasted[entry.path] = old.size
    changes = tuple(sorted(found.values(), key=lambda change: order(change.path)))
    return LayerFiles(changes, {path: size for path, size in wasted.items() if size}), after


def content(tar: Source, path: str, most: int) -> bytes | None:
    """The first ``most`` bytes of the regular file ``path`` of an uncompressed archive; ``None`` when
    the archive has no such file."""
    reader = TarReader(tar.read)
    for header in reader:
        if header.type == tar_read.FILE and os.fsdecode(clean(header.name)) == path:
            data = bytearray()
            for piece in reader.content():
                data += piece[: most - len(data)]
                if len(data) >= most:
                    break
            return bytes(data)
    return None


class _Below:
    """A tree whose directories can be asked for what is in them, without a look at all the others."""

    def __init__(self, tree: Tree) -> None:
        self._entries = tree.entries

    @cached_property
    def _sorted(self) -> list[Entry]:
        return sorted(self._entries.values(), key=lambda entry: order(entry.path))

    @cached_property
    def _keys(self) -> list[str]:
        return [order(entry.path) for entry in self._sorted]

    @cached_property
    def _sizes(self) -> list[int]:
        """Bytes of all files before each entry."""
        return [0, *accumulate(entry.size if entry.kind == "file" else 0 for entry in self._sorted)]

    def weight(self, entry: Entry) -> int:
        """Bytes of a file, of a directory with all below."""
        if entry.kind != "dir":
            return entry.size if entry.kind == "file" else 0
        start, end = self._range(entry.path)
        return self._sizes[end] - self._sizes[start]

    def children(self, path: str) -> Iterator[Entry]:
        """What is in the directory itself."""
        at, end = self._range(path)
        while at < end:
            entry = self._sorted[at]
            yield entry
            at = self._range(entry.path)[1] if entry.kind == "dir" else at + 1

    def _range(self, path: str) -> tuple[int, int]:
        """Where what lies below ``path`` begins in the order, and where it ends."""
        if not path:
            return 0, len(self._keys)
        start = order(path) + "\0"
        return bisect_left(self._keys, start), bisect_left(self._keys, start[:-1] + "\1")
