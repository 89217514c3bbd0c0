"""Archives as ``docker save`` writes them: manifest.json, a config each, and layers as plain tars.

Source: moby, image/spec/v1.2.md, "Combined Image JSON + Filesystem Changeset Format".
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from sandcell.runtime.errors import BadInput, Corrupted, InvalidDocument
from sandcell.runtime.layer import tar_write
from sandcell.runtime.layer.compress import decompress
from sandcell.runtime.layer.tasks import Squeezed
from sandcell.runtime.oci import media_types
from sandcell.runtime.oci.config import ImageConfig
from sandcell.runtime.oci.decode import decode, encode
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.manifest import Manifest
from sandcell.runtime.store.archive import Named, put_file
from sandcell.runtime.store.blobs import BlobStore
from sandcell.runtime.store.members import Member

if TYPE_CHECKING:
    from sandcell.runtime.store.store import Store

_MOST_LINKS = 10
_CHUNK = 1 << 20


class _Entry(msgspec.Struct, rename="pascal"):
    """One image of manifest.json. ``layers`` and ``config`` are names of members."""

    config: str
    layers: tuple[str, ...]
    repo_tags: tuple[str, ...] = ()


def take_docker(store: "Store", members: Mapping[str, Member]) -> list[tuple[str, Descriptor]]:
    """The images of a docker archive, their layers compressed once; each under each of its names.

    ``Corrupted`` where a layer is not the one its config tells of.
    """
    told = _member(members, "manifest.json").document("manifest.json")
    found: list[tuple[str, Descriptor]] = []
    known: dict[str, tuple[Digest, Descriptor]] = {}
    for entry in decode(tuple[_Entry, ...], told, object="manifest.json"):
        data = _member(members, entry.config).document(entry.config)
        config = decode(ImageConfig, data, object=entry.config)
        if len(config.rootfs.diff_ids) != len(entry.layers):
            cause = (
                f"{len(entry.layers)} layers are listed, its config tells of {len(config.rootfs.diff_ids)}"
            )
            raise InvalidDocument("load", entry.config, cause)
        layers = []
        for name, expected in zip(entry.layers, config.rootfs.diff_ids, strict=True):
            if name not in known:
                known[name] = _layer(store, _member(members, name))
            diff_id, descriptor = known[name]
            if diff_id != expected:
                raise Corrupted("load", name, f"the layer holds {diff_id}, not {expected}", "save it again")
            layers.append(descriptor)
        # The config's bytes stay as they are: their digest is docker's image id.
        kept = store.blobs.put_bytes(data, media_types.CONFIG)
        manifest = Manifest(config=kept, layers=tuple(layers))
        descriptor = store.blobs.put_bytes(encode(manifest), media_types.MANIFEST)
        found += [(name, descriptor) for name in entry.repo_tags or ("",)]
    return found


def save_docker(blobs: BlobStore, images: Iterable[Named], out: BinaryIO) -> None:
    """Write images with their names as a docker archive. Equal arguments give equal bytes.

    Layers are written uncompressed and compared with their ``diff_id``: ``Corrupted``.
    """
    listed = []
    written: set[str] = set()
    for image, references, _ in images:
        config = image.manifest.config.digest
        document = f"{config.hex}.json"
        layers = [f"{layer.diff_id.hex}.tar" for layer in image.layers]
        names = [reference.familiar for reference in references]
        listed.append({"Config": document, "RepoTags": names, "Layers": layers})
        if document not in written:
            written.add(document)
            put_file(out, document, blobs.read(config))
        for layer in image.layers:
            name = f"{layer.diff_id.hex}.tar"
            if name not in written:
                written.add(name)
                _write_layer(blobs, layer.descriptor.digest, layer.diff_id, name, out)
    put_file(out, "manifest.json", msgspec.json.encode(listed))
    out.write(tar_write.END)


def _write_layer(blobs: BlobStore, digest: Digest, diff_id: Digest, name: str, out: BinaryIO) -> None:
    # Twice: the size stands in front, and a part of a wrong layer helps nobody.
    hasher, size = diff_id.hasher(), 0
    with blobs.open(digest) as file:
        plain = decompress(file)
        while data := plain.read(_CHUNK):
            hasher.update(data)
            size += len(data)
    if Digest.from_hasher(hasher) != diff_id:
        raise Corrupted("save", digest, "the layer is not the one of its config", "get the image again")
    out.write(tar_write.header(name.encode(), b"0", mode=0o644, size=size))
    with blobs.open(digest) as file:
        plain = decompress(file)
        while data := plain.read(_CHUNK):
            out.write(data)
    out.write(bytes(-size % tar_write.BLOCK))


def _layer(store: "Store", member: Member) -> tuple[Digest, Descriptor]:
    """The diff_id of a layer and its blob, compressed here."""
    with member.open() as file:
        diff_id, _, descriptor = squeeze(store.blobs, file)
    return diff_id, descriptor


def squeeze(blobs: BlobStore, file: BinaryIO) -> tuple[Digest, int, Descriptor]:
    """A tar, compressed or not, becomes a layer of the store: its diff_id, bytes uncompressed, blob."""
    plain = decompress(file)
    hasher, size = hashlib.sha256(), 0
    with blobs.writer() as writer:
        layer = Squeezed(writer, "gzip")
        while data := plain.read(_CHUNK):
            hasher.update(data)
            size += len(data)
            layer.write(data)
        layer.finish()
        descriptor = writer.commit(media_types.LAYER_GZIP)
    return Digest.from_hasher(hasher), size, descriptor


def _member(members: Mapping[str, Member], name: str) -> Member:
    wanted = name
    for _ in range(_MOST_LINKS):
        member = members.get(wanted.removeprefix("./"))
        if member is None:
            raise BadInput("load", name, "the archive names this file and does not hold it", "save it again")
        if not member.link:
            return member
        wanted = member.link
    raise BadInput("load", name, "its links lead nowhere")
