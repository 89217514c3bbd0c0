"""Reading tar: the headers and bytes of any archive that a registry may send.

Knows ustar, pax (extended and global headers), GNU long names and base-256 numbers, star prefixes
the old V7 form, and sparse files (see ``sparse``). The archive is not trusted: every length is bounded, and
nothing is allocated for what a header merely claims. Source: tar(5) of libarchive, pax(1) of POSIX.
"""

from collections.abc import Callable, Iterable, Iterator
from struct import Struct
from typing import TypeVar
from zlib import adler32

import msgspec

from sandcell.runtime.errors import BadInput, Corrupted
from sandcell.runtime.layer import sparse
from sandcell.runtime.layer.sparse import Segments

K = TypeVar("K")

BLOCK = 512
CHUNK = 1 << 18
"""Bytes read at once: more would not stay in a processor's cache between inflating and writing."""

FILE, HARDLINK, SYMLINK, CHAR, BLOCKDEV, DIRECTORY, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"

_OLD_SPARSE = b"S"
_LONGEST_RECORD = 1 << 20
_LAST_ID = 0xFFFFFFFE
_END_OF_SIZES = 1 << 63
_END_OF_TIMES = (1 << 50) * 1_000_000_000
_ZERO = bytes(BLOCK)
_FIELDS = Struct("100s24s12s12s8sc100s8s80x155s12x")
"""name; mode, uid and gid; size; time; checksum; kind; link; magic; prefix."""
_FIRST_FIELDS = Struct("100s24s11sx12s8s356x")
_KIND_AT, _PREFIX_AT = 156, 345
_PLAIN = FILE[0]
_NO_DATA = frozenset((HARDLINK, SYMLINK, CHAR, BLOCKDEV, DIRECTORY, FIFO))
_KNOWN = _NO_DATA | {FILE, b"\0", b"7"}
_XATTR = b"SCHILY.xattr."
_MOST_KEPT = 4000


class Header(msgspec.Struct, gc=False):
    """One entry. Names are raw bytes as in the archive; ``mtime`` is nanoseconds since the epoch.

    ``segments``: of a sparse file the places of its data; ``size`` counts the holes too.
    """

    name: bytes
    type: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    link: bytes = b""
    major: int = 0
    minor: int = 0
    xattrs: dict[str, bytes] = {}
    segments: Segments | None = None


