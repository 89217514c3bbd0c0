"""Giving disk space back: what no name, lease or cached step leads to, and what the dead left behind."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from sandcell.runtime.errors import SandcellError
from sandcell.runtime.oci.config import ImageConfig
from sandcell.runtime.oci.decode import decode
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.image import chain_ids
from sandcell.runtime.oci.manifest import Index, Manifest
from sandcell.runtime.store import images
from sandcell.runtime.store.worker import Here, Worker

if TYPE_CHECKING:
    from sandcell.runtime.store.store import Store


class Pruned(msgspec.Struct, frozen=True):
    """What was deleted: blobs by digest, snapshots as ``snapshot KEY``, files that were never finished, as
    those of a pull that was cut off, as ``unfinished NAME``; and the bytes that they took."""

    removed: tuple[str, ...] = ()
    size: int = 0


def prune(
    store: "Store",
    worker: Worker | None = None,
    *,
    cache: bool = False,
    keep: Iterable[Digest] = (),
    dry_run: bool = False,
) -> Pruned:
    """Delete blobs and snapshots that nothing leads to, and files of processes that died.

    Whatever a live process wrote or asked for since it began its work stays. ``cache``: forget what
    build steps made first, so that only named images stay. ``keep``: digests that somebody else
    needs. ``dry_run``: only tell what would be deleted. May be repeated or interrupted at any time.
    """
    unfinished = store.litter.clear(dry_run=dry_run)
    working_since = store.leases.oldest_work()
    if cache and not dry_run:
        store.cache.clear()
    named = (root.digest for root in store.names.roots())
    live = _reachable(store, (*named, *(() if cache else store.cache.digests()), *keep))
    removed = [f"unfinished {name}" for name in unfinished]
    size = sum(unfinished.values())
    for digest in list(store.blobs.list()):
        if digest not in live:
            freed = store.blobs.delete(digest, unused_since=working_since, dry_run=dry_run)
            if freed is not None:
                removed.append(str(digest))
                size += freed
    for key in sorted(set(store.snapshots.keys())):
        record = store.snapshots.record(key)
        if record is None or record.chain_id not in live:
            freed = store.snapshots.delete(key, worker or Here(), unused_since=working_since, dry_run=dry_run)
            if freed is not None:
                removed.append(f"snapshot {key}")
                size += freed
    return Pruned(tuple(removed), size)


def _reachable(store: "Store", roots: Iterable[Digest]) -> set[Digest]:
    """The digests of all blobs below ``roots``, and the chain ids of all images among them."""
    live: set[Digest] = set()
    seen: set[Digest] = set()
    waiting = list(roots)
    while waiting:
        digest = waiting.pop()
        if digest in seen:
            continue
        seen.add(digest)
        live.add(digest)
        document = images.document(store.blobs, digest)
        if isinstance(document, Index):
            waiting += [entry.digest for entry in document.manifests]
        elif document is not None:
            live.add(document.config.digest)
            live.update(layer.digest for layer in document.layers)
            live.update(_chain(store, document))
    return live


def _chain(store: "Store", manifest: Manifest) -> tuple[Digest, ...]:
    try:
        data = store.blobs.read(manifest.config.digest)
        return chain_ids(decode(ImageConfig, data, object="config").rootfs.diff_ids)
    except SandcellError:
        return ()
