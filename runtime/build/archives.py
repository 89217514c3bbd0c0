"""ADD of a local archive: known by its content, not its name, and unpacked into things to put.

tar, plain or compressed by gzip, bzip2, xz or zstd (Dockerfile reference, "ADD"). A compressed file
that holds no tar is a file like any other.
"""

from io import FileIO

import msgspec

from sandcell.runtime.build.placing import Load, Thing
from sandcell.runtime.build.spool import Spool
from sandcell.runtime.errors import BadInput, Corrupted
from sandcell.runtime.layer.compress import decompress
from sandcell.runtime.layer.listing import entry_of
from sandcell.runtime.layer.pack import Content
from sandcell.runtime.layer.tar_read import FILE, HARDLINK, Header, TarReader
from sandcell.runtime.layer.tree import Entry

_NO_TAR = (BadInput, Corrupted, OSError, EOFError)


def unpacked(file: FileIO, spool: Spool, owner: tuple[int, int] | None, time: int) -> Load | None:
    """What an archive holds, as a directory to put; ``None`` if ``file`` is no archive.

    ``owner``: of everything, ``None`` keeps the archive's. ``time``: of the directory itself.
    ``Corrupted`` or ``BadInput`` where it begins like an archive and goes on as none.
    """
    reader = TarReader(decompress(file, archive=True).read)
    try:
        header = reader.next()
    except _NO_TAR:
        return None
    if header is None:
        return None
    things = {"": Thing("", Entry("", "dir", 0o755, *(owner or (0, 0)), mtime=time))}
    while header is not None:
        thing = _thing(reader, header, spool, things, owner)
        if thing.path:
            _make_above(thing.path, things, owner, time)
            # Named twice, the later one counts, at its own place in the order.
            if thing.entry.kind != "dir":
                things.pop(thing.path, None)
            things[thing.path] = thing
        header = reader.next()
    return Load("", tuple(things.values()))


def _thing(
    reader: TarReader, header: Header, spool: Spool, things: dict[str, Thing], owner: tuple[int, int] | None
) -> Thing:
    entry = entry_of(header)
    content: Content = None
    if header.type == FILE:
        content = spool.put(reader.content())
    elif header.type == HARDLINK:
        first = things.get(entry.link)
        if first is None:
            raise BadInput(
                "unpack", entry.path, f"it is a hard link to {entry.link}, which does not come before it"
            )
        entry, content = msgspec.structs.replace(first.entry, path=entry.path), first.content
    if owner is not None:
        entry = msgspec.structs.replace(entry, uid=owner[0], gid=owner[1])
    return Thing(entry.path, entry, content)


def _make_above(path: str, things: dict[str, Thing], owner: tuple[int, int] | None, time: int) -> None:
    parent = path.rpartition("/")[0]
    if parent in things:
        return
    _make_above(parent, things, owner, time)
    things[parent] = Thing(parent, Entry(parent, "dir", 0o755, *(owner or (0, 0)), mtime=time))
