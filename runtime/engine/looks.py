"""Images looked at closely: their files, how two differ, what is wasted in one, and who shares what."""

import hashlib
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from sandcell.runtime.build.image_files import ImageFiles, LayerBlob
from sandcell.runtime.engine import insides, record
from sandcell.runtime.layer.tree import Change, Entry, compare, order
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.image import Image
from sandcell.runtime.store.prune import Pruned

if TYPE_CHECKING:
    from sandcell.runtime.engine.engine import Engine


class Wasted(msgspec.Struct, frozen=True):
    """Bytes that nobody can read any more: ``path`` of a layer below, replaced (``C``) or deleted (``D``)
    by layer ``number`` (from 1, the lowest). Of a deleted directory the bytes of all files in it."""

    path: str
    size: int
    number: int
    change: str


class Waste(msgspec.Struct, frozen=True):
    """What an image carries for nothing. ``files``: the largest first; ``total``: bytes of all files of
    all layers, of which ``wasted`` are hidden by upper layers. Bytes are counted uncompressed."""

    files: tuple[Wasted, ...]
    wasted: int
    total: int

    @property
    def efficiency(self) -> float:
        """The share of the bytes that can be read, from 0 to 1."""
        return 1 - self.wasted / self.total if self.total else 1.0


class ImageUse(msgspec.Struct, frozen=True):
    """One image on disk. ``size``: bytes of its blobs, of which ``shared`` belong to other images too and
    ``unique`` to it alone; ``containers``: how many were made of it."""

    names: tuple[str, ...]
    digest: Digest
    size: int
    shared: int
    unique: int
    containers: int


class Usage(msgspec.Struct, frozen=True):
    """What the store holds: ``blobs`` are bytes on disk, every blob once; ``unpacked`` bytes of the layers'
    directories; ``prunable`` what ``prune`` would delete."""

    images: tuple[ImageUse, ...]
    blobs: int
    unpacked: int
    prunable: Pruned


def files(engine: "Engine", name: str) -> tuple[Entry, ...]:
    """See ``Engine.image_files``."""
    return tuple(_files(engine, engine.image(name)).tree.entries.values())


def diff(engine: "Engine", old: str, new: str) -> tuple[Change, ...]:
    """See ``Engine.image_diff``."""
    images = engine.image(old), engine.image(new)
    below, above = (_files(engine, image) for image in images)
    found = {change.path: change for change in compare(below.tree, above.tree)}
    sources = [_sources(engine, image) for image in images]
    # Equal from outside. The same bytes for certain only where the same layer on the same stack brought them.
    doubtful = [
        path
        for path, entry in above.tree.entries.items()
        if entry.kind == "file" and entry.size and path not in found and path in below.tree.entries
        and sources[0].get(path) != sources[1].get(path)
    ]  # fmt: skip
    if doubtful:
        hashes = _hashes(below, doubtful)
        for path, digest in _hashes(above, doubtful).items():
            if hashes.get(path) != digest:
                found[path] = Change("C", path, above.tree.entries[path])
    return tuple(sorted(found.values(), key=lambda change: order(change.path)))


def waste(engine: "Engine", name: str) -> Waste:
    """See ``Engine.image_waste``."""
    image = engine.image(name)
    wasted: list[Wasted] = []
    total = 0
    for number in range(1, len(image.layers) + 1):
        layer = insides.layer_files(engine, image, number)
        kinds = {change.path: change.kind for change in layer.changes}
        wasted += [Wasted(path, size, number, kinds[path]) for path, size in layer.wasted.items()]
        total += sum(
            change.entry.size
            for change in layer.changes
            # A hard link stands in a tree as the file it shares, and brings no bytes.
            if change.kind != "D" and change.entry.kind == "file" and not change.entry.link
        )
    wasted.sort(key=lambda one: (-one.size, one.path))
    return Waste(tuple(wasted), sum(one.size for one in wasted), total)


def usage(engine: "Engine") -> Usage:
    """See ``Engine.usage``."""
    store = engine.store.store
    names: dict[Digest, list[str]] = {}
    for entry in engine.images():
        names.setdefault(entry.digest, []).append(entry.name)
    parts = {digest: _parts(store.image(str(digest))) for digest in names}
    users = Counter(part for found in parts.values() for part in found)
    made = Counter(who.image_digest for who in record.every(engine.places))
    rows = []
    for digest, found in parts.items():
        size = sum(found.values())
        unique = sum(bytes for part, bytes in found.items() if users[part] == 1)
        rows.append(ImageUse(tuple(sorted(names[digest])), digest, size, size - unique, unique, made[digest]))
    unpacked = [store.snapshots.record(key) for key in store.snapshots.keys()]  # noqa: SIM118 - no dict
    return Usage(
        tuple(sorted(rows, key=lambda row: -row.size)),
        sum(store.blobs.size(digest) for digest in store.blobs.list()),
        sum(one.size for one in unpacked if one is not None),
        engine.prune(dry_run=True),
    )


def _parts(image: Image) -> dict[Digest, int]:
    """The blobs of an image, and their bytes."""
    blobs = (image.descriptor, image.manifest.config, *image.manifest.layers)
    return {blob.digest: blob.size for blob in blobs}


def _files(engine: "Engine", image: Image) -> ImageFiles:
    layers = [LayerBlob(layer.descriptor, layer.diff_id) for layer in image.layers]
    return ImageFiles(engine.store.store, layers, {})


def _sources(engine: "Engine", image: Image) -> dict[str, Digest]:
    """By path of each file: the chain id of the layer that brought it."""
    found: dict[str, Digest] = {}
    for number, layer in enumerate(image.layers, 1):
        for change in insides.layer_files(engine, image, number).changes:
            found[change.path] = layer.chain_id
    return found


def _hashes(files: ImageFiles, paths: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for path, pieces in files.stream(paths):
        hasher = hashlib.sha256()
        for piece in pieces:
            hasher.update(piece)
        found[path] = hasher.hexdigest()
    return found
