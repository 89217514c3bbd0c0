"""Images from elsewhere into the store: OCI layouts, OCI archives, docker archives, plain root file systems.

Nothing is believed: every blob is compared with its digest and size, every docker layer with the
``diff_id`` of its configuration. Names of an archive's members are only ever compared, never used as
paths. Sources: image-spec, image-layout.md; moby's image/spec/v1.2.md for docker archives.
"""

import os
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

import msgspec

from sandcell.runtime.errors import (
    BadInput,
    BlobNotFound,
    Corrupted,
    ImageNotFound,
    InvalidDocument,
    InvalidReference,
)
from sandcell.runtime.layer.disk import refused
from sandcell.runtime.oci import media_types
from sandcell.runtime.oci.decode import decode
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.image import Image
from sandcell.runtime.oci.manifest import Index, decode_manifest
from sandcell.runtime.oci.platform import Platform
from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.store.docker_archive import take_docker
from sandcell.runtime.store.members import LARGEST_DOCUMENT, Member, read_members
from sandcell.runtime.store.names import LAYOUT_VERSION

if TYPE_CHECKING:
    from sandcell.runtime.store.store import Store

DOCKER_NAME = "io.containerd.image.name"
"""Annotation in which docker and containerd keep the whole name (``ref.name`` then has only the tag)."""

Fetch: TypeAlias = Callable[[Descriptor], None]
"""Makes sure that the store holds a blob, verified."""

_MOST_IMAGES = 1000
_CHUNK = 1 << 20
_DEEPEST = 4


class Loaded(msgspec.Struct, frozen=True):
    """An image that was loaded. ``name``: the familiar name it has now."""

    name: str
    image: Image


def load(store: "Store", source: str | BinaryIO, name: str | None = None) -> tuple[Loaded, ...]:
    """Take all images of a layout directory, of an archive file, or of an archive read from ``source``.
    An index whose images are all there stays one; of another one the image for this machine is taken.

    ``name``: what to call a single image. ``BadInput`` for what is no such thing, or has no name and
    is given none; ``Corrupted`` where bytes are not what they are promised to be. Then no name was
    given or moved; blobs that came are left to ``prune``. Repeating it gives the same.
    """
    with store.leases.working():
        if isinstance(source, str):
            try:
                if os.path.isdir(source):
                    found = _layout(store, source)
                else:
                    with open(source, "rb") as file:
                        found = _archive(store, file, source)
            except OSError as error:
                raise refused(error, "load", source) from error
        else:
            found = _archive(store, source, "standard input")
        return _name(store, found, name)


def _name(store: "Store", found: list[tuple[str, Descriptor]], name: str | None) -> tuple[Loaded, ...]:
    """Give the names, when everything has been verified."""
    if not found:
        raise BadInput("load", name or "archive", "there is no image in it")
    if name is not None:
        if len({descriptor.digest for _, descriptor in found}) > 1:
            raise BadInput("load", name, f"there are {len(found)} images in it, and one name", "leave it out")
        found = [(name, found[0][1])]
    loaded = []
    for text, descriptor in found:
        image = store.load(descriptor)
        if not text:
            raise BadInput("load", image.digest, "the image has no name", "give it one: load --name NAME")
        loaded.append((_reference(text), descriptor, image))
    for reference, descriptor, _ in loaded:
        store.names.set(reference, descriptor)
    return tuple(Loaded(reference.familiar, image) for reference, _, image in loaded)


def _reference(text: str) -> Reference:
    try:
        reference = Reference.parse(text)
    except InvalidReference as error:
        raise BadInput("load", repr(text[:100]), error.cause, "name it yourself: load --name NAME") from None
    if reference.is_host:
        hint = "load it under another name: load --name NAME"
        raise BadInput("load", text, "host is this machine's own image and cannot be loaded", hint)
    return reference


# ---------------------------------------------------------------- a directory


def _layout(store: "Store", path: str) -> list[tuple[str, Descriptor]]:
    """An OCI layout: what its index leads to is copied."""

    def read(name: str) -> bytes:
        with _regular(f"{path}/{name}") as file:
            data = file.read(LARGEST_DOCUMENT + 1)
        if len(data) > LARGEST_DOCUMENT:
            raise InvalidDocument("read", name, "larger than 4 MiB")
        return data

    try:
        _check_marker(read("oci-layout"))
        index = decode(Index, read("index.json"), object="index.json")
    except FileNotFoundError as error:
        missing = os.path.basename(error.filename)
        raise BadInput("load", path, f"it is no OCI image layout: there is no {missing}") from None

    def fetch(descriptor: Descriptor) -> None:
        digest = descriptor.digest
        if store.blobs.touch(digest):
            return
        try:
            file = _regular(f"{path}/blobs/{digest.algorithm}/{digest.hex}")
        except FileNotFoundError:
            raise BlobNotFound("load", digest, f"{path} does not hold it", "copy the layout again") from None
        with file, store.blobs.writer() as writer:
            while data := file.read(_CHUNK):
                writer.write(data)
            writer.commit(descriptor.media_type, descriptor)

    return _entries(store, index, fetch)


