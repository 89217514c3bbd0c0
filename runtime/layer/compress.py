"""Compressing layers once, and reading them whatever they were compressed with.

gzip by ISA-L at level 1: as small as zlib at its level 1, many times faster, with no name and no time
in the header, so that the same machine gives the same bytes for the same layer. zstd for those who ask.
Archives that people bring may be bzip2 or xz as well (docker-import(1), docker-load(1)).
"""

from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeAlias

from sandcell.runtime.errors import BadInput, Corrupted

Compression: TypeAlias = Literal["gzip", "zstd", "none"]

MOST_RATIO = 250
"""How many times its size a blob may unpack to; text rarely gets beyond 20. Zeros do, so ``BEYOND``."""
BEYOND = 8 << 30
"""Bytes that any blob may unpack to."""

_CHUNK = 1 << 18
_INPUT = 1 << 16
"""Bytes fed at once: what a decompressor does not need yet it copies, again and again."""
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = tuple(bytes([0x50 + n]) + b"\x2a\x4d\x18" for n in range(16))
_BZIP2 = b"BZh"
_XZ = b"\xfd7zXZ"
_MOST_MEMORY = 100 << 20
"""Bytes that unpacking xz may take; its highest level needs 65 MiB."""


class Compressor(Protocol):
    """Bytes in, fewer bytes out."""

    def compress(self, data: Any, /) -> bytes:
        """Take ``data``; give what is ready, perhaps nothing."""
        ...

    def flush(self) -> bytes:
        """Give the rest; the compressor is then used up."""
        ...


class Source(Protocol):
    """What can be read: a binary file, or anything with its ``read``."""

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes, none at the end."""
        ...


def compressor(kind: Compression) -> Compressor:
    """A fresh compressor."""
    if kind == "gzip":
        from isal import isal_zlib

        return isal_zlib.compressobj(1, wbits=31)
    if kind == "zstd":
        made: Compressor = zstd().ZstdCompressor()
        return made
    return _Plain()


def decompress(
    stream: Source, *, most_ratio: int = MOST_RATIO, beyond: int = BEYOND, archive: bool = False
) -> Source:
    """The bytes of ``stream`` uncompressed, told apart by how it begins: gzip, zstd or plain, and bzip2 or
    xz where it is an ``archive``.

    Reading gives ``Corrupted`` where the compressed bytes are damaged or cut off, and ``BadInput`` for
    a bomb: more than ``beyond`` bytes that are more than ``most_ratio`` times what they came from. No
    more than a few chunks are held, however much a small input claims to hold.
    """
    head = stream.read(_INPUT)
    while len(head) < 6 and (more := stream.read(_INPUT)):
        head += more
    fresh = _decompressor(head)
    if not archive and head.startswith((_BZIP2, _XZ)):
        kind = "bzip2" if head.startswith(_BZIP2) else "xz"
        raise BadInput("read layer", "blob", f"it is compressed by {kind}, which layers never are")
    return _Rest(stream, head) if fresh is None else _Members(stream, head, fresh, most_ratio, beyond)


def _decompressor(head: bytes) -> Callable[[], Any] | None:
    """What makes one for what begins so."""
    if head.startswith(_GZIP):
        from isal import igzip_lib

        return lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
    if head.startswith((_ZSTD, *_ZSTD_SKIPPABLE)):
        made: Callable[[], Any] = zstd().ZstdDecompressor
        return made
    if head.startswith(_BZIP2):
        import bz2

        return bz2.BZ2Decompressor
    if head.startswith(_XZ):
        import lzma

        return lambda: lzma.LZMADecompressor(memlimit=_MOST_MEMORY)
    return None


def zstd() -> Any:
    """The zstd module: Python's own from 3.14 on, else its backport."""
    try:
        from compression import zstd as module  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        from backports import zstd as module
    return module


class _Plain:
    def compress(self, data: Any) -> bytes:
        return bytes(data)

    def flush(self) -> bytes:
        return b""


class _Rest:
    """A stream of which the beginning has been read already."""

    def __init__(self, stream: Source, head: bytes) -> None:
        self._stream = stream
        self._head = head

    def read(self, size: int) -> bytes:
        if not self._head:
            return self._stream.read(size)
        data, self._head = self._head[:size], self._head[size:]
        return data


class _Members:
    """Compressed members one after the other, as parallel and seekable compressors write them."""

    def __init__(
        self, stream: Source, head: bytes, fresh: Callable[[], Any], most_ratio: int, beyond: int
    ) -> None:
        self._stream = stream
        self._input = head
        self._most_ratio, self._beyond = most_ratio, beyond
        self._taken, self._given = len(head), 0
        self._fresh = fresh
        self._member = fresh()
        self._ended = False

    def read(self, size: int) -> bytes:
        size = min(size, _CHUNK)
        while not self._ended:
            if self._member.eof and not self._next_member():
                break
            if self._member.needs_input and not self._input:
                self._input = self._more()
                if not self._input:
                    raise Corrupted("read layer", "blob", "it is cut off", "get the layer again")
            try:
                data: bytes = self._member.decompress(self._input, size)
            except Exception as error:  # each library has its own kind
                raise Corrupted(
                    "read layer", "blob", f"it is damaged: {error}", "get the layer again"
                ) from None
            self._input = b""
            if data:
                self._given += len(data)
                if self._given > self._beyond and self._given > self._taken * self._most_ratio:
                    raise BadInput(
                        "read layer",
                        "blob",
                        f"it unpacks to more than {self._most_ratio} times its size",
                        "do not trust it",
                    )
                return data
        return b""

    def _more(self) -> bytes:
        data = self._stream.read(_INPUT)
        self._taken += len(data)
        return data

    def _next_member(self) -> bool:
        """Begin the member that follows, if one does; tapes and disks pad the end with zeros."""
        rest = self._member.unused_data
        while not rest.strip(b"\0"):
            rest = self._more()
            if not rest:
                self._ended = True
                return False
        self._member = self._fresh()
        self._input = rest.lstrip(b"\0")
        return True
