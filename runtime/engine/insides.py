"""What is inside layers and containers: lists of files, and their bytes."""

import os
import tarfile
import threading
from typing import TYPE_CHECKING, BinaryIO

from sandcell.runtime.errors import InvalidOption, NotFound
from sandcell.runtime.layer.compress import decompress
from sandcell.runtime.layer.listing import LayerFiles, content, entries
from sandcell.runtime.layer.listing import layer_files as told
from sandcell.runtime.layer.tar_read import TarReader
from sandcell.runtime.layer.tree import Tree

if TYPE_CHECKING:
    from sandcell.runtime.engine.engine import Engine, Who
    from sandcell.runtime.oci.image import Image, Layer

_KEPT = 4  # images whose lists stay in memory: 50,000 files take some 30 MB
_lists: dict[str, tuple[LayerFiles, ...]] = {}
_lock = threading.Lock()


def layer_files(engine: "Engine", image: "Image | str", number: int) -> LayerFiles:
    """See ``Engine.layer_files``. An image never changes, so what was read once stays true."""
    found = engine.image(image) if isinstance(image, str) else image
    _layer(found, number, "look into")
    with _lock:  # whoever asks for the same meanwhile waits, and does not read it too
        if found.digest not in _lists:
            read = _read(engine, found)
            while len(_lists) >= _KEPT:
                del _lists[next(iter(_lists))]
            _lists[found.digest] = read
        return _lists[found.digest][number - 1]


def layer_file(engine: "Engine", image: "Image | str", number: int, path: str, most: int) -> bytes:
    """See ``Engine.layer_file``."""
    found = engine.image(image) if isinstance(image, str) else image
    layer = _layer(found, number, "read")
    with engine.store.store.blobs.open(layer.descriptor.digest) as blob:
        data = content(decompress(blob), path.lstrip("/"), most)
    if data is None:
        raise NotFound("read", path, f"layer {number} has no such file", "it may be in another layer")
    return data


def container_file(engine: "Engine", container: "Who", path: str, most: int) -> bytes:
    """See ``Engine.container_file``. It is read as ``cp`` reads it, so a link leads nowhere but inside."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    failed: list[BaseException] = []

    def send() -> None:
        try:
            engine.read_archive(container, path, writing, follow=True)
        except BrokenPipeError:
            pass  # we have seen enough
        except BaseException as error:
            failed.append(error)
        finally:
            os.close(writing)

    sender = threading.Thread(target=send, name="sandcell-read")
    sender.start()
    try:
        with open(reading, "rb") as pipe:
            data = _first(pipe, most)
    finally:
        sender.join()
    if failed:
        raise failed[0]
    if data is None:
        raise InvalidOption("read", path, "it is not a regular file")
    return data


def _layer(image: "Image", number: int, operation: str) -> "Layer":
    layers = image.layers
    if not 1 <= number <= len(layers):
        raise NotFound(operation, f"layer {number}", f"the image has layers 1 to {len(layers)}")
    return layers[number - 1]


def _read(engine: "Engine", image: "Image") -> tuple[LayerFiles, ...]:
    tree, found = Tree(), []
    for layer in image.layers:
        with engine.store.store.blobs.open(layer.descriptor.digest) as blob:
            read = tuple(entry for entry, _ in entries(TarReader(decompress(blob).read)))
            files, tree = told(tree, read)
        found.append(files)
    return tuple(found)


def _first(pipe: BinaryIO, most: int) -> bytes | None:
    try:
        with tarfile.open(fileobj=pipe, mode="r|") as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isreg() else None
                return file.read(most) if file is not None else None
    except tarfile.TarError:
        pass  # nothing came; the sender tells why
    return None
