"""Changed files as a tree that is asked for piece by piece: one directory, a window of its rows.

Pure. What a layer or a container changed is a list of changes in order of path; directories that are
not in it are there to hold others. Fifty thousand files are indexed once and then cost a lookup.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from sandcell.magics.inspector.model import text

if TYPE_CHECKING:
    from sandcell.runtime.layer.tree import Change, Entry

MOST_ROWS = 1000
"""Rows in one answer."""

_KINDS = "ACD"


class Folder(msgspec.Struct):
    """One directory. ``counts``: changes in it and below, added, changed and deleted; ``size``: bytes
    that they hold; ``wasted``: bytes of lower layers that they hide; ``files``: of all kinds but
    directories."""

    names: dict[str, "Folder | None"]
    counts: list[int]
    size: int = 0
    wasted: int = 0
    files: int = 0
    sorted: list[str] = []


class Files:
    """An index of ``changes``; ``wasted`` as in ``LayerFiles``. ``whole``: files that are simply there, as
    in an image with all its layers together."""

    def __init__(
        self,
        changes: "Iterable[Change]" = (),
        wasted: Mapping[str, int] | None = None,
        whole: "Iterable[Entry]" = (),
    ) -> None:
        self._changes: dict[str, tuple[str, Entry]] = {}
        self._wasted = wasted or {}
        self._root = Folder({}, [0, 0, 0])
        for change in changes:
            self._add(change.path, change.kind, change.entry)
        for entry in whole:
            self._add(entry.path, "", entry)

    def holds(self, path: str) -> bool:
        """Whether there is a file of that path, and it is not deleted."""
        return self._changes.get(path, ("D",))[0] != "D"

    def _add(self, path: str, kind: str, entry: "Entry") -> None:
        self._changes[path] = kind, entry
        at = _KINDS.index(kind) if kind else None
        size = entry.size if entry.kind == "file" and kind != "D" and not (entry.link and not kind) else 0
        wasted = self._wasted.get(path, 0)
        folder, parts = self._root, path.split("/")
        for number, name in enumerate(parts):
            if at is not None:
                folder.counts[at] += 1
            folder.files += entry.kind != "dir"
            folder.size += size
            folder.wasted += wasted
            last = number == len(parts) - 1
            inner = folder.names.get(name)
            if inner is None and (not last or (entry.kind == "dir" and kind != "D")):
                inner = Folder({}, [0, 0, 0])
            folder.names[name] = inner
            if inner is None or last:
                break
            folder = inner

    def totals(self) -> dict[str, Any]:
        """Of all: counts of added, changed and deleted, bytes held and bytes wasted, and of files."""
        root = self._root
        return {"counts": root.counts, "size": root.size, "wasted": root.wasted, "files": root.files}

    def rows(self, path: str, offset: int = 0, limit: int = MOST_ROWS) -> dict[str, Any]:
        """The rows of a directory: folders first, by name. ``{"total", "offset", "rows": […]}``; an
        unknown ``path`` has none."""
        folder = self._find(path)
        names = self._ordered(folder) if folder is not None else []
        window = names[offset : offset + min(limit, MOST_ROWS)]
        rows = [self._row(f"{path}/{name}" if path else name, name, folder) for name in window]
        return {"total": len(names), "offset": offset, "rows": rows, **self.totals()}

    def search(self, words: str, limit: int = MOST_ROWS) -> dict[str, Any]:
        """Changes whose path holds ``words``, upper and lower case alike, as one flat list."""
        wanted = words.lower()
        found = [path for path in self._changes if wanted in path.lower()]
        rows = [self._row(path, path, None) for path in found[: min(limit, MOST_ROWS)]]
        return {"total": len(rows), "offset": 0, "rows": rows, **self.totals()}

    def _find(self, path: str) -> Folder | None:
        folder: Folder | None = self._root
        for name in path.split("/") if path else ():
            folder = folder.names.get(name) if folder is not None else None
        return folder

    @staticmethod
    def _ordered(folder: Folder) -> list[str]:
        if len(folder.sorted) != len(folder.names):
            folder.sorted = sorted(folder.names, key=lambda name: (folder.names[name] is None, name))
        return folder.sorted

    def _row(self, path: str, name: str, parent: Folder | None) -> dict[str, Any]:
        change = self._changes.get(path)
        folder = parent.names.get(name) if parent is not None else self._find(path)
        row: dict[str, Any] = {"path": text(path), "name": text(name)}
        if change is not None:
            kind, entry = change
            row |= {"change": kind, "kind": entry.kind, "mode": entry.mode, "size": entry.size}
            row |= {"owner": f"{entry.uid}:{entry.gid}"}
            if entry.link:
                row["link"] = text(entry.link)
            if path in self._wasted:
                row["wasted"] = self._wasted[path]
        else:
            row |= {"change": "", "kind": "dir", "size": 0}
        if folder is not None and folder.names:
            row |= {"open": True, "size": folder.size, "counts": folder.counts, "wasted": folder.wasted}
        return row
