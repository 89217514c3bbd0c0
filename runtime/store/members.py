"""The files of an image's archive, read once from a stream that cannot go back."""

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, BinaryIO

from sandcell.runtime.errors import BadInput, InvalidDocument
from sandcell.runtime.layer.compress import decompress
from sandcell.runtime.layer.disk import refused
from sandcell.runtime.layer.tar_read import DIRECTORY, FILE, HARDLINK, SYMLINK, TarReader
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.store.files import write_all

if TYPE_CHECKING:
    from sandcell.runtime.store.store import Store

LARGEST_DOCUMENT = 4 << 20
"""Bytes of a manifest, an index or a config: what registries accept (distribution-spec)."""

_MOST_MEMBERS = 100_000


class Member:
    """A file of an archive: a blob of the store, a temporary file, or a link to another member.

    ``path``: where its bytes lie; ``link``: the name of the member it stands for.
    """

    def __init__(self, path: str = "", link: str = "", fd: int = -1) -> None:
        self.path = path
        self.link = link
        self._fd = fd

    @classmethod
    def new(cls, store: "Store") -> "Member":
        """One in an empty temporary file."""
        try:
            path, fd = store.litter.new()
        except OSError as error:
            raise refused(error, "load", "archive") from error
        return cls(path, fd=fd)

    def fill(self, pieces: Iterable[memoryview]) -> None:
        """Write the content; ``StoreFull``."""
        try:
            for piece in pieces:
                write_all(self._fd, piece)
        except OSError as error:
            raise refused(error, "load", "archive") from error

    def open(self) -> BinaryIO:
        """The bytes, from the beginning."""
        return open(self.path, "rb")

    def document(self, name: str) -> bytes:
        """All bytes of what should be a JSON document; ``InvalidDocument`` over 4 MiB."""
        with self.open() as file:
            data = file.read(LARGEST_DOCUMENT + 1)
        if len(data) > LARGEST_DOCUMENT:
            raise InvalidDocument("read", name, "larger than 4 MiB")
        return data

    def close(self) -> None:
        """Delete the temporary file, if it is one."""
        if self._fd >= 0:
            os.close(self._fd)
            os.unlink(self.path)
            self._fd = -1


def read_members(store: "Store", file: BinaryIO, told: str) -> Iterator[tuple[str, Member]]:
    """Read an archive, compressed or not, through once: blobs go into the store, other files into
    temporary ones. ``told``: what to call it in an error. ``BadInput`` for what no image's archive holds.
    """
    seen: set[str] = set()
    reader = TarReader(decompress(file, archive=True).read)
    for header in reader:
        name = _member_name(header.name, told)
        if header.type == DIRECTORY:
            continue
        if name in seen:
            raise BadInput("load", told, f"it holds {name!r} twice: which one counts cannot be told")
        seen.add(name)
        if len(seen) > _MOST_MEMBERS:
            raise BadInput("load", told, f"more than {_MOST_MEMBERS} files: no image has so many")
        if header.type in (SYMLINK, HARDLINK):
            yield name, Member(link=_link(name, header.link, header.type == HARDLINK, told))
        elif header.type != FILE:
            raise BadInput("load", told, f"{name!r} is neither a file nor a directory")
        elif (digest := _blob_name(name)) is not None:
            with store.blobs.writer() as writer:
                for piece in reader.content():
                    writer.write(bytes(piece))
                writer.commit("", digest)
            # A docker archive of today's names its layers by these paths.
            yield name, Member(path=store.blobs.path(digest))
        else:
            member = Member.new(store)
            # Before its content, so that whoever takes it closes it after an error too.
            yield name, member
            member.fill(reader.content())


def _member_name(raw: bytes, told: str) -> str:
    name = os.fsdecode(raw).removeprefix("./").rstrip("/")
    if raw.startswith(b"/") or ".." in name.split("/"):
        raise BadInput("load", told, f"a file is called {os.fsdecode(raw)[:200]!r}, outside of the archive")
    return name


def _link(name: str, raw: bytes, hard: bool, told: str) -> str:
    """The member that a link of an old docker archive means."""
    target = os.fsdecode(raw)
    joined = target if hard else os.path.normpath(os.path.join(os.path.dirname(name), target))
    if joined.startswith(("/", "..")):
        raise BadInput("load", told, f"{name!r} is a link out of the archive")
    return joined


def _blob_name(name: str) -> Digest | None:
    parts = name.split("/")
    if len(parts) != 3 or parts[0] != "blobs":
        return None
    return Digest.parse(f"{parts[1]}:{parts[2]}")
