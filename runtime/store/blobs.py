"""Content by digest: ``blobs/<algorithm>/<hex>`` of an OCI image layout."""

import os
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

from sandcell.runtime.errors import BlobNotFound, Corrupted
from sandcell.runtime.layer.disk import refused
from sandcell.runtime.linux.durable import sync_directory
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.store.files import Litter, Locks, write_all

if TYPE_CHECKING:
    from hashlib import _Hash

_CHUNK = 1 << 20


class BlobStore:
    """Blobs are never changed, only added and deleted. ``path``: the directory ``blobs``; ``shared``: those
    of other stores, in which blobs are only read."""

    def __init__(self, path: str, litter: Litter, locks: Locks, shared: Sequence[str] = ()) -> None:
        self._path = path
        self._shared = shared
        self._litter = litter
        self._locks = locks

    def path(self, digest: Digest) -> str:
        """Where the blob lies, or would lie."""
        own = self.own(digest)
        if not self._shared or os.path.exists(own):
            return own
        return self._shared_path(digest) or own

    def own(self, digest: Digest) -> str:
        """Where the blob lies in this store, or would lie."""
        return f"{self._path}/{digest.algorithm}/{digest.hex}"

    def shared(self, digest: Digest) -> bool:
        """Has another store it?"""
        return bool(self._shared_path(digest))

    def _shared_path(self, digest: Digest) -> str:
        paths = (f"{folder}/{digest.algorithm}/{digest.hex}" for folder in self._shared)
        return next(filter(os.path.exists, paths), "")

    def has(self, digest: Digest) -> bool:
        """Is it here? Its bytes are not looked at."""
        return os.path.exists(self.path(digest))

    def size(self, digest: Digest) -> int:
        """Its size in bytes; ``BlobNotFound``."""
        try:
            return os.stat(self.path(digest)).st_size
        except FileNotFoundError:
            raise _missing(digest) from None

    def open(self, digest: Digest) -> BinaryIO:
        """The blob as a binary file, not verified; ``BlobNotFound``."""
        try:
            return open(self.path(digest), "rb")
        except FileNotFoundError:
            raise _missing(digest) from None
        except OSError as error:
            raise refused(error, "read blob", digest) from error

    def read(self, digest: Digest) -> bytes:
        """All its bytes, verified: ``Corrupted`` if they are not those of ``digest``."""
        with self.open(digest) as file:
            data = file.read()
        _compare(digest, digest.again(data))
        return data

    def verify(self, digest: Digest) -> None:
        """Read it through; ``Corrupted`` or ``BlobNotFound`` tell what is wrong."""
        hasher = digest.hasher()
        with self.open(digest) as file:
            while data := file.read(_CHUNK):
                hasher.update(data)
        _compare(digest, Digest.from_hasher(hasher))

    def list(self) -> Iterator[Digest]:
        """The digests of all blobs of this store, in no order."""
        for algorithm in ("sha256", "sha512"):
            try:
                names = os.listdir(f"{self._path}/{algorithm}")
            except FileNotFoundError:
                continue
            for name in names:
                yield Digest(f"{algorithm}:{name}")

    def put_bytes(self, data: bytes, media_type: str) -> Descriptor:
        """Store ``data``. What is there already, and whole, is only marked as in use."""
        digest = Digest.of(data)
        with self._locks.hold("blobs", shared=True):
            try:
                with open(self.own(digest), "rb") as file:
                    known = file.read(len(data) + 1) == data
                if known:
                    os.utime(self.own(digest))
                    return Descriptor(media_type, digest, len(data))
            except FileNotFoundError:
                pass
        with self.writer() as writer:
            writer.write(data)
            return writer.commit(media_type)

    def touch(self, digest: Digest) -> bool:
        """Mark a blob as in use from now; ``False`` where it is not here.

        Within a working lease it then stays: call this for what a cache told of.
        """
        with self._locks.hold("blobs", shared=True):
            try:
                os.utime(self.own(digest))
            except FileNotFoundError:
                return self.shared(digest)
            return True

    def writer(self, resume: Digest | None = None) -> "BlobWriter":
        """A new blob; use it in a with statement. Without ``commit`` nothing remains of it.

        ``resume``: its digest, where that is known before. Then without ``commit`` what was written stays
        until ``prune``, also when this process is killed, and the next writer goes on behind it.
        """
        return BlobWriter(self, self._litter, self._locks, resume)

    def delete(self, digest: Digest, *, unused_since: int | None = None, dry_run: bool = False) -> int | None:
        """Forget the blob; tells its size in bytes. Use ``prune``, which knows what is in use.

        ``None`` where it is not here, or was written or touched at ``unused_since`` (nanoseconds) or later.
        ``dry_run``: it stays all the same.
        """
        path = self.own(digest)
        # Alone: nobody finds it here, and means to use it, while it goes.
        with self._locks.hold("blobs"):
            try:
                status = os.stat(path)
                if unused_since is not None and status.st_mtime_ns >= unused_since:
                    return None
                if not dry_run:
                    os.unlink(path)
            except FileNotFoundError:
                return None
        return status.st_size


