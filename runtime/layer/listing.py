"""What one layer's archive does to the tree below it: added, changed, deleted, and what it wastes.

Pure but for the reading: an archive comes as a stream, an answer is made of frozen values.
"""

import os
from collections.abc import Iterator

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


def entries(tar: Source) -> Iterator[Entry]:
    """The entries of an uncompressed archive, deletions as such. ``Corrupted``, ``BadInput``."""
    for header in TarReader(tar.read):
        entry = _entry(header)
        if entry is not None:
            yield entry


def layer_files(below: Tree, layer: tuple[Entry, ...]) -> tuple[LayerFiles, Tree]:
    """What ``layer`` does to the tree ``below``, and the tree that this gives.

    A file that the layer brings again counts as changed even if it is equal: its bytes are stored
    twice. Directories that stay as they were are no change.
    """
    after = apply(below, layer)
    weights = _Weights(below)
    found: dict[str, Change] = {}
    wasted: dict[str, int] = {}
    for entry in layer:
        if entry.kind == "whiteout":
            old = below.entries.get(entry.path)
            if old is not None:
                found[entry.path] = Change("D", entry.path, old)
                wasted[entry.path] = weights.of(old)
        elif entry.kind == "opaque":
            prefix = f"{entry.path}/" if entry.path else ""
            for path, old in below.entries.items():
                if path.startswith(prefix) and "/" not in path[len(prefix) :]:
                    found.setdefault(path, Change("D", path, old))
                    wasted[path] = weights.of(old)
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


class _Weights:
    """Bytes of the files of a tree, of directories with all below."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def of(self, entry: Entry) -> int:
        if entry.kind == "file":
            return entry.size
        if entry.kind != "dir":
            return 0
        start = f"{entry.path}/"
        below = self._tree.entries.items()
        return sum(one.size for path, one in below if one.kind == "file" and path.startswith(start))


def _entry(header: Header) -> Entry | None:
    raw = clean(header.name)
    parent, _, base = raw.rpartition(b"/")
    if base == whiteout.OPAQUE:
        return Entry(os.fsdecode(parent), "opaque")
    if base.startswith(whiteout.META):
        return None
    if base.startswith(whiteout.PREFIX):
        name = base[len(whiteout.PREFIX) :]
        return Entry(os.fsdecode(parent + b"/" + name if parent else name), "whiteout")
    kind = _KINDS[header.type]
    return Entry(
        os.fsdecode(raw),
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
