"""Images and root file systems that come from files and go to them."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from sandcell.runtime.build import fetch
from sandcell.runtime.build.context import ContextError
from sandcell.runtime.build.evaluate_copy import remote
from sandcell.runtime.build.image_files import ImageFiles, LayerBlob
from sandcell.runtime.build.options import BuildOptions
from sandcell.runtime.engine import changes, record
from sandcell.runtime.errors import BadInput, Corrupted, InvalidOption
from sandcell.runtime.layer.disk import refused
from sandcell.runtime.layer.extract import extract
from sandcell.runtime.layer.pack import Content, pack_entries
from sandcell.runtime.layer.tree import Entry
from sandcell.runtime.linux.syscall import RESOLVE_BENEATH
from sandcell.runtime.oci.image import Image
from sandcell.runtime.oci.platform import Platform
from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.store import Store
from sandcell.runtime.store.archive import write_file
from sandcell.runtime.store.rootfs import import_root

if TYPE_CHECKING:
    from sandcell.runtime.engine.engine import Engine

_CHANGES = {
    "CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "ONBUILD", "SHELL", "STOPSIGNAL", "USER",
    "VOLUME", "WORKDIR",
}  # fmt: skip


def import_image(
    engine: "Engine",
    source: str | BinaryIO,
    name: str | None,
    edits: Sequence[str],
    message: str,
    platform: Platform,
) -> Image:
    """An image of one layer from the tar of a root file system, then ``edits`` made to its config."""
    for edit in edits:
        word = edit.split(maxsplit=1)[0].upper() if edit.strip() else ""
        if word not in _CHANGES or "\n" in edit:
            hint = f"one line with one of {', '.join(sorted(_CHANGES))}"
            raise InvalidOption("import", f"--change {edit!r}", "it does not change a configuration", hint)
    if name is not None:
        Reference.parse(name)
    store = engine.store.store
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(_epoch()))
    with store.leases.working():
        with _opened(store, source) as file:
            image = import_root(store, file, created=created, message=message, platform=platform)
        if edits:
            text = "\n".join((f"FROM {image.digest}", *edits))
            image = engine.build(text, options=BuildOptions(platform=str(platform)))
        if name is not None:
            engine.store.name(name, image)
    return image


@contextmanager
def _opened(store: Store, source: str | BinaryIO) -> Iterator[BinaryIO]:
    """A file, what is at an address of HTTP, or what was opened already."""
    if not isinstance(source, str):
        yield source
        return
    address = remote(source)
    try:
        path = source
        if address is not None and not address.git:
            path = store.blobs.path(fetch.fetch(store, address).digest)
        with open(path, "rb") as file:
            yield file
    except ContextError as error:
        raise BadInput("import", source, error.cause, error.hint) from None
    except OSError as error:
        raise refused(error, "import", source) from error


def _epoch() -> float:
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    return float(text) if text.isdecimal() else time.time()


def export(engine: "Engine", who: "record.Record", out: str | BinaryIO) -> None:
    """All files of a container, its image's and its own, as one tar; it stands still while they are read.

    Hard links become files of their own.
    """
    store = engine.store.store
    with store.leases.working():
        image = changes.commit(engine, who, None)
        layers = [LayerBlob(layer.descriptor, layer.diff_id) for layer in image.layers]
        files = ImageFiles(store, layers, {})

        def write(file: BinaryIO) -> None:
            pack_entries(_rows(files), file)

        if isinstance(out, str):
            write_file(out, write)
        else:
            _stream(write, out, "export", who.name)


def _stream(write: Callable[[BinaryIO], None], out: BinaryIO, operation: str, object: str) -> None:
    try:
        write(out)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise refused(error, operation, object) from error


def write_files(engine: "Engine", image: Image, out: str | BinaryIO, *, as_tar: bool) -> None:
    """All files of an image, as a tar or below a directory."""
    layers = [LayerBlob(layer.descriptor, layer.diff_id) for layer in image.layers]
    files = ImageFiles(engine.store.store, layers, {})

    def write(file: BinaryIO) -> None:
        pack_entries(_rows(files), file)

    if isinstance(out, str) and as_tar:
        write_file(out, write)
    elif isinstance(out, str):
        _write_below(engine, out, write)
    else:
        _stream(write, out, "write files", image.digest)


def _write_below(engine: "Engine", folder: str, write: Callable[[BinaryIO], None]) -> None:
    """What ``write`` gives as a tar, extracted below a directory of the user's."""
    try:
        path, fd = engine.store.store.litter.new()
        os.unlink(path)
        with os.fdopen(fd, "rb+") as file:
            write(file)
            file.seek(0)
            os.makedirs(folder, exist_ok=True)
            root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                owner = None if os.geteuid() == 0 else (os.geteuid(), os.getegid())
                extract(file.read, root, "", resolve=RESOLVE_BENEATH, owner=owner)
            finally:
                os.close(root)
    except OSError as error:
        raise refused(error, "write files", folder) from error


def _rows(files: ImageFiles) -> Iterator[tuple[Entry, Content]]:
    """Directories first, files as they come out of the layers."""
    entries = files.tree.entries
    for entry in entries.values():
        if entry.kind == "dir":
            yield entry, None
    for entry in entries.values():
        if entry.kind not in ("dir", "file"):
            yield entry, None
    left = {path for path, entry in entries.items() if entry.kind == "file"}
    for path, pieces in files.stream(sorted(left)):
        left.discard(path)
        yield msgspec.structs.replace(entries[path], link=""), _opener(pieces)
    if left:
        raise Corrupted("export", min(left), "no layer holds the content of this file")


def _opener(pieces: Iterator[memoryview]) -> Callable[[], "_Pieces"]:
    return lambda: _Pieces(pieces)


class _Pieces:
    """A file's content in pieces, to be read like a file."""

    def __init__(self, pieces: Iterator[memoryview]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def read(self, size: int) -> bytes:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._rest = piece
        data, self._rest = bytes(self._rest[:size]), self._rest[size:]
        return data

    def close(self) -> None:
        self._pieces = iter(())
