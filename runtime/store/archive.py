"""Images as one file: a tar of an OCI image layout that holds just these (``oci-archive``).

``skopeo copy oci-archive:FILE …`` and ``podman load -i FILE`` read it. Equal images give equal files.
"""

import os
from collections.abc import Callable, Sequence
from typing import BinaryIO, TypeAlias

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
from sandcell.runtime.store.names import layout_file

Named: TypeAlias = tuple[Image, tuple[Reference, ...]]
"""An image, and the names it shall have where it is saved: none, one or several."""

_CHUNK = 1 << 20


def put_file(out: BinaryIO, name: str, data: bytes) -> None:
    """Write a small file of an archive, mode 644."""
    out.write(tar_write.header(name.encode(), b"0", mode=0o644, size=len(data)))
    out.write(data + bytes(-len(data) % tar_write.BLOCK))


def save(blobs: BlobStore, images: Sequence[Named], out: BinaryIO) -> None:
    """Write ``images`` with their names to ``out`` as an OCI archive.

    Blobs are streamed and verified on the way: ``Corrupted`` and ``BlobNotFound`` leave a part that
    is of no use.
    """
    entries: list[Descriptor] = []
    unique: dict[Digest, Descriptor] = {}
    for image, references in images:
        names = [reference.familiar for reference in references]
        entries += [image.descriptor.named(name) for name in names] or [image.descriptor]
        for one in (image.descriptor, image.manifest.config, *image.manifest.layers):
            unique[one.digest] = one
    put_file(out, "oci-layout", layout_file())
    put_file(out, "index.json", encode(Index(manifests=tuple(entries))))
    algorithms = sorted({digest.algorithm for digest in unique})
    for directory in ("blobs/", *(f"blobs/{algorithm}/" for algorithm in algorithms)):
        out.write(tar_write.header(directory.encode(), b"5", mode=0o755))
    for digest in sorted(unique):
        _blob(out, blobs, unique[digest])
    out.write(tar_write.END)


def write_file(path: str, write: Callable[[BinaryIO], None]) -> None:
    """Let ``write`` fill the file ``path``; it appears whole, or an older one stays.

    A pipe or a device is simply written to.
    """
    temporary = f"{path}.{os.getpid()}.part"
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            with open(path, "wb") as out:
                write(out)
            return
        with open(temporary, "xb") as out:
            write(out)
            out.flush()
            os.fsync(out.fileno())
        os.rename(temporary, path)
    except OSError as error:
        raise refused(error, "save", path) from error
    finally:
        if os.path.lexists(temporary):
            os.unlink(temporary)


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
