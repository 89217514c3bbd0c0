"""From a name or a digest to the three values of an image, and back to blobs."""

from collections.abc import Sequence

from sandcell.runtime.errors import ImageNotFound, InvalidDocument, InvalidReference, SandcellError
from sandcell.runtime.oci import media_types
from sandcell.runtime.oci.config import ImageConfig
from sandcell.runtime.oci.decode import decode, encode
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.image import Image
from sandcell.runtime.oci.manifest import Index, Manifest, decode_manifest
from sandcell.runtime.oci.platform import Platform
from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.store.blobs import BlobStore
from sandcell.runtime.store.names import Names

_LARGEST = 4 << 20
"""Bytes of a manifest, an index or a config: what registries accept (distribution-spec)."""


def load(blobs: BlobStore, descriptor: Descriptor) -> Image:
    """The image behind a descriptor of a manifest or, for this machine's platform, of an index.

    Everything read is verified: ``BlobNotFound``, ``Corrupted``, ``InvalidDocument``.
    """
    document = decode_manifest(_document(blobs, descriptor.digest), object=descriptor.digest)
    if isinstance(document, Index):
        chosen = document.choose(Platform.here())
        if chosen is None or chosen.media_type not in media_types.MANIFESTS:
            raise ImageNotFound("read", descriptor.digest, f"it has no image for {Platform.here()}")
        return load(blobs, chosen)
    told = _document(blobs, document.config.digest)
    config = decode(ImageConfig, told, object=document.config.digest, unique=True)
    if len(config.rootfs.diff_ids) != len(document.layers):
        raise InvalidDocument(
            "read",
            descriptor.digest,
            f"the manifest has {len(document.layers)} layers, its config {len(config.rootfs.diff_ids)}",
        )
    size = blobs.size(descriptor.digest)
    return Image(Descriptor(document.media_type, descriptor.digest, size), document, config)


def find(blobs: BlobStore, names: Names, wanted: str | Reference) -> tuple[Image, Reference | None]:
    """The image that somebody calls ``wanted``: a name, a digest, or the beginning of one.

    With it the name it was found by, if it was one. ``ImageNotFound`` has the names that look alike.
    """
    text = wanted if isinstance(wanted, str) else wanted.familiar
    digest = _digest(names, wanted) if isinstance(wanted, str) else wanted.digest
    reference = _reference(wanted) if isinstance(wanted, str) else wanted
    if reference is not None and reference.digest is not None:
        digest = reference.digest
    if digest is not None and blobs.has(digest):
        return load(blobs, Descriptor(media_types.MANIFEST, digest, 0)), None
    # Of an index pulled by its digest the store has the image for this machine, under that name.
    named = names.get(reference) if reference is not None else None
    if named is None:
        raise _not_found(names, text)
    return load(blobs, named), reference


def parts_of(image: Image) -> tuple[Descriptor, ...]:
    """The blobs of one image, its manifest first."""
    return (image.descriptor, image.manifest.config, *image.manifest.layers)


def parts(blobs: BlobStore, descriptor: Descriptor) -> tuple[Descriptor, ...] | None:
    """All blobs that an index or a manifest leads to, itself first; ``None`` where one is not here."""
    found = document(blobs, descriptor.digest)
    if found is None:
        return None
    own = Descriptor(found.media_type, descriptor.digest, blobs.size(descriptor.digest))
    if isinstance(found, Manifest):
        told = (found.config, *found.layers)
        return (own, *told) if all(blobs.has(blob.digest) for blob in told) else None
    below = [parts(blobs, entry) for entry in found.manifests]
    if not all(below):
        return None
    return (own, *(blob for one in below for blob in one or ()))


def write(
    blobs: BlobStore, config: ImageConfig, layers: Sequence[Descriptor], annotations: dict[str, str]
) -> Image:
    """Store the config and a manifest of it and ``layers``, lowest first; the layers are stored already."""
    if len(layers) != len(config.rootfs.diff_ids):
        raise ValueError(f"{len(layers)} layers, {len(config.rootfs.diff_ids)} diff ids")
    stored = blobs.put_bytes(encode(config), media_types.CONFIG)
    manifest = Manifest(config=stored, layers=tuple(layers), annotations=annotations)
    return Image(blobs.put_bytes(encode(manifest), media_types.MANIFEST), manifest, config)


def document(blobs: BlobStore, digest: Digest) -> Manifest | Index | None:
    """The manifest or index that ``digest`` is; ``None`` for any other blob and for a damaged one."""
    try:
        with blobs.open(digest) as file:
            if file.read(1) != b"{":
                return None
        return decode_manifest(_document(blobs, digest), object=digest)
    except SandcellError:
        return None


def _document(blobs: BlobStore, digest: Digest) -> bytes:
    if blobs.size(digest) > _LARGEST:
        raise InvalidDocument("read", digest, "larger than 4 MiB, so no manifest and no config")
    return blobs.read(digest)


def _reference(text: str) -> Reference | None:
    try:
        return Reference.parse(text)
    except InvalidReference:
        # The beginning of a digest is no name, yet may have been meant.
        if _hexadecimal(text):
            return None
        raise


def _hexadecimal(text: str) -> str:
    """The digits of what may be a digest or its beginning, else empty."""
    digits = text.removeprefix("sha256:")
    return digits if 4 <= len(digits) <= 64 and not digits.strip("0123456789abcdef") else ""


def _digest(names: Names, text: str) -> Digest | None:
    digits = _hexadecimal(text)
    if len(digits) == 64:
        return Digest("sha256:" + digits)
    if not digits or (not text.startswith("sha256:") and names.get(Reference.parse(text)) is not None):
        return None
    found = {root.digest for root in names.roots(shared=True) if root.digest.hex.startswith(digits)}
    return found.pop() if len(found) == 1 else None


def _not_found(names: Names, text: str) -> ImageNotFound:
    import difflib

    known = list(names.all())
    # "hello" stands for every tag of it.
    alike = [name for name in known if name.rpartition(":")[0] == text.partition(":")[0]]
    alike = alike or difflib.get_close_matches(text, known, n=3, cutoff=0.5)
    if alike:
        hint = f"did you mean {' or '.join(alike[:3])}?"
    else:
        hint = f"there are {', '.join(known[:8])}" if known else "there are no images yet: build one"
    return ImageNotFound("find image", text, "there is no image of that name here", hint)
