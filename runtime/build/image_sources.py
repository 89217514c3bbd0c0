"""The sources of a ``COPY --from``: they lie in a stage or an image; paths are seen from its root."""

import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec

from sandcell.runtime.build.context import ContextError
from sandcell.runtime.build.dockerfile import did_you_mean
from sandcell.runtime.build.image_files import ImageFiles, resolve
from sandcell.runtime.build.modes import read_mode
from sandcell.runtime.build.ops import Place
from sandcell.runtime.build.patterns import BadPattern, IgnoreRules, clean, compile_pattern, has_wildcard
from sandcell.runtime.build.placing import Load, Thing
from sandcell.runtime.build.selection import kept, parent_depth
from sandcell.runtime.build.sources import with_parents
from sandcell.runtime.build.spool import Spool
from sandcell.runtime.layer.tree import Entry


class ImageSources:
    """Sources that lie in a stage or an image."""

    def __init__(self, op: Place, files: ImageFiles) -> None:
        self._op = op
        self._files = files
        self._change = read_mode(op.mode) if op.mode else None
        self._rules = IgnoreRules("\n".join(op.exclude))

    def loads(self, owner: tuple[int, int], time: int, spool: Spool) -> Iterator[Load]:
        """The things, one source after the other; each keeps its time and attributes."""
        entries = self._files.tree.entries
        listed = [(written, path, real, self._below(real, path)) for written, path, real in self._paths()]
        wanted = [path for _, _, _, paths in listed for path in paths if path in entries]
        contents = {
            path: spool.put(pieces) for path, pieces in self._files.stream(list(dict.fromkeys(wanted)))
        }
        for written, matched, real, paths in listed:
            things = tuple(
                Thing(path[len(real) :].strip("/"), self._entry(path, owner), contents.get(path))
                for path in paths
            )
            if not things:
                continue
            if self._op.parents:
                yield with_parents(
                    things, self._above(matched, owner), matched, parent_depth(written), owner, time
                )
            else:
                yield Load(matched.rpartition("/")[2], things)

    def _entry(self, path: str, owner: tuple[int, int]) -> Entry:
        entry = self._files.tree.entries.get(path, Entry("", "dir", 0o755))
        mode = entry.mode
        if self._change is not None and entry.kind != "symlink":
            mode = self._change(mode, entry.kind == "dir")
        link = entry.link if entry.kind == "symlink" else ""
        return msgspec.structs.replace(entry, uid=owner[0], gid=owner[1], mode=mode, link=link)

    def _above(self, path: str, owner: tuple[int, int]) -> list[Thing]:
        parts = path.split("/")[:-1]
        names = ["/".join(parts[:number]) for number in range(1, len(parts) + 1)]
        entries = self._files.tree.entries
        return [Thing(name, self._entry(resolve(entries, name), owner)) for name in names]

    def _paths(self) -> list[tuple[str, str, str]]:
        """Source as written, name it matched and real path, wildcards resolved; ``ContextError``."""
        entries = self._files.tree.entries
        found: list[tuple[str, str, str]] = []
        for source in self._op.sources:
            assert isinstance(source, str)
            path = clean("/" + source)
            try:
                matches = self._matches(path)
            except BadPattern as error:
                raise ContextError(str(error)) from None
            if not matches:
                raise ContextError(f"{source} is not in {self._told_place()}", self._nearest(path))
            found += [(source, match, resolve(entries, match)) for match in matches]
        return found

    def _matches(self, path: str) -> list[str]:
        entries = self._files.tree.entries
        if self._op.parents and "**" in path:
            compiled = compile_pattern(path, deep=True)
            found: list[str] = []
            for one in entries:
                if compiled.fullmatch(one) and not (found and one.startswith(found[-1] + "/")):
                    found.append(one)
            return found
        if has_wildcard(path):
            return self._matching(path)
        real = resolve(entries, path)
        return [path] if real in entries or not real else []

    def _told_place(self) -> str:
        op = self._op
        return f"the image {op.from_image}" if op.from_image else f"stage {op.from_stage}"

    def _below(self, real: str, matched: str) -> list[str]:
        entries = self._files.tree.entries
        start = real + "/" if real else ""
        paths = [real, *(path for path in entries if path.startswith(start) and path != real)]
        if not self._rules:
            return paths
        cut = len(start)
        rows = [(path[cut:], path not in entries or entries[path].kind == "dir") for path in paths]
        wanted = kept(rows, self._rules, matched.rpartition("/")[2])
        return [path for path in paths if path[cut:] in wanted]

    def _matching(self, pattern: str) -> list[str]:
        entries = self._files.tree.entries
        found = [""]
        for part in pattern.split("/"):
            compiled = compile_pattern(part)
            next_found = []
            for parent in found:
                names = _names(entries, resolve(entries, parent))
                next_found += [
                    f"{parent}/{name}" if parent else name for name in names if compiled.fullmatch(name)
                ]
            found = next_found
        return found

    def _nearest(self, path: str) -> str:
        parent, _, name = path.rpartition("/")
        entries = self._files.tree.entries
        return did_you_mean(name, _names(entries, resolve(entries, parent)))


def digest_of(loads: list[Load]) -> str:
    """Of everything that ``loads`` would copy, times aside."""
    told: list[Any] = []
    for load in loads:
        told.append(load.name if not load.is_directory else "")
        for thing in load.things:
            entry = thing.entry
            row = (thing.path, entry.kind, entry.mode, entry.uid, entry.gid, entry.link)
            told += [_bytes(row), sorted(entry.xattrs.items()), entry.device, _content(thing)]
    return hashlib.sha256(msgspec.msgpack.encode(told)).hexdigest()


def _bytes(row: tuple[object, ...]) -> list[object]:
    return [one.encode("utf-8", "surrogateescape") if isinstance(one, str) else one for one in row]


def _content(thing: Thing) -> str:
    if not callable(thing.content):
        return ""
    hasher = hashlib.sha256()
    opened: Any = thing.content()
    try:
        while data := opened.read(1 << 18):
            hasher.update(data)
    finally:
        opened.close()
    return hasher.hexdigest()


def _names(entries: dict[str, Entry], directory: str) -> list[str]:
    """What lies directly in a directory of a tree."""
    start = directory + "/" if directory else ""
    below = (path[len(start) :] for path in entries if path.startswith(start))
    return sorted(name for name in below if "/" not in name)
