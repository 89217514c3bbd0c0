"""File trees as plain values: what is in a layer, what an image's layers add up to, how two differ.

Pure. Paths are text without a leading slash (``etc/passwd``), bytes that are no UTF-8 kept as lone
surrogates as ``os.fsdecode`` does; the root is the empty path and never an entry of a tree.
"""

from collections.abc import Iterable
from typing import Literal, TypeAlias

import msgspec

from sandcell.runtime.oci.digest import Digest

Kind: TypeAlias = Literal["file", "dir", "symlink", "hardlink", "char", "block", "fifo", "whiteout", "opaque"]


class Entry(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One file of a tree or of a layer.

    ``mode``: permission bits, with set-id and sticky; ``size``: bytes; ``mtime``: whole seconds since
    the epoch; ``link``: where a symlink points, or the path a hard link shares its file with;
    ``device``: major and minor number; ``digest``: of a file's content, where it was read.
    Two kinds exist in layers only: ``whiteout`` deletes ``path`` of the layers below, ``opaque``
    empties the directory ``path`` of what the layers below put there.
    """

    path: str
    kind: Kind
    mode: int = 0
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime: int = 0
    link: str = ""
    xattrs: dict[str, bytes] = {}
    device: tuple[int, int] = (0, 0)
    digest: Digest | None = None


class Change(msgspec.Struct, frozen=True, gc=False):
    """``A`` added, ``C`` changed, ``D`` deleted; ``entry`` is the new one, of a deleted one the old."""

    kind: Literal["A", "C", "D"]
    path: str
    entry: Entry

    def __str__(self) -> str:
        return f"{self.kind} /{self.path}"


class Tree(msgspec.Struct, frozen=True):
    """A file tree. ``entries``: by path, in order; hard links stand in it as the file they share."""

    entries: dict[str, Entry] = {}


def told(path: str) -> str:
    """``path`` as text that any encoder takes, for messages and records."""
    return path.encode("utf-8", "backslashreplace").decode()


def order(path: str) -> str:
    """Sort key: a directory, then what it holds, then its next sibling."""
    # The one character that no name has, and it comes before all others.
    return path.replace("/", "\0")


def apply(tree: Tree, layer: Iterable[Entry]) -> Tree:
    """``tree`` with a layer put on top (image-spec, layer.md, "Applying Changesets").

    Deletions concern what is below only, wherever they stand in the layer. Directories that the
    layer does not mention but puts files in exist as in ``tree``, else with mode 755.
    """
    below, own = _Files(tree.entries), _Files({})
    for entry in layer:
        if entry.kind == "whiteout":
            below.drop(entry.path, itself=True)
        elif entry.kind == "opaque":
            below.drop(entry.path, itself=False)
        elif entry.path:
            _put(own, below.entries, entry)
    for path, entry in own.entries.items():
        old = below.entries.get(path)
        if old is not None and (old.kind == "dir") != (entry.kind == "dir"):
            below.drop(path, itself=True)
    merged = below.entries | own.entries
    return Tree({path: merged[path] for path in sorted(merged, key=order)})


def compare(old: Tree, new: Tree) -> tuple[Change, ...]:
    """How ``new`` differs from ``old``, in order of path.

    Times do not count. Of a deleted directory only the directory is told, of an added one
    everything; a directory is changed when its mode, owner or attributes are.
    """
    changes = [Change("D", path, entry) for path, entry in old.entries.items() if _gone(path, new)]
    for path, entry in new.entries.items():
        before = old.entries.get(path)
        if before is None:
            changes.append(Change("A", path, entry))
        elif not same(before, entry):
            changes.append(Change("C", path, entry))
    return tuple(sorted(changes, key=lambda change: order(change.path)))


def same(old: Entry, new: Entry) -> bool:
    """Equal but for path and times; sizes count for files only, contents where both were read."""
    if (old.kind, old.mode, old.uid, old.gid, old.xattrs) != (
        new.kind,
        new.mode,
        new.uid,
        new.gid,
        new.xattrs,
    ):
        return False
    if old.kind == "file":
        return old.size == new.size and (old.digest is None or new.digest is None or old.digest == new.digest)
    return old.device == new.device and (old.kind != "symlink" or old.link == new.link)


class _Files:
    """Entries by path, of which whole directories can be taken out: each entry costs once."""

    def __init__(self, entries: dict[str, Entry]) -> None:
        self.entries = dict(entries)
        self._within: dict[str, list[str]] | None = None

    def put(self, entry: Entry) -> None:
        if self._within is not None and entry.path not in self.entries:
            self._within.setdefault(_parent(entry.path), []).append(entry.path)
        self.entries[entry.path] = entry

    def drop(self, path: str, *, itself: bool) -> None:
        """Remove what lies below ``path``, and with ``itself`` that too."""
        top = self.entries.get(path)
        if not path or (top is not None and top.kind == "dir"):
            if self._within is None:
                self._within = {}
                for name in self.entries:
                    self._within.setdefault(_parent(name), []).append(name)
            waiting = [path]
            while waiting:
                names = self._within.pop(waiting.pop(), ())
                waiting += [name for name in names if self.entries.pop(name, None) is not None]
        if itself:
            self.entries.pop(path, None)


def _put(own: _Files, below: dict[str, Entry], entry: Entry) -> None:
    path = entry.path
    if entry.kind == "hardlink":
        target = own.entries.get(entry.link) or below.get(entry.link)
        if target is not None:
            entry = msgspec.structs.replace(target, path=path, link=target.link or target.path)
    old = own.entries.get(path)
    if entry.kind != "dir" and old is not None and old.kind == "dir":
        own.drop(path, itself=True)
    parent = _parent(path)
    while parent and ((there := own.entries.get(parent)) is None or there.kind != "dir"):
        known = below.get(parent)
        own.put(known if known is not None and known.kind == "dir" else Entry(parent, "dir", 0o755))
        parent = _parent(parent)
    own.put(entry)


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _gone(path: str, new: Tree) -> bool:
    """Is it missing from ``new``, although its directory is still one there?"""
    if path in new.entries:
        return False
    parent = path.rpartition("/")[0]
    return not parent or (parent in new.entries and new.entries[parent].kind == "dir")
