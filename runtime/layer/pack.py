"""Making a layer: entries in, one deterministic tar archive and its digest out.

Equal trees give equal bytes: the order depends on names only, owners are numbers, times are whole
seconds, and nothing else of this host gets in.
"""

import hashlib
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol, TypeAlias

import msgspec

from sandcell.runtime.errors import Conflict
from sandcell.runtime.layer import tar_write, whiteout
from sandcell.runtime.layer.beside import Behind
from sandcell.runtime.layer.scan import scan
from sandcell.runtime.layer.tree import Entry, told
from sandcell.runtime.oci.digest import Digest

_CHUNK = 1 << 19
_KINDS = {
    "file": b"0",
    "hardlink": b"1",
    "symlink": b"2",
    "char": b"3",
    "block": b"4",
    "dir": b"5",
    "fifo": b"6",
}


class Sink(Protocol):
    """What can be written to: a binary file, or anything with its ``write``."""

    def write(self, data: bytes, /) -> object:
        """Take all of ``data``."""
        ...


class Readable(Protocol):
    """An open binary file."""

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes, none at the end."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


Content: TypeAlias = bytes | int | Callable[[], Readable] | None
"""Where the bytes of a file come from: themselves, a descriptor (left open), or an opener (closed after)."""


class Packed(msgspec.Struct, frozen=True):
    """A finished archive: the digest and size in bytes of it uncompressed, and how many entries it has."""

    diff_id: Digest
    size: int
    entries: int


def pack(
    source: int | str,
    out: Sink,
    *,
    overlay: bool = False,
    source_date_epoch: int | None = None,
    recorded_owners: bool = False,
) -> Packed:
    """Write the directory ``source`` (a path or a descriptor) as a layer to ``out``.

    ``overlay``: it is the upper directory of an overlay; whiteouts and opaque directories become
    their forms in a layer. ``source_date_epoch``: no time is later than that (seconds).
    ``recorded_owners``: believe the owners kept beside files. The root directory itself is written
    only where it is not plain (755, root's). ``Conflict`` where a file changed while it was read;
    what was written until then is of no use.
    """
    root = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) if isinstance(source, str) else source
    try:
        rows = scan(root, overlay=overlay, recorded_owners=recorded_owners)
        return pack_entries(
            (row for row in rows if not _plain_root(row[0])), out, source_date_epoch=source_date_epoch
        )
    finally:
        if root is not source:
            os.close(root)


def pack_entries(
    entries: Iterable[tuple[Entry, Content]], out: Sink, *, source_date_epoch: int | None = None
) -> Packed:
    """Write ``entries``, in their order, as a layer to ``out``.

    Directories must come before what is in them, the first name of a file before hard links to it.
    """
    archive = _Archive(out)
    try:
        return _pack(entries, archive, source_date_epoch)
    finally:
        archive.close()


def _pack(entries: Iterable[tuple[Entry, Content]], archive: "_Archive", latest: int | None) -> Packed:
    count = 0
    for entry, content in entries:
        count += 1
        name = os.fsencode(entry.path)
        if entry.kind == "whiteout":
            parent, slash, base = name.rpartition(b"/")
            archive.write(tar_write.header(parent + slash + whiteout.PREFIX + base, b"0", mode=0o600))
            continue
        if entry.kind == "opaque":
            mark = name + b"/" + whiteout.OPAQUE if name else whiteout.OPAQUE
            archive.write(tar_write.header(mark, b"0", mode=0o600))
            continue
        if entry.kind == "dir":
            name += b"/" if name else b"./"
        archive.write(
            tar_write.header(
                name,
                _KINDS[entry.kind],
                mode=entry.mode,
                uid=entry.uid,
                gid=entry.gid,
                size=entry.size if entry.kind == "file" else 0,
                mtime=entry.mtime if latest is None else min(entry.mtime, latest),
                link=os.fsencode(entry.link),
                major=entry.device[0],
                minor=entry.device[1],
                xattrs=entry.xattrs,
            )
        )
        if entry.kind == "file" and entry.size:
            archive.copy(entry, content)
    return archive.finish(count)


def _plain_root(entry: Entry) -> bool:
    plain = (entry.mode, entry.uid, entry.gid, entry.xattrs) == (0o755, 0, 0, {})
    return entry.path == "" and entry.kind == "dir" and plain


class _Archive:
    """Gathers small writes, and hashes what goes out. ``close`` it whatever happened."""

    def __init__(self, out: Sink) -> None:
        self._out = out
        self._hasher = hashlib.sha256()
        self._lane = Behind(self._put)
        self._pending: list[bytes] = []
        self._waiting = 0
        self._size = 0

    def write(self, data: bytes) -> None:
        self._pending.append(data)
        self._waiting += len(data)
        if self._waiting >= _CHUNK:
            self._flush()

    def copy(self, entry: Entry, content: Content) -> None:
        """The bytes of one file, padded to whole blocks."""
        left = entry.size
        if isinstance(content, bytes):
            self.write(content)
            left -= len(content)
        elif isinstance(content, int):
            left -= self._drain(lambda size: os.read(content, size), left)
        elif content is not None:
            file = content()
            try:
                left -= self._drain(file.read, left)
            finally:
                file.close()
        if left:
            raise Conflict(
                "pack",
                told(entry.path),
                "the file changed while it was read",
                "try again when nothing writes to it",
            )
        self.write(bytes(-entry.size % tar_write.BLOCK))

    def finish(self, entries: int) -> Packed:
        self.write(tar_write.END)
        self._flush()
        self._lane.close()
        return Packed(Digest.from_hasher(self._hasher), self._size, entries)

    def _drain(self, read: Callable[[int], bytes], size: int) -> int:
        """Copy ``size`` bytes, or what there is; tells how many."""
        left = size
        while left:
            data = read(min(left, _CHUNK))
            if not data:
                break
            self.write(data)
            left -= len(data)
        return size - left

    def _flush(self) -> None:
        data = b"".join(self._pending)
        self._pending.clear()
        self._waiting = 0
        self._size += len(data)
        self._lane.put(data)

    def _put(self, data: bytes) -> None:
        self._hasher.update(data)
        self._out.write(data)

    def close(self) -> None:
        with suppress(Exception):  # it was raised before
            self._lane.close()
