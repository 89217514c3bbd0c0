"""The sources of a COPY or ADD made ready: from the context, a here-document, a stage or an image.

Two halves, because a cached step needs only the first: ``digest`` says what would be copied, by
content, kind and mode and never by time; ``loads`` gives the things themselves.
"""

import hashlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import msgspec

from sandcell.runtime.build.archives import unpacked
from sandcell.runtime.build.context import Context, ContextError, Item, Source
from sandcell.runtime.build.dockerfile import did_you_mean
from sandcell.runtime.build.image_files import ImageFiles, resolve
from sandcell.runtime.build.ops import Place
from sandcell.runtime.build.patterns import clean, compile_pattern, has_wildcard
from sandcell.runtime.build.placing import Load, Thing
from sandcell.runtime.build.spool import Spool
from sandcell.runtime.errors import BadInput, Corrupted
from sandcell.runtime.layer.tree import Entry

_SECOND = 1_000_000_000


class ContextSources:
    """Sources that lie in the context, and here-documents."""

    def __init__(self, op: Place, context: Context | None) -> None:
        """Find them; ``ContextError`` where one cannot be taken."""
        self._op = op
        self._context = context
        self._found: list[Source | tuple[str, bytes]] = []
        for source in op.sources:
            if isinstance(source, tuple):
                self._found.append(source)
            elif context is None:
                raise ContextError(
                    f"{source}: this build has no context to copy from", "give a directory with --context"
                )
            else:
                self._found.extend(context.sources(source))

    def digest(self) -> str:
        """Of everything that would be copied."""
        told: list[Any] = []
        for source in self._found:
            if isinstance(source, tuple):
                told.append((source[0], hashlib.sha256(source[1]).hexdigest(), self._mode(0o644)))
            else:
                told.append(
                    (
                        source.name if not source.is_directory else "",
                        [self._told(item) for item in source.items],
                    )
                )
        return hashlib.sha256(msgspec.msgpack.encode(_bytes(told))).hexdigest()

    def loads(self, owner: tuple[int, int], time: int, spool: Spool) -> Iterator[Load]:
        """The things, one source after the other. ``time``: of what has none (seconds)."""
        for source in self._found:
            if isinstance(source, tuple):
                name, content = source
                entry = Entry("", "file", self._mode(0o644), *owner, len(content), time)
                yield Load(name, (Thing("", entry, content),))
            else:
                yield self._archive(source, owner, time, spool) or Load(
                    source.name, tuple(self._thing(item, owner) for item in source.items)
                )

    def _told(self, item: Item) -> tuple[str, str, int, str]:
        content = self._digest(item) if item.kind == "file" else item.link
        return (item.path, item.kind, self._mode(item.mode), content)

    def _digest(self, item: Item) -> str:
        assert self._context is not None
        return self._context.digest(item)

    def _mode(self, mode: int) -> int:
        return mode if self._op.mode is None else self._op.mode

    def _archive(self, source: Source, owner: tuple[int, int], time: int, spool: Spool) -> Load | None:
        item = source.items[0]
        if not self._op.unpack or item.kind != "file" or self._context is None:
            return None
        try:
            with self._context.read(item) as file:
                return unpacked(file, spool, owner if self._op.owner else None, time)
        except (BadInput, Corrupted) as error:
            raise ContextError(
                f"{item.place}: {error.object}: {error.cause}", "it is unpacked by ADD, not by COPY"
            ) from None

    def _thing(self, item: Item, owner: tuple[int, int]) -> Thing:
        time = item.mtime // _SECOND
        if item.kind == "symlink":
            return Thing(item.path, Entry(item.path, "symlink", 0o777, *owner, mtime=time, link=item.link))
        entry = Entry(item.path, item.kind, self._mode(item.mode), *owner, item.size, time)
        content = None
        if item.kind == "file" and self._context is not None:
            content = partial(self._context.read, item)
        return Thing(item.path, entry, content)


class ImageSources:
    """Sources that lie in a stage or an image; paths are seen from its root."""

    def __init__(self, op: Place, files: ImageFiles) -> None:
        self._op = op
        self._files = files

    def _paths(self) -> list[tuple[str, str]]:
        """Name as asked for and real path of each source, wildcards resolved; ``ContextError``."""
        entries = self._files.tree.entries
        found: list[tuple[str, str]] = []
        for source in self._op.sources:
            assert isinstance(source, str)
            path = clean("/" + source)
            if has_wildcard(path):
                matches = self._matching(path)
            else:
                real = resolve(entries, path)
                matches = [path] if real in entries or not real else []
            if not matches:
                raise ContextError(f"{source} is not in {self._told_place()}", self._nearest(path))
            found += [(match.rpartition("/")[2], resolve(entries, match)) for match in matches]
        return found

    def _told_place(self) -> str:
        op = self._op
        return f"the image {op.from_image}" if op.from_image else f"stage {op.from_stage}"

    def loads(self, owner: tuple[int, int], spool: Spool) -> Iterator[Load]:
        """The things, one source after the other; each keeps its time and attributes."""
        entries = self._files.tree.entries
        listed = [(name, real, self._below(real)) for name, real in self._paths()]
        wanted = [path for _, _, paths in listed for path in paths if path in entries]
        contents = {
            path: spool.put(pieces) for path, pieces in self._files.stream(list(dict.fromkeys(wanted)))
        }
        for name, real, paths in listed:
            things = []
            for path in paths:
                entry = entries.get(path, Entry("", "dir", 0o755))
                mode = entry.mode if self._op.mode is None or entry.kind == "symlink" else self._op.mode
                link = entry.link if entry.kind == "symlink" else ""
                entry = msgspec.structs.replace(entry, uid=owner[0], gid=owner[1], mode=mode, link=link)
                things.append(Thing(path[len(real) :].strip("/"), entry, contents.get(path)))
            yield Load(name, tuple(things))

    def _below(self, real: str) -> list[str]:
        start = real + "/" if real else ""
        return [real, *(path for path in self._files.tree.entries if path.startswith(start) and path != real)]

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


def _names(entries: dict[str, Entry], directory: str) -> list[str]:
    """What lies directly in a directory of a tree."""
    start = directory + "/" if directory else ""
    below = (path[len(start) :] for path in entries if path.startswith(start))
    return sorted(name for name in below if "/" not in name)


def _bytes(value: Any) -> Any:
    """Names may be no text; msgpack wants bytes for them."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, list | tuple):
        return [_bytes(one) for one in value]
    return value
