"""Layers of one image that become directories which nobody sees yet, several at once."""

import os
from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from sandcell.runtime.errors import BlobNotFound
from sandcell.runtime.layer.disk import refused
from sandcell.runtime.layer.whiteout import XattrFlavour
from sandcell.runtime.linux.idmap import IdMap
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.image import Layer
from sandcell.runtime.store.blobs import BlobStore
from sandcell.runtime.store.worker import REMOVE, UNPACK, Worker

_AT_ONCE = 2


class SnapshotRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept beside a snapshot.

    ``size``: bytes of the layer uncompressed; ``approximated``: paths whose owner, attribute or device
    this host could not give (the first hundred).
    """

    chain_id: Digest
    id_map: str
    flavour: str
    size: int = 0
    entries: int = 0
    approximated: tuple[str, ...] = ()


def discard(worker: Worker, path: str) -> None:
    """Delete an unpacked tree, if there is one."""
    if os.path.lexists(path):
        worker.run(REMOVE, {"path": path})


class Unpacking:
    """``paths``: for each layer, lowest first, the directory where it is or shall be; ``missing``: the
    numbers (from 0) of those that shall. Layers of different numbers may be unpacked at once.

    Most layers tell everything of their files, so they need not wait for what is below. One that turns out
    to need it, or whose root directory is another one than was assumed, is unpacked again by ``rest``.
    """

    def __init__(
        self,
        blobs: BlobStore,
        layers: Sequence[Layer],
        paths: Sequence[str],
        missing: Collection[int],
        idmap: IdMap,
        flavour: XattrFlavour,
        worker: Worker,
    ) -> None:
        self._blobs = blobs
        self._layers = layers
        self._paths = list(paths)
        self._missing = sorted(missing)
        self._idmap = idmap
        self._flavour = flavour
        self._worker = worker
        self._done: dict[int, dict[str, Any]] = {}

    def one(self, at: int, stream: int) -> None:
        """Unpack layer ``at``, whose compressed bytes the descriptor ``stream`` gives, and verify it.
        ``Corrupted``, ``BadInput``, ``StoreFull``."""
        self._one(at, stream, alone=at == self._missing[0], ahead=True)

    def rest(self) -> dict[int, SnapshotRecord]:
        """Unpack what is not yet, from the store's blobs; gives what is known of all that were missing.
        Errors as ``one``; ``BlobNotFound``."""
        waiting = [at for at in self._missing if at not in self._done]
        if len(waiting) > 1:
            from concurrent.futures import ThreadPoolExecutor  # slow to load, and a run unpacks seldom

            with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="unpack") as pool:
                for _ in pool.map(self._stored, waiting):
                    pass
        for at in self._missing:
            if not self._right(at):
                self._stored(at, alone=True)
        return {at: self._record(at) for at in self._missing}

    def discard(self) -> None:
        """Delete what was unpacked and has not moved away."""
        for at in self._missing:
            discard(self._worker, self._paths[at])

    def _right(self, at: int) -> bool:
        done = self._done.get(at)
        if done is None:
            return False
        if done["alone"] or done["rooted"]:
            return True
        from sandcell.runtime.layer.tasks import PLAIN

        below = self._done.get(at - 1)
        return below is not None and tuple(below["root"]) == PLAIN

    def _stored(self, at: int, *, alone: bool = False) -> None:
        digest = self._layers[at].descriptor.digest
        try:
            stream = os.open(self._blobs.path(digest), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise BlobNotFound(
                "unpack", digest, "this layer is not in the store", "build or load the image again"
            ) from None
        except OSError as error:
            raise refused(error, "read blob", digest) from error
        try:
            self._one(at, stream, alone=alone or at == self._missing[0])
        finally:
            os.close(stream)

    def _one(self, at: int, stream: int, *, alone: bool, ahead: bool = False) -> None:
        """``alone``: all below is complete; ``ahead``: somebody waits for the stream."""
        target = self._paths[at]
        self._done.pop(at, None)
        discard(self._worker, target)
        payload = {
            "target": target,
            "diff_id": str(self._layers[at].diff_id),
            "flavour": self._flavour,
            "lowers": self._paths[:at] if alone else None,
            "recorded_owners": self._idmap.single,
            "ahead": ahead,
        }
        done = self._worker.run(UNPACK, payload, stream)
        if done is not None:
            self._done[at] = {**done, "alone": alone}

    def _record(self, at: int) -> SnapshotRecord:
        done = self._done[at]
        return SnapshotRecord(
            chain_id=self._layers[at].chain_id,
            id_map=self._idmap.key,
            flavour=self._flavour,
            size=done["size"],
            entries=done["entries"],
            approximated=tuple(done["approximated"]),
        )
