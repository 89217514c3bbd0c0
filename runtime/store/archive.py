"""One image as one file: a tar of an OCI image layout that holds just that (``oci-archive``).

``skopeo copy oci-archive:FILE …`` and ``podman load -i FILE`` read it. Equal images give equal files.
"""

import os
from typing import BinaryIO

import msgspec

from sandcell.runtime.errors import Corrupted
from sandcell.runtime.layer import tar_write
from sandcell.runtime.layer.disk import refused
from sandcell.runtime.oci.decode import encode
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.image import Image
from sandcell.runtime.oci.manifest import Index
from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.store.blobs import BlobStore

LAYOUT_VERSION = "1.0.0"
_CHUNK = 1 << 20


def layout_file() -> bytes:
    """The content of the file ``oci-layout`` that marks a directory as an image layout."""
    return msgspec.json.encode({"imageLayoutVersion": LAYOUT_VERSION})


def save(blobs: BlobStore, image: Image, reference: Reference | None, out: BinaryIO) -> None:
    """Write ``image`` to ``out`` as an archive, under the name ``reference`` if it shall have one.

    Blobs are streamed and verified on the way: ``Corrupted`` and ``BlobNotFound`` leave a part that
    is of no use.
    """
    named = image.descriptor if reference is None else image.descriptor.named(reference.familiar)
    try:
        _file(out, "oci-layout", layout_file())
        _file(out, "index.json", encode(Index(manifests=(named,))))
        contents = [image.descriptor, image.manifest.config, *image.manifest.layers]
        unique = {one.digest: one for one in contents}
        algorithms = sorted({digest.algorithm for digest in unique})
        for directory in ("blobs/", *(f"blobs/{algorithm}/" for algorithm in algorithms)):
            out.write(tar_write.header(directory.encode(), b"5", mode=0o755))
        for digest in sorted(unique):
            _blob(out, blobs, unique[digest])
        out.write(tar_write.END)
    except OSError as error:
        raise refused(error, "save", str(image.digest)) from error


def save_file(blobs: BlobStore, image: Image, reference: Reference | None, path: str) -> None:
    """Write the archive to the file ``path``; it appears whole, or an older one stays."""
    temporary = f"{path}.{os.getpid()}.part"
    try:
        with open(temporary, "xb") as out:
            save(blobs, image, reference, out)
            out.flush()
            os.fsync(out.fileno())
        os.rename(temporary, path)
    except OSError as error:
        raise refused(error, "save", path) from error
    finally:
        if os.path.lexists(temporary):
            os.unlink(temporary)


def _file(out: BinaryIO, name: str, data: bytes) -> None:
    out.write(tar_write.header(name.encode(), b"0", mode=0o644, size=len(data)))
    out.write(data + bytes(-len(data) % tar_write.BLOCK))


def _blob(out: BinaryIO, blobs: BlobStore, blob: Descriptor) -> None:
    name = f"blobs/{blob.digest.algorithm}/{blob.digest.hex}"
    out.write(tar_write.header(name.encode(), b"0", mode=0o644, size=blob.size))
    hasher = blob.digest.hasher()
    size = 0
    with blobs.open(blob.digest) as file:
        while data := file.read(_CHUNK):
            hasher.update(data)
            size += len(data)
            out.write(data)
    if size != blob.size or Digest.from_hasher(hasher) != blob.digest:
        raise Corrupted(
            "save", blob.digest, "its bytes are not those it is named after", "build the image again"
        )
    out.write(bytes(-size % tar_write.BLOCK))
