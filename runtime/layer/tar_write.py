"""Writing tar: one entry's header. ustar; a pax header in front only where ustar cannot say it."""

from struct import Struct
from zlib import adler32

BLOCK = 512
END = bytes(2 * BLOCK)

_HEADER = Struct("100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12x")
_MOST_OCTAL_7 = 0o7777777
_MOST_OCTAL_11 = 0o77777777777


def header(
    name: bytes,
    kind: bytes,
    *,
    mode: int,
    uid: int = 0,
    gid: int = 0,
    size: int = 0,
    mtime: int = 0,
    link: bytes = b"",
    major: int = 0,
    minor: int = 0,
    xattrs: dict[str, bytes] | None = None,
) -> bytes:
    """The header block or blocks of one entry; its data, padded to 512 bytes, follows.

    ``kind``: the type flag of tar(5). ``mtime``: seconds since the epoch. Equal arguments give equal bytes.
    """
    records: dict[bytes, bytes] = {}
    if len(name) > 100:
        prefix, short = _split(name)
        if not short:
            records[b"path"] = name
            prefix, short = b"", name[:100]
    else:
        prefix, short = b"", name
    if len(link) > 100:
        records[b"linkpath"] = link
    if uid > _MOST_OCTAL_7:
        records[b"uid"], uid = b"%d" % uid, 0
    if gid > _MOST_OCTAL_7:
        records[b"gid"], gid = b"%d" % gid, 0
    if size > _MOST_OCTAL_11:
        records[b"size"], size = b"%d" % size, 0
    if not 0 <= mtime <= _MOST_OCTAL_11:
        records[b"mtime"], mtime = b"%d" % mtime, 0
    if xattrs:
        for key in sorted(xattrs):
            records[b"SCHILY.xattr." + key.encode("utf-8", "surrogateescape")] = xattrs[key]
    block = _block(short, kind, mode, uid, gid, size, mtime, link[:100], major, minor, prefix)
    return _pax(name, records) + block if records else block


def _block(
    name: bytes, kind: bytes, mode: int, uid: int, gid: int, size: int, mtime: int,
    link: bytes, major: int, minor: int, prefix: bytes,
) -> bytes:  # fmt: skip
    devices = (b"%07o\0" % major, b"%07o\0" % minor) if major or minor else (b"", b"")
    block = _HEADER.pack(
        name,
        b"%07o\0" % mode,
        b"%07o\0" % uid,
        b"%07o\0" % gid,
        b"%011o\0" % size,
        b"%011o\0" % mtime,
        b"        ",
        kind,
        link,
        b"ustar\00000",
        b"",
        b"",
        *devices,
        prefix,
    )
    # adler32 sums bytes; the sum of half a block is too small to wrap.
    total = (adler32(block[:256], 0) & 0xFFFF) + (adler32(block[256:], 0) & 0xFFFF)
    return block[:148] + b"%06o\0 " % total + block[156:]


def _split(name: bytes) -> tuple[bytes, bytes]:
    """``name`` as ustar's prefix and name, or two empty ones where it does not fit."""
    # A directory's final slash stays with the name.
    cut = name.find(b"/", len(name) - 101)
    if 0 < cut <= 155 and cut < len(name) - 1:
        return name[:cut], name[cut + 1 :]
    return b"", b""


def _pax(name: bytes, records: dict[bytes, bytes]) -> bytes:
    data = b"".join(_record(key, value) for key, value in sorted(records.items()))
    label = b"PaxHeaders/" + name.rstrip(b"/").rpartition(b"/")[2][:80]
    block = _block(label, b"x", 0o644, 0, 0, len(data), 0, b"", 0, 0, b"")
    return block + data + bytes(-len(data) % BLOCK)


def _record(key: bytes, value: bytes) -> bytes:
    body = b" " + key + b"=" + value + b"\n"
    # The length counts its own digits.
    size = len(body) + 1
    while len(str(size)) + len(body) != size:
        size = len(str(size)) + len(body)
    return b"%d" % size + body
