"""Build contexts that are no directory yet: tar streams, addresses, git repositories, images, layouts."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from io import FileIO
from typing import TYPE_CHECKING, BinaryIO

from sandcell.runtime.build import fetch, git
from sandcell.runtime.build.context import ContextError
from sandcell.runtime.build.evaluate_copy import remote
from sandcell.runtime.build.plan import NamedContext
from sandcell.runtime.build.scratch import Scratch
from sandcell.runtime.errors import BadInput, Corrupted
from sandcell.runtime.layer.compress import decompress
from sandcell.runtime.layer.disk import refused
from sandcell.runtime.layer.extract import extract
from sandcell.runtime.linux.syscall import RESOLVE_BENEATH
from sandcell.runtime.store.files import write_all
from sandcell.runtime.store.worker import Here

if TYPE_CHECKING:
    from sandcell.runtime.engine.engine import Engine

_IMAGE = "docker-image://"
_LAYOUT = "oci-layout://"
_CHUNK = 1 << 20


@contextmanager
def opened(engine: "Engine", source: str | BinaryIO) -> Iterator[str]:
    """A directory with the context's files."""
    store = engine.store.store
    told = source if isinstance(source, str) else "standard input"
    with store.leases.working(), Scratch(store, Here()) as scratch:
        try:
            if not isinstance(source, str):
                with _seekable(engine, source) as file:
                    _extract(file, scratch.upper)
                yield scratch.upper
                return
            address = remote(source)
            if address is None:
                raise ContextError("it is neither a directory nor an address")
            if address.git:
                yield git.find(store, address).check_out(scratch.upper)
                return
            found = fetch.fetch(store, address)
            with FileIO(store.blobs.path(found.digest), "rb") as file:
                _extract(file, scratch.upper)
        except ContextError as error:
            raise BadInput("read build context", told, error.cause, error.hint) from None
        yield scratch.upper


@contextmanager
def _seekable(engine: "Engine", source: BinaryIO) -> Iterator[FileIO]:
    litter = engine.store.store.litter
    path, fd = litter.new()
    os.unlink(path)
    with FileIO(fd, "rb+") as file:
        try:
            while data := source.read(_CHUNK):
                write_all(fd, data)
        except OSError as error:
            raise refused(error, "read", "build context") from error
        file.seek(0)
        yield file


def _extract(file: FileIO, folder: str) -> None:
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        owner = (os.geteuid(), os.getegid())
        if not extract(decompress(file, archive=True).read, root, "", resolve=RESOLVE_BENEATH, owner=owner):
            raise BadInput("read build context", "tar", "it is empty")
    except Corrupted as error:
        raise BadInput("read build context", "tar", error.cause) from None
    except OSError as error:
        raise BadInput("read build context", "tar", f"it cannot be unpacked: {error.strerror}") from None
    finally:
        os.close(root)


def named(
    engine: "Engine", wanted: Mapping[str, str], held: ExitStack
) -> tuple[dict[str, str], dict[str, NamedContext]]:
    """The named contexts as directories, and those that are images."""
    folders: dict[str, str] = {}
    images: dict[str, NamedContext] = {}
    for name, text in wanted.items():
        folders[name] = text
        if text.startswith(_IMAGE):
            images[name] = NamedContext(text.removeprefix(_IMAGE))
        elif text.startswith(_LAYOUT):
            from sandcell.runtime.engine.layouts import Layout, split

            path, reference = split(text.removeprefix(_LAYOUT))
            images[name] = NamedContext(str(Layout(path).take(engine.store.store, reference)))
        elif remote(text) is not None:
            folders[name] = held.enter_context(opened(engine, text))
    return folders, images
