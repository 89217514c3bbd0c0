"""Images as one file, a tar of an OCI image layout that holds just these (``oci-archive``), or as such a
layout in a directory of its own (``oci-dir``).

``skopeo copy oci-archive:FILE …`` and ``podman load -i FILE`` read it. Equal images give equal files.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO, NamedTuple, cast

from sandcell.runtime.errors import Conflict, Corrupted
from sandcell.runtime.layer import tar_write
from sandcell.runtime.layer.compress import Compression
from sandcell.runtime.layer.disk import refused
from sandcell.runtime.layer.tasks import Squeezed
from sandcell.runtime.linux.durable import sync_directory
from sandcell.runtime.oci.decode import encode
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.image import Image
from sandcell.runtime.oci.manifest import Index
from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.store import images
from sandcell.runtime.store.blobs import BlobStore
from sandcell.runtime.store.names import Names, layout_file

_CHUNK = 1 << 20


class Named(NamedTuple):
    """An image to be saved. ``names``: none, one or several. ``blobs``: all it consists of, its manifest
    or, where all images of an index are here, the index first."""

    image: Image
    names: tuple[Reference, ...]
    blobs: tuple[Descriptor, ...]


def collect(blobs: BlobStore, names: Names, wanted: Sequence[str | Reference]) -> tuple[Named, ...]:
    """What is called ``wanted``, each once with all its names. ``ImageNotFound``."""
    found: dict[Digest, Named] = {}
    for one in wanted:
        image, reference = images.find(blobs, names, one)
        entry = names.get(reference) if reference is not None else None
        whole = images.parts(blobs, entry) if entry is not None else None
        parts = whole or images.parts_of(image)
        known = found[parts[0].digest].names if parts[0].digest in found else ()
        if reference is not None and reference not in known:
            known = (*known, reference)
        found[parts[0].digest] = Named(image, known, parts)
    return tuple(found.values())


def put_file(out: BinaryIO, name: str, data: bytes) -> None:
    """Write a small file of an archive, mode 644."""
    out.write(tar_write.header(name.encode(), b"0", mode=0o644, size=len(data)))
    out.write(data + bytes(-len(data) % tar_write.BLOCK))


def save(blobs: BlobStore, named: Sequence[Named], out: BinaryIO) -> None:
    """Write images with their names to ``out`` as an OCI archive.

    Blobs are streamed and verified on the way: ``Corrupted`` and ``BlobNotFound`` leave a part that
    is of no use.
    """
    unique = _unique(named)
    put_file(out, "oci-layout", layout_file())
    put_file(out, "index.json", _index(named))
    for directory in ("blobs/", *_directories(unique)):
        out.write(tar_write.header(directory.encode(), b"5", mode=0o755))
    for digest in sorted(unique):
        out.write(tar_write.header(_name(digest).encode(), b"0", mode=0o644, size=unique[digest].size))
        for data in _content(blobs, unique[digest]):
            out.write(data)
        out.write(bytes(-unique[digest].size % tar_write.BLOCK))
    out.write(tar_write.END)


def save_directory(blobs: BlobStore, named: Sequence[Named], path: str) -> None:
    """Make the new directory ``path`` an OCI layout of these images; it appears whole or not at all.
    ``Conflict`` where something is there that is not an empty directory. Else as ``save``."""
    temporary = f"{path.rstrip('/')}.{os.getpid()}.part"
    unique = _unique(named)
    try:
        os.mkdir(temporary)
        os.mkdir(f"{temporary}/blobs")
        for directory in _directories(unique):
            os.mkdir(f"{temporary}/{directory}")
        for digest, blob in unique.items():
            _write(f"{temporary}/{_name(digest)}", _content(blobs, blob))
        _write(f"{temporary}/index.json", (_index(named),))
        _write(f"{temporary}/oci-layout", (layout_file(),))
        sync_directory(temporary)
        os.rename(temporary, path)
    except (FileExistsError, NotADirectoryError) as error:
        raise Conflict("save", path, "something is there already", "name a new directory") from error
    except OSError as error:
        if os.path.isdir(path) and os.listdir(path):
            raise Conflict("save", path, "it is not empty", "name a new directory") from error
        raise refused(error, "save", path) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def compressed(write: Callable[[BinaryIO], None], compression: Compression) -> Callable[[BinaryIO], None]:
    """``write``, its output compressed."""
    if compression == "none":
        return write

    def squeeze(out: BinaryIO) -> None:
        layer = Squeezed(out, compression)
        write(cast(BinaryIO, layer))
        layer.finish()

    return squeeze


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


def _unique(named: Sequence[Named]) -> dict[Digest, Descriptor]:
    return {blob.digest: blob for one in named for blob in one.blobs}


def _index(named: Sequence[Named]) -> bytes:
    entries: list[Descriptor] = []
    for _, references, blobs in named:
        entries += [blobs[0].named(reference.familiar) for reference in references] or [blobs[0]]
    return encode(Index(manifests=tuple(entries)))


def _directories(unique: dict[Digest, Descriptor]) -> tuple[str, ...]:
    return tuple(f"blobs/{algorithm}/" for algorithm in sorted({digest.algorithm for digest in unique}))


def _name(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.hex}"


def _content(blobs: BlobStore, blob: Descriptor) -> Iterator[bytes]:
    """The bytes of a blob; ``Corrupted`` at the end, if they are not."""
    hasher = blob.digest.hasher()
    size = 0
    with blobs.open(blob.digest) as file:
        while data := file.read(_CHUNK):
            hasher.update(data)
            size += len(data)
            yield data
    if size != blob.size or Digest.from_hasher(hasher) != blob.digest:
        raise Corrupted(
            "save", blob.digest, "its bytes are not those it is named after", "build the image again"
        )


def _write(path: str, pieces: Iterable[bytes]) -> None:
    with open(path, "xb") as file:
        for data in pieces:
            file.write(data)
        file.flush()
        os.fsync(file.fileno())
