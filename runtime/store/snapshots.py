"""Layers unpacked, as the read-only directories that containers stand on.

A snapshot is one layer over a given stack, so its key comes from the chain id; files are owned by
mapped ids and marked in one flavour of attributes, so it comes from these too. Containers only ever
read them: nothing in them is linked, moved or handed out for writing.
"""

import base64
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache

import msgspec

from sandcell.runtime.errors import HostRefused, InvalidDocument, SandcellError
from sandcell.runtime.layer.disk import refused
from sandcell.runtime.layer.whiteout import XattrFlavour
from sandcell.runtime.linux.durable import sync_directory
from sandcell.runtime.linux.idmap import IdMap
from sandcell.runtime.linux.syscall import fail, libc
from sandcell.runtime.oci.decode import decode, encode
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.image import Image, Layer
from sandcell.runtime.store.arriving import Arriving
from sandcell.runtime.store.blobs import BlobStore
from sandcell.runtime.store.files import Litter, Locks, replace
from sandcell.runtime.store.unpacking import SnapshotRecord, Unpacking, discard
from sandcell.runtime.store.worker import REMOVE, Here, Worker

_NEW = ".new-"
_OWN = "-"
"""Between the key and the mark of somebody who unpacks what he pulls."""
_KEY_LENGTH = 20


class Snapshot(msgspec.Struct, frozen=True):
    """A layer on disk, in overlay form, complete. ``path``: its directory."""

    key: str
    path: str
    chain_id: Digest


@lru_cache(256)
def snapshot_key(chain_id: Digest, idmap: IdMap, flavour: XattrFlavour) -> str:
    """The name of a snapshot: short, for a mount of 127 of them must fit in one page of options."""
    text = f"{chain_id} {idmap.key} {flavour}"
    found = bytes.fromhex(Digest.of(text.encode()).hex)
    return base64.b32encode(found).decode().lower()[:_KEY_LENGTH]


