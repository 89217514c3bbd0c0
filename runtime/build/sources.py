"""The sources of a COPY or ADD made ready: from a context, a here-document, an address, a stage or an image.

Two halves, because a cached step needs only the first: ``digest`` says what would be copied, by
content, kind and mode and never by time; ``loads`` gives the things themselves.
"""

import hashlib
from collections.abc import Iterator
from functools import partial
from typing import Any, Protocol

import msgspec

from sandcell.runtime.build.archives import unpacked
from sandcell.runtime.build.context import Context, ContextError, Item, Source
from sandcell.runtime.build.modes import read_mode
from sandcell.runtime.build.ops import Place, Remote
from sandcell.runtime.build.patterns import IgnoreRules
from sandcell.runtime.build.placing import Load, Thing
from sandcell.runtime.build.selection import kept, parent_depth, without
from sandcell.runtime.build.spool import Spool
from sandcell.runtime.errors import BadInput, Corrupted
from sandcell.runtime.layer.tree import Entry

_SECOND = 1_000_000_000


class Arrived(Protocol):
    """A source of ADD that was fetched, or can be."""

    def told(self) -> Any:
        """What it is known by."""
        ...

    def load(self, op: Place, owner: tuple[int, int], time: int, spool: Spool) -> Load:
        """The things."""
        ...


class Bring(Protocol):
    """Finds out what is at an address."""

    def __call__(self, remote: Remote, /) -> Arrived:
        """What is there; ``ContextError``."""
        ...


class ContextSources:
    """Sources that lie in a context, here-documents, and what is fetched by ``bring``."""

    def __init__(self, op: Place, context: Context | None, bring: Bring | None = None) -> None:
        """Find them; ``ContextError`` where one cannot be taken."""
        self._op = op
        self._context = context
        self._change = read_mode(op.mode) if op.mode else None
        self._rules = IgnoreRules("\n".join(op.exclude))
        self._found: list[tuple[str, Source] | tuple[str, bytes] | Arrived] = []
        for source in op.sources:
            if isinstance(source, Remote):
                assert bring is not None
                self._found.append(bring(source))
            elif isinstance(source, tuple):
                self._found.append(source)
            elif context is None:
                raise ContextError(
                    f"{source}: this build has no context to copy from", "give a directory with --context"
                )
            else:
                found = context.sources(source, deep=op.parents)
                self._found += [(source, self._selected(one)) for one in found]

    def _selected(self, source: Source) -> Source:
        """``source`` without what ``--exclude`` names."""
        if not self._rules:
            return source
        wanted = kept(((item.path, item.kind == "dir") for item in source.items), self._rules, source.name)
        items = tuple(item for item in source.items if item.path in wanted)
        return msgspec.structs.replace(source, items=items)

    def digest(self) -> str:
        """Of everything that would be copied."""
        told: list[Any] = []
        for source in self._found:
            if not isinstance(source, tuple):
                told.append(source.told())
            elif isinstance(source[1], bytes):
                told.append((source[0], hashlib.sha256(source[1]).hexdigest(), self._mode(0o644, False)))
            elif source[1].items:
                found = source[1]
                name = found.path if self._op.parents else found.name
                told.append(
                    (
                        name if self._op.parents or not found.is_directory else "",
                        [self._told(item) for item in found.items],
                    )
                )
        return hashlib.sha256(msgspec.msgpack.encode(_bytes(told))).hexdigest()

    def loads(self, owner: tuple[int, int], time: int, spool: Spool) -> Iterator[Load]:
        """The things, one source after the other. ``time``: of what has none (seconds)."""
        for source in self._found:
            if not isinstance(source, tuple):
                yield source.load(self._op, owner, time, spool)
            elif isinstance(source[1], bytes):
                name, content = source[0], source[1]
                entry = Entry("", "file", self._mode(0o644, False), *owner, len(content), time)
                yield Load(name, (Thing("", entry, content),))
            elif source[1].items:
                yield self._load(source[0], source[1], owner, time, spool)

    def _load(self, written: str, source: Source, owner: tuple[int, int], time: int, spool: Spool) -> Load:
        archive = self._archive(source, owner, time, spool)
        if archive is not None:
            return archive
        things = tuple(self._thing(item, owner) for item in source.items)
        if not self._op.parents:
            return Load(source.name, things)
        assert self._context is not None
        depth = parent_depth(written)
        above = [self._thing(item, owner) for item in self._context.above(source.path)]
        return with_parents(things, above, source.path, depth, owner, time)

    def _told(self, item: Item) -> tuple[str, str, int, str]:
        content = self._digest(item) if item.kind == "file" else item.link
        return (item.path, item.kind, self._mode(item.mode, item.kind == "dir"), content)

    def _digest(self, item: Item) -> str:
        assert self._context is not None
        return self._context.digest(item)

    def _mode(self, mode: int, is_directory: bool) -> int:
        return mode if self._change is None else self._change(mode, is_directory)

    def _archive(self, source: Source, owner: tuple[int, int], time: int, spool: Spool) -> Load | None:
        item = source.items[0]
        if self._op.unpack is False or item.kind != "file" or self._context is None:
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
        mode = self._mode(item.mode, item.kind == "dir")
        entry = Entry(item.path, item.kind, mode, *owner, item.size, time)
        content = None
        if item.kind == "file" and self._context is not None:
            content = partial(self._context.read, item)
        return Thing(item.path, entry, content)


def with_parents(
    things: tuple[Thing, ...], above: list[Thing], path: str, depth: int, owner: tuple[int, int], time: int
) -> Load:
    """The things of a source at ``path`` as the content of a directory, below the directories ``above``
    it, the first ``depth`` of which are left out."""
    root = Thing("", Entry("", "dir", 0o755, *owner, mtime=time))
    below = [msgspec.structs.replace(one, path=without(one.path, depth)) for one in above[depth:]]
    start = without(path, depth)
    for thing in things:
        place = "/".join(part for part in (start, thing.path) if part)
        if place:
            below.append(msgspec.structs.replace(thing, path=place))
    return Load("", (root, *below))


def _bytes(value: Any) -> Any:
    """Names may be no text; msgpack wants bytes for them."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, list | tuple):
        return [_bytes(one) for one in value]
    return value