class TarReader:
    """Entries of an archive, one after the other.

    ``read(n)`` gives up to ``n`` bytes, none at the end. Call ``next()`` for a header, then, if
    wanted, iterate ``content()``; what is not read is skipped. ``Corrupted`` where the archive is
    damaged or cut off, ``BadInput`` where it uses what we refuse.
    """

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._at = 0
        self._hold(b"")
        self._left = 0
        self._padding = 0
        self._defaults: dict[bytes, bytes] = {}
        self._segments: tuple[int, Segments] | None = None
        # What fields mean that came before, and came to what they should.
        self._ids: dict[bytes, tuple[int, int, int]] = {}
        self._times: dict[bytes, int] = {}
        self._sums: dict[bytes, int] = {}

    def __iter__(self) -> Iterator[Header]:
        while (header := self.next()) is not None:
            yield header

    def next(self) -> Header | None:
        """The next entry, ``None`` after the last; then the stream has been read to its end."""
        at = self._at + self._left + self._padding
        block = self._view[at : at + BLOCK]
        # Nearly everything is a file with a short name, of usual size, owner and time.
        if len(block) == BLOCK and block[_KIND_AT] == _PLAIN and not block[_PREFIX_AT] and not self._defaults:
            name, ids, size, mtime, checksum = _FIRST_FIELDS.unpack(block)
            owned, moment = self._ids.get(ids), self._times.get(mtime)
            if owned and moment is not None and self._sums.get(checksum) == adler32(block, 0) & 0xFFFF:
                try:
                    length = int(size, 8)
                except ValueError:
                    length = -1
                if length >= 0:
                    self._at = at + BLOCK
                    self._left, self._padding, self._segments = length, -length % BLOCK, None
                    mode, uid, gid = owned
                    return Header(name.partition(b"\0")[0], FILE, mode, uid, gid, length, moment)
        return self._next()

    def _next(self) -> Header | None:
        records: dict[bytes, bytes] = {}
        while True:
            rest = self._left + self._padding
            if rest:
                self._skip(rest)
            block = self._buffer[self._at : self._at + BLOCK]
            if len(block) == BLOCK:
                self._at += BLOCK
            else:
                block = self._take(BLOCK, last=True)
            if not block or block == _ZERO:
                self._finish(block)
                return None
            kind = block[156:157]
            if kind in _KNOWN:
                return self._entry(block, kind, records)
            if kind == b"x":
                records.update(_pax_records(self._record(block)))
            elif kind == b"g":
                self._defaults.update(_pax_records(self._record(block)))
            elif kind == b"L":
                records[b"path"] = self._record(block).partition(b"\0")[0]
            elif kind == b"K":
                records[b"linkpath"] = self._record(block).partition(b"\0")[0]
            elif kind == _OLD_SPARSE and block[257:263] == b"ustar ":
                return self._entry(block, kind, records)
            else:
                _checked(block)
                raise BadInput("read layer", _show(_text(block[:100])), f"unknown kind of entry {kind!r}")

    def content(self) -> Iterable[memoryview]:
        """The bytes of the current entry, in pieces; of a sparse file zeros for the holes."""
        if self._segments is not None:
            size, segments = self._segments
            return sparse.filled(size, sparse.placed(segments, self.stored()))
        return self.stored()

    def stored(self) -> Iterable[memoryview]:
        """The bytes that the archive holds of the current entry: of a sparse file its ``segments``."""
        at, left = self._at, self._left
        if left > len(self._buffer) - at:
            return self._pieces()
        # Most files are small and lie in the buffer as a whole.
        self._at += left
        self._left = 0
        return (self._view[at : at + left],) if left else ()

    def _pieces(self) -> Iterator[memoryview]:
        while self._left:
            if self._at == len(self._buffer):
                self._fill()
            piece = self._view[self._at : self._at + self._left]
            self._at += len(piece)
            self._left -= len(piece)
            yield piece

    def _entry(self, block: bytes, kind: bytes, records: dict[bytes, bytes]) -> Header:
        name, ids, size, mtime, checksum, _, link, magic, prefix = _FIELDS.unpack(block)
        # The low half of an adler32 that begins with 0 is the sum of the bytes, modulo 65521.
        total = adler32(block, 0) & 0xFFFF
        if self._sums.get(checksum) != total:
            _checked(block)
            _keep(self._sums, checksum, total)
        name = name.partition(b"\0")[0]
        if prefix[0] and magic[:6] == b"ustar\0":
            # star keeps two times where POSIX has the end of the prefix.
            name = _text(prefix[:131] if block[508:512] == b"tar\0" else prefix) + b"/" + name
        if kind in (b"\0", b"7", FILE):
            # V7 had no kind for directories.
            kind = DIRECTORY if kind == b"\0" and name.endswith(b"/") else FILE
        mode, uid, gid = self._ids.get(ids) or self._new_ids(ids)
        try:
            length, moment, odd = int(size[:11], 8), int(mtime[:11], 8) * 1_000_000_000, bool(records)
            _keep(self._times, mtime, moment)
        except ValueError:
            length, moment, odd = _number(size), _number(mtime) * 1_000_000_000, True
        header = Header(name, kind, mode, uid, gid, length, moment)
        self._left, self._padding, self._segments = length, -length % BLOCK, None
        if odd or kind != FILE or self._defaults or length < 0 or uid > _LAST_ID or gid > _LAST_ID:
            self._more(header, block, link, {**self._defaults, **records})
        return header

    def _more(self, header: Header, block: bytes, link: bytes, records: dict[bytes, bytes]) -> None:
        """What the header of a plain file of usual size and owner does not need."""
        kind = header.type
        if kind in (HARDLINK, SYMLINK):
            header.link = _text(link)
        elif kind in (CHAR, BLOCKDEV):
            header.major, header.minor = _number(block[329:337]), _number(block[337:345])
        if records:
            _extend(header, records)
        if kind in _NO_DATA:
            header.size = 0
        if not (
            0 <= header.uid <= _LAST_ID
            and 0 <= header.gid <= _LAST_ID
            and 0 <= header.size < _END_OF_SIZES
            and -_END_OF_TIMES < header.mtime < _END_OF_TIMES
        ):
            raise _damaged(_show(header.name), "it has a size, an owner or a time that cannot be")
        self._left, self._padding = header.size, -header.size % BLOCK
        if kind in (FILE, _OLD_SPARSE):
            self._holes(header, block, records)

    def _holes(self, header: Header, block: bytes, records: dict[bytes, bytes]) -> None:
        """Find out whether the file is sparse, in which of its forms, and where its data belongs."""
        name = _show(header.name)
        try:
            if header.type == _OLD_SPARSE:
                header.type = FILE
                found = sparse.of_header(name, block, _number, lambda: self._take(BLOCK))
            elif records.get(b"GNU.sparse.major", b"0") != b"0":
                size = int(records.get(b"GNU.sparse.realsize", b""))
                found = size, sparse.of_data(name, self._block)
            elif (told := sparse.of_records(name, records)) is not None:
                found = told
            else:
                return
        except ValueError:
            raise _damaged(name, "the map of a sparse file holds a number that is none") from None
        segments = sparse.checked(name, *found, self._left)
        header.size, header.segments = found[0], segments
        self._segments = found[0], segments

    def _block(self) -> bytes:
        """The next block of the current entry's data."""
        if self._left < BLOCK:
            raise _damaged("archive", "the map of a sparse file is longer than its data")
        self._left -= BLOCK
        return self._take(BLOCK)

    def _new_ids(self, field: bytes) -> tuple[int, int, int]:
        """Mode, user and group; an archive has few combinations of them, so they are kept."""
        mode, *owners = (_number(field[at : at + 8]) for at in (0, 8, 16))
        uid, gid = (id if id >= 0 else _LAST_ID + 1 for id in owners)
        found = (mode & 0o7777, uid, gid)
        if uid <= _LAST_ID and gid <= _LAST_ID:
            _keep(self._ids, field, found)
        return found

    def _record(self, block: bytes) -> bytes:
        """The data of a header that describes the next one."""
        _checked(block)
        size = _number(block[124:136])
        if not 0 <= size <= _LONGEST_RECORD:
            raise BadInput("read layer", "archive", f"an extended header of {size} bytes; 1 MiB is the most")
        data = self._take(size)
        self._padding = -size % BLOCK
        return data

    def _take(self, size: int, *, last: bool = False) -> bytes:
        """``size`` bytes in one piece. ``last``: none at all is also fine."""
        data = self._buffer[self._at : self._at + size]
        self._at += len(data)
        while len(data) < size:
            more = self._read(CHUNK)
            if not more:
                if last and not data:
                    return b""
                raise _damaged("archive", "it ends in the middle of an entry")
            self._hold(more, size - len(data))
            data += more[: self._at]
            self._at = min(self._at, len(more))
        return data

    def _hold(self, data: bytes, at: int = 0) -> None:
        self._buffer, self._view, self._at = data, memoryview(data), at

    def _fill(self) -> None:
        self._hold(self._read(CHUNK))
        if not self._buffer:
            raise _damaged("archive", "it ends in the middle of a file")

    def _skip(self, size: int) -> None:
        self._left = self._padding = 0
        if self._at + size <= len(self._buffer):
            self._at += size
            return
        while size:
            if self._at == len(self._buffer):
                self._fill()
            step = min(size, len(self._buffer) - self._at)
            self._at += step
            size -= step

    def _finish(self, block: bytes) -> None:
        # Two readers that disagree where an archive ends see two different layers.
        if block and self._take(BLOCK, last=True) not in (b"", _ZERO):
            raise _damaged("archive", "an entry follows the end mark")
        self._hold(b"")
        while self._read(CHUNK):
            pass


