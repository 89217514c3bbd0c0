"""Content hashes: ``sha256:`` and 64 hexadecimal digits (image-spec, descriptor.md, "Digests")."""

import re
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Self

from sandcell.runtime.errors import InvalidDigest

if TYPE_CHECKING:
    from hashlib import _Hash

_LENGTHS = {"sha256": 64, "sha512": 128}
_HEX = re.compile(r"[0-9a-f]+")
_SMALL = 1 << 16


class Digest(str):
    """The name of some bytes: ``algorithm:hex``. A plain string everywhere a string is wanted.

    Make one with ``Digest.parse`` (from text) or ``Digest.of`` (from bytes); the constructor itself
    does not check.
    """

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """The digest written in ``text``; ``InvalidDigest`` if it is none that we can verify."""
        algorithm, colon, digits = text.partition(":")
        length = _LENGTHS.get(algorithm)
        if not colon or length is None:
            raise InvalidDigest("read digest", text[:100], "it does not start with sha256: or sha512:")
        if len(digits) != length or not _HEX.fullmatch(digits):
            raise InvalidDigest(
                "read digest",
                text[:160],
                f"after {algorithm}: there must be {length} digits 0-9a-f, here are {len(digits)} characters",
            )
        return cls(text)

    @classmethod
    def of(cls, data: bytes | bytearray | memoryview) -> Self:
        """The sha256 of ``data``."""
        if len(data) > _SMALL:
            import hashlib

            return cls("sha256:" + hashlib.sha256(data).hexdigest())
        return cls("sha256:" + _small_sha256()(data).hexdigest())

    def again(self, data: bytes) -> "Digest":
        """The digest of ``data`` by this one's algorithm."""
        if self.algorithm == "sha256":
            return Digest.of(data)
        hasher = self.hasher()
        hasher.update(data)
        return Digest.from_hasher(hasher)

    @staticmethod
    def fresh() -> "_Hash":
        """A hashlib object for bytes that shall get a digest."""
        import hashlib

        return hashlib.sha256()

    @classmethod
    def from_hasher(cls, hasher: "_Hash") -> Self:
        """The digest a hashlib object has reached."""
        return cls(f"{hasher.name}:{hasher.hexdigest()}")

    @property
    def algorithm(self) -> str:
        """``sha256`` or ``sha512``."""
        return self.partition(":")[0]

    @property
    def hex(self) -> str:
        """The digits after the colon."""
        return self.partition(":")[2]

    def hasher(self) -> "_Hash":
        """A fresh hashlib object of this digest's algorithm, to verify bytes against it."""
        import hashlib

        return hashlib.new(self.algorithm)


@cache
def _small_sha256() -> Callable[[bytes | bytearray | memoryview], "_Hash"]:
    """Python's own: hashlib would load OpenSSL, which is faster, but a start does without."""
    try:
        from _sha2 import sha256  # type: ignore[import-not-found, unused-ignore]
    except ImportError:  # before Python 3.12
        from _sha256 import sha256  # type: ignore[import-not-found, unused-ignore]
    found: Callable[[bytes | bytearray | memoryview], _Hash] = sha256
    return found