def _regular(path: str) -> BinaryIO:
    """A file to read; a pipe or a device would never end."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    file = os.fdopen(fd, "rb")
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        file.close()
        raise BadInput("load", path, "it is no regular file")
    return file


# ---------------------------------------------------------------- an archive


def _archive(store: "Store", file: BinaryIO, told: str) -> list[tuple[str, Descriptor]]:
    members: dict[str, Member] = {}
    try:
        # One by one: those that came before an error are closed too.
        for name, member in read_members(store, file, told):
            members.update({name: member})
        if "index.json" in members and "oci-layout" in members:
            _check_marker(members["oci-layout"].document("oci-layout"))
            data = members["index.json"].document("index.json")
            return _entries(store, decode(Index, data, object="index.json"), lambda one: _held(store, one))
        if "manifest.json" in members:
            return take_docker(store, members)
    finally:
        for member in members.values():
            member.close()
    hint = "a root file system is taken by import"
    raise BadInput("load", told, "there is neither index.json nor manifest.json in it: no image", hint)


def _held(store: "Store", descriptor: Descriptor) -> None:
    if not store.blobs.touch(descriptor.digest):
        raise BlobNotFound("load", descriptor.digest, "the archive does not hold it", "save the image again")


# ---------------------------------------------------------------- what an index leads to


def _entries(store: "Store", index: Index, fetch: Fetch) -> list[tuple[str, Descriptor]]:
    if len(index.manifests) > _MOST_IMAGES:
        raise BadInput("load", "index.json", f"it lists {len(index.manifests)} images, more than we take")
    return [(_name_of(one), take(store, one, fetch)) for one in index.manifests]


def _name_of(entry: Descriptor) -> str:
    return entry.annotations.get(DOCKER_NAME) or entry.annotations.get(media_types.REF_NAME, "")


def take(store: "Store", descriptor: Descriptor, fetch: Fetch, depth: int = 0) -> Descriptor:
    """Have ``fetch`` bring everything that the image behind ``descriptor`` consists of.

    Of an index all images are taken where all are there, else the one for this machine. Gives the
    descriptor of what was taken. ``fetch`` leaves a verified blob in the store, or raises
    ``BlobNotFound``; sizes are compared here once more.
    """
    _fetch(store, descriptor, fetch)
    _check_size(descriptor)
    document = decode_manifest(store.blobs.read(descriptor.digest), object=descriptor.digest)
    if isinstance(document, Index):
        chosen = document.choose(Platform.here())
        if chosen is None or chosen.media_type not in media_types.MANIFESTS:
            raise ImageNotFound("load", descriptor.digest, f"it has no image for {Platform.here()}")
        if depth == _DEEPEST:
            raise InvalidDocument("load", descriptor.digest, "it lies too deep in indexes")
        mine = take(store, chosen, fetch, depth + 1)
        try:
            for entry in document.manifests:
                if entry.digest != chosen.digest:
                    take(store, entry, fetch, depth + 1)
        except (BlobNotFound, ImageNotFound):
            return mine  # a part of the index, as other tools save it
        return Descriptor(document.media_type, descriptor.digest, descriptor.size)
    for part in (document.config, *document.layers):
        _fetch(store, part, fetch)
    return store.load(descriptor).descriptor


def _fetch(store: "Store", descriptor: Descriptor, fetch: Fetch) -> None:
    fetch(descriptor)
    size = store.blobs.size(descriptor.digest)
    if size != descriptor.size:
        raise Corrupted("load", descriptor.digest, f"it has {size} bytes, {descriptor.size} were promised")


def _check_size(descriptor: Descriptor) -> None:
    if descriptor.size > LARGEST_DOCUMENT:
        raise InvalidDocument("read", descriptor.digest, "larger than 4 MiB, so no manifest")


def _check_marker(data: bytes) -> None:
    if decode(_Marker, data, object="oci-layout").imageLayoutVersion != LAYOUT_VERSION:
        raise BadInput("load", "oci-layout", f"it is no OCI image layout of version {LAYOUT_VERSION}")


class _Marker(msgspec.Struct):
    imageLayoutVersion: str