def _keep(known: dict[bytes, K], field: bytes, meaning: K) -> None:
    if len(known) > _MOST_KEPT:
        known.clear()
    known[field] = meaning


def _checked(block: bytes) -> None:
    """``Corrupted`` unless the checksum is right: the sum of the bytes, the field itself as blanks."""
    stored = _number(block[148:156])
    others = block[:148] + block[156:]
    # Some old programs summed signed characters.
    if stored - 256 not in (sum(others), sum(byte - 256 if byte > 127 else byte for byte in others)):
        raise _damaged("archive", "a header's checksum is wrong")


def _number(field: bytes) -> int:
    """An octal number, or a base-256 one where the first bit is set; blank is 0."""
    try:
        return int(field[:-1], 8)
    except ValueError:
        pass
    if field[0] & 0x80:
        value = int.from_bytes(field, "big")
        bits = 8 * len(field)
        # The first bit marks the form, the second is the sign.
        value &= (1 << (bits - 1)) - 1
        return value - (1 << (bits - 1)) if field[0] & 0x40 else value
    try:
        return int(field.partition(b"\0")[0].strip() or b"0", 8)
    except ValueError:
        raise _damaged("archive", f"{field!r} is no number") from None


def _text(field: bytes) -> bytes:
    return field[: field.find(b"\0")] if b"\0" in field else field