class BlobWriter:
    """A blob being written. ``path``: the temporary file, for who writes it in another process; ``size``:
    bytes that are there."""

    def __init__(self, blobs: BlobStore, litter: Litter, locks: Locks, resume: Digest | None = None) -> None:
        self._blobs = blobs
        self._locks = locks
        self._hasher = Digest.fresh()
        self.size = 0
        try:
            # Who comes second while another one writes the same has a file of its own.
            known = litter.named(f"{resume.algorithm}-{resume.hex}") if resume is not None else None
            self._kept = known is not None
            self.path, self._fd = known or litter.new()
            while data := os.read(self._fd, _CHUNK):
                self._hasher.update(data)
                self.size += len(data)
        except OSError as error:
            raise refused(error, "write", "blob") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd >= 0:
            if not (self._kept and self.size):
                os.unlink(self.path)
            os.close(self._fd)
            self._fd = -1

    def written(self) -> Iterator[bytes]:
        """What is there, in pieces, from the beginning."""
        at = 0
        while at < self.size and (data := os.pread(self._fd, _CHUNK, at)):
            yield data
            at += len(data)

    def clear(self) -> None:
        """Begin anew: nothing of what was written stays."""
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        self._hasher = Digest.fresh()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Append ``data``, all or nothing; ``StoreFull``."""
        try:
            write_all(self._fd, data)
        except OSError as error:
            os.ftruncate(self._fd, self.size)
            os.lseek(self._fd, self.size, os.SEEK_SET)
            raise refused(error, "write", "blob") from error
        self._hasher.update(data)
        self.size += len(data)

    def commit(self, media_type: str, expected: Descriptor | Digest | None = None) -> Descriptor:
        """Give the blob its name; durable when this returns.

        ``expected``: the digest it must have, or a descriptor with that and the size: ``Corrupted``
        otherwise, and nothing is stored. A blob that was here already is replaced by this equal one.
        """
        hasher = self._hasher
        if expected is not None:
            digest = expected if isinstance(expected, Digest) else expected.digest
            if digest.algorithm != "sha256":
                hasher = self._hash_again(digest)
            _compare(digest, Digest.from_hasher(hasher))
        if isinstance(expected, Descriptor) and expected.size != self.size:
            raise Corrupted(
                "verify", expected.digest, f"{self.size} bytes came, {expected.size} were promised"
            )
        return self.adopt(Descriptor(media_type, Digest.from_hasher(hasher), self.size))

    def adopt(self, written: Descriptor) -> Descriptor:
        """Give the file its name as it is: it was written through ``path``, and hashed there. What another
        store has is not kept twice."""
        if self._blobs.shared(written.digest):
            return written
        path = self._blobs.own(written.digest)
        try:
            os.fsync(self._fd)
            with self._locks.hold("blobs", shared=True):
                # Also its time: a lease protects what is newer than itself.
                os.utime(self.path)
                if written.digest.algorithm != "sha256":
                    os.makedirs(os.path.dirname(path), exist_ok=True)
                os.rename(self.path, path)
            os.close(self._fd)
            self._fd = -1
            sync_directory(os.path.dirname(path))
        except OSError as error:
            raise refused(error, "write", written.digest) from error
        return written

    def _hash_again(self, digest: Digest) -> "_Hash":
        hasher = digest.hasher()
        os.lseek(self._fd, 0, os.SEEK_SET)
        while data := os.read(self._fd, _CHUNK):
            hasher.update(data)
        return hasher


def _compare(expected: Digest, found: Digest) -> None:
    if expected != found:
        raise Corrupted(
            "verify", expected, f"its bytes are those of {found}", "build or load the image again"
        )


def _missing(digest: Digest) -> BlobNotFound:
    return BlobNotFound("read blob", digest, "it is not in the store", "build or load the image again")