class Snapshots:
    """``path``: the directory of snapshots; ``shared``: those of other stores, whose complete ones are
    used."""

    def __init__(
        self, path: str, blobs: BlobStore, litter: Litter, locks: Locks, shared: Sequence[str] = ()
    ) -> None:
        self._path = path
        self._shared = shared
        self._blobs = blobs
        self._litter = litter
        self._locks = locks

    def ensure(
        self, image: Image, idmap: IdMap, flavour: XattrFlavour, worker: Worker | None = None
    ) -> tuple[Snapshot, ...]:
        """The snapshots of an image's layers, lowest first; unpacks those that are missing.

        Of several callers one unpacks and the others wait. ``BlobNotFound``, ``Corrupted``,
        ``StoreFull``, and then nothing half-done can be seen. An image without layers has none.
        """
        layers = image.layers
        found = [self._snapshot(layer.chain_id, idmap, flavour) for layer in layers]
        missing = [at for at, snapshot in enumerate(found) if not self._ready(snapshot)]
        if missing:
            try:
                self._unpack(layers, found, missing[0], idmap, flavour, worker or Here())
            except OSError as error:
                raise refused(error, "unpack", image.digest) from error
        return tuple(found)

    @contextmanager
    def arriving(
        self, image: Image, idmap: IdMap, flavour: XattrFlavour, worker: Worker | None = None
    ) -> Iterator[Arriving]:
        """Unpack the layers of ``image`` that are missing while their bytes come, in a with statement.

        Nobody waits for whoever pulls: they go to directories of their own, and ``Arriving.finish`` lets
        them be seen, unless somebody else was quicker. Without it nothing remains.
        """
        worker = worker or Here()
        layers = image.layers
        found = [self._snapshot(layer.chain_id, idmap, flavour) for layer in layers]
        missing = [at for at, snapshot in enumerate(found) if not self._ready(snapshot)]
        mark = os.urandom(4).hex()
        paths = [snapshot.path for snapshot in found]
        for at in missing:
            paths[at] = f"{self._path}/{_NEW}{found[at].key}{_OWN}{mark}"
        unpacking = Unpacking(self._blobs, layers, paths, missing, idmap, flavour, worker)

        def finish() -> None:
            records = unpacking.rest() if missing else {}
            if records:
                self._settle(records, paths, found, worker)

        # Of equal layers one is unpacked while it comes, the others from the store.
        numbers = {layers[at].descriptor.digest: at for at in reversed(missing)}
        arriving = Arriving(unpacking, numbers, finish)
        with ExitStack() as held:
            for at in missing:
                name = _lock(f"{found[at].key}{_OWN}{mark}")
                # It tells `prune` that the directory is in use.
                held.callback(self._locks.forget, name)
                held.enter_context(self._locks.hold(name))
            try:
                yield arriving
            finally:
                arriving.close()
                with suppress(HostRefused):  # `prune` comes by
                    unpacking.discard()

    def _settle(
        self,
        records: Mapping[int, SnapshotRecord],
        paths: Sequence[str],
        found: Sequence[Snapshot],
        worker: Worker,
    ) -> None:
        try:
            _sync_filesystem(self._path)
            for at, record in records.items():
                with self._locks.attempt(_lock(found[at].key)) as alone:
                    # Whoever holds it unpacks the same, or just did.
                    if alone and not self._ready(found[at]):
                        self._move(paths[at], found[at], record, worker)
        except OSError as error:
            raise refused(error, "unpack", found[-1].chain_id) from error

    def adopt(
        self, upper: str, chain_id: Digest, idmap: IdMap, flavour: XattrFlavour, size: int, entries: int
    ) -> bool:
        """Let the writable directory ``upper`` become the snapshot of the layer just packed from it.

        It moves, so nobody may use it any more. Saves unpacking what a build step wrote; ``False``,
        and ``upper`` stays, where there is one already or the directory cannot move.
        """
        snapshot = self._snapshot(chain_id, idmap, flavour)
        with self._locks.hold(_lock(snapshot.key)):
            if self._ready(snapshot) or os.path.lexists(snapshot.path):
                return False
            _sync_filesystem(os.path.dirname(upper))
            try:
                os.rename(upper, snapshot.path)
            except OSError:
                return False
            record = SnapshotRecord(
                chain_id=chain_id, id_map=idmap.key, flavour=flavour, size=size, entries=entries
            )
            self._complete(snapshot, record)
        return True

    def record(self, key: str) -> SnapshotRecord | None:
        """What is kept beside the snapshot ``key``; ``None`` where it is not complete."""
        try:
            with open(f"{self._path}/{key}.json", "rb") as file:
                return decode(SnapshotRecord, file.read(), object=key)
        except (FileNotFoundError, InvalidDocument):
            return None

    def keys(self) -> Iterator[str]:
        """Of all snapshots, complete or not."""
        names = os.listdir(self._path)
        yield from {name.removeprefix(_NEW).removesuffix(".json") for name in names}

    def used(self, key: str) -> int:
        """When a complete snapshot was last asked for, in nanoseconds; 0 for one that is not complete."""
        try:
            return os.stat(f"{self._path}/{key}.json").st_mtime_ns
        except FileNotFoundError:
            return 0

    def delete(
        self, key: str, worker: Worker, *, unused_since: int | None = None, dry_run: bool = False
    ) -> int | None:
        """Delete a snapshot, complete or not; tells its size as recorded, else the bytes of the files in it.

        ``None``, and it stays, while somebody unpacks it or where it was asked for after ``unused_since``.
        ``dry_run``: it stays all the same.
        """
        with self._locks.attempt(_lock(key)) as alone:
            if not alone or (unused_since is not None and self.used(key) >= unused_since):
                return None
            record = self.record(key)
            places = (f"{self._path}/{key}", f"{self._path}/{_NEW}{key}")
            size = record.size if record else sum(map(_bytes, places))
            if dry_run:
                return size
            # First what says that it is complete.
            if record is not None or self.used(key):
                os.unlink(f"{self._path}/{key}.json")
                sync_directory(self._path)
            for path in places:
                worker.run(REMOVE, {"path": path})
            if _OWN in key:
                self._locks.forget(_lock(key))
        return size

    def _snapshot(self, chain_id: Digest, idmap: IdMap, flavour: XattrFlavour) -> Snapshot:
        key = snapshot_key(chain_id, idmap, flavour)
        own = f"{self._path}/{key}"
        paths = (f"{folder}/{key}" for folder in self._shared)
        return Snapshot(key, next((path for path in paths if os.path.exists(f"{path}.json")), own), chain_id)

    def _ready(self, snapshot: Snapshot) -> bool:
        """Is it complete? Marks one of this store as in use from now."""
        if not snapshot.path.startswith(f"{self._path}/"):
            return True
        try:
            os.utime(f"{snapshot.path}.json")
        except FileNotFoundError:
            return False
        return True

    def _unpack(
        self,
        layers: Sequence[Layer],
        found: Sequence[Snapshot],
        first: int,
        idmap: IdMap,
        flavour: XattrFlavour,
        worker: Worker,
    ) -> None:
        """Unpack what is missing from ``first`` on; one sync for all, then the names from the bottom up."""
        paths = [snapshot.path for snapshot in found]
        missing: list[int] = []
        with ExitStack() as held:
            for at in range(first, len(layers)):
                # Always from the bottom up, so two who share layers cannot wait for each other.
                held.enter_context(self._locks.hold(_lock(found[at].key)))
                if self._ready(found[at]):
                    continue
                # Moved only within its directory: one that an image made read-only could not leave it.
                paths[at] = f"{self._path}/{_NEW}{found[at].key}"
                missing.append(at)
            if not missing:
                return
            unpacking = Unpacking(self._blobs, layers, paths, missing, idmap, flavour, worker)
            try:
                records = unpacking.rest()
                _sync_filesystem(self._path)
                for at, record in records.items():
                    self._move(paths[at], found[at], record, worker)
            except SandcellError:
                unpacking.discard()
                raise

    def _move(self, path: str, snapshot: Snapshot, record: SnapshotRecord, worker: Worker) -> None:
        """Let a synced directory be the snapshot; call this with its lock held."""
        discard(worker, snapshot.path)
        os.rename(path, snapshot.path)
        self._complete(snapshot, record)

    def _complete(self, snapshot: Snapshot, record: SnapshotRecord) -> None:
        replace(f"{self._path}/{snapshot.key}.json", encode(record), self._litter)


def _bytes(path: str) -> int:
    """Bytes of the files below ``path``, as far as we may look; hard links count once."""
    found: dict[int, int] = {}
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                status = os.lstat(f"{folder}/{name}")
                found[status.st_ino] = status.st_size
    return sum(found.values())


def _lock(key: str) -> str:
    return f"snapshot-{key}"


def _sync_filesystem(path: str) -> None:
    """All that was written to the file system of ``path`` reaches the disk: syncfs(2)."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if libc.syncfs(fd) != 0:
            fail("syncfs")
    finally:
        os.close(fd)