def _pax_records(data: bytes) -> dict[bytes, bytes]:
    """``25 path=some/long/name\\n`` and so on; the length counts the whole record."""
    records: dict[bytes, bytes] = {}
    pairs: list[bytes] = []
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 9)
        digits = data[at:space] if space > 0 else b""
        end = at + int(digits) if digits.isdigit() else 0
        if end <= space or end > len(data) or data[end - 1 : end] != b"\n":
            # Some writers fill up with zeros.
            if not data[at:].strip(b"\0"):
                break
            raise _damaged("archive", "an extended header cannot be read")
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not equals:
            raise _damaged("archive", "an extended header has a record without '='")
        if key in sparse.PAIRS:
            pairs.append(value)
        records[key] = value
        at = end
    if pairs:
        records[sparse.MAP] = b",".join(pairs)
    return records


def _extend(header: Header, records: dict[bytes, bytes]) -> None:
    """Let pax records overrule the fields of ``header``."""
    xattrs: dict[str, bytes] = {}
    try:
        for key, value in records.items():
            if key.startswith(_XATTR):
                xattrs[key[len(_XATTR) :].decode("utf-8", "surrogateescape")] = value
            elif not value:
                pass  # POSIX: as if the record were not there
            elif key in (b"path", b"GNU.sparse.name"):
                header.name = value
            elif key == b"linkpath":
                header.link = value
            elif key == b"size":
                header.size = int(value)
            elif key == b"uid":
                header.uid = int(value)
            elif key == b"gid":
                header.gid = int(value)
            elif key == b"mtime":
                header.mtime = _nanoseconds(value)
            elif key == b"SCHILY.devmajor":
                header.major = int(value)
            elif key == b"SCHILY.devminor":
                header.minor = int(value)
    except ValueError:
        raise _damaged(_show(header.name), "an extended header holds a number that is none") from None
    if b"\0" in header.name or b"\0" in header.link:
        raise _damaged(_show(header.name), "a name holds a zero byte")
    header.xattrs = xattrs


def _nanoseconds(value: bytes) -> int:
    whole, _, fraction = value.partition(b".")
    nanos = int(fraction[:9].ljust(9, b"0")) if fraction else 0
    return int(whole or b"0") * 1_000_000_000 + (-nanos if whole.startswith(b"-") else nanos)


def _show(name: bytes) -> str:
    return name[:200].decode("utf-8", "backslashreplace")


def _damaged(object: str, cause: str) -> Corrupted:
    return Corrupted("read layer", object, cause, "get the layer again")
