"""Names of images: the entries of the layout's ``index.json`` (image-spec, image-layout.md).

Other tools write that file too. It is read again and replaced under a lock each time, and what we do
not understand in it stays as it is.
"""

import os
from collections.abc import Sequence
from typing import Any

import msgspec

from sandcell.runtime.errors import Corrupted, InvalidDocument, InvalidReference
from sandcell.runtime.oci import media_types
from sandcell.runtime.oci.decode import decode, encode
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.store.files import Litter, Locks, replace

LAYOUT_VERSION = "1.0.0"


class Names:
    """``path``: the file index.json; ``shared``: those of other stores, which are only read. Of several
    entries for one name this store's own counts, then that of the first store."""

    def __init__(self, path: str, litter: Litter, locks: Locks, shared: Sequence[str] = ()) -> None:
        self._path = path
        self._shared = shared
        self._litter = litter
        self._locks = locks

    def get(self, reference: Reference) -> Descriptor | None:
        """What ``reference`` names: a manifest, or an index of them. A digest in it is not looked at."""
        for path in (self._path, *self._shared):
            entry = _find(_entries(self._read(path)), reference)
            if entry is not None:
                return _descriptor(entry)
        return None

    def shared(self, reference: Reference) -> bool:
        """Is it a name of another store only, so that it cannot be removed here?"""
        if _find(_entries(self._read()), reference) is not None:
            return False
        return any(_find(_entries(self._read(path)), reference) is not None for path in self._shared)

    def version(self) -> tuple[tuple[int, int, int], ...]:
        """Changes whenever a name does."""
        states = [os.stat(path) for path in (self._path, *self._shared)]
        return tuple((state.st_ino, state.st_mtime_ns, state.st_size) for state in states)

    def set(self, reference: Reference, descriptor: Descriptor) -> None:
        """Let ``reference`` name ``descriptor``; what it named before loses the name. Durable on return."""
        entry = msgspec.json.decode(encode(descriptor.named(reference.familiar)))
        with self._locks.hold("index"):
            index = self._read()
            entries = _entries(index)
            if [old for old in entries if _means(old, reference)] == [entry]:
                return
            index["manifests"] = [*(old for old in entries if not _means(old, reference)), entry]
            self._write(index)

    def remove(self, reference: Reference) -> Descriptor | None:
        """Take the name away and tell what it named; ``None`` if there was no such name."""
        with self._locks.hold("index"):
            index = self._read()
            entries = _entries(index)
            entry = _find(entries, reference)
            if entry is None:
                return None
            index["manifests"] = [old for old in entries if not _means(old, reference)]
            self._write(index)
        return _descriptor(entry)

    def all(self) -> dict[str, Descriptor]:
        """Every name in its familiar form, sorted; one of another tool's that is no name to us, as it is.

        Entries that make no sense are left out.
        """
        found: dict[str, Descriptor] = {}
        entries = [entry for path in (self._path, *self._shared) for entry in _entries(self._read(path))]
        for entry in reversed(entries):
            name = _name(entry)
            if name:
                try:
                    name = Reference.parse(name).familiar
                except InvalidReference:
                    pass
                try:
                    found[name] = _descriptor(entry)
                except InvalidDocument:
                    pass
        return dict(sorted(found.items()))

    def roots(self, *, shared: bool = False) -> tuple[Descriptor, ...]:
        """Everything the index leads to, named or not, with ``shared`` the other stores' too;
        ``InvalidDocument`` if we cannot tell."""
        paths = (self._path, *(self._shared if shared else ()))
        return tuple(_descriptor(entry) for path in paths for entry in _entries(self._read(path)))

    def _read(self, path: str = "") -> dict[str, Any]:
        path = path or self._path
        try:
            with open(path, "rb") as file:
                index = msgspec.json.decode(file.read())
        except FileNotFoundError:
            return empty_index()
        except msgspec.DecodeError as error:
            raise _broken(path, str(error)) from None
        if not isinstance(index, dict) or not isinstance(index.get("manifests") or [], list):
            raise _broken(path, "it is no index")
        return index

    def _write(self, index: dict[str, Any]) -> None:
        replace(self._path, msgspec.json.encode(index), self._litter)


def layout_file() -> bytes:
    """The content of the file ``oci-layout`` that marks a directory as an image layout."""
    return msgspec.json.encode({"imageLayoutVersion": LAYOUT_VERSION})


def empty_index() -> dict[str, Any]:
    """The content of an index.json that names nothing."""
    return {"schemaVersion": 2, "mediaType": media_types.INDEX, "manifests": []}


def _entries(index: dict[str, Any]) -> list[dict[str, Any]]:
    return [entry for entry in index.get("manifests") or [] if isinstance(entry, dict)]


def _name(entry: dict[str, Any]) -> str:
    annotations = entry.get("annotations")
    name = annotations.get(media_types.REF_NAME) if isinstance(annotations, dict) else None
    return name if isinstance(name, str) else ""


def _means(entry: dict[str, Any], reference: Reference) -> bool:
    """Is this entry's name one of those that ``reference`` could have been typed as?"""
    name = _name(entry)
    try:
        return bool(name) and Reference.parse(name) == reference
    except InvalidReference:
        return False


def _find(entries: list[dict[str, Any]], reference: Reference) -> dict[str, Any] | None:
    # Of several, ours: written in the familiar form.
    found = [entry for entry in entries if _means(entry, reference)]
    exact = [entry for entry in found if _name(entry) == reference.familiar]
    return next(iter(exact or found), None)


def _descriptor(entry: dict[str, Any]) -> Descriptor:
    return decode(Descriptor, msgspec.json.encode(entry), object=f"entry {_name(entry)!r} of index.json")


def _broken(path: str, cause: str) -> Corrupted:
    return Corrupted(
        "read",
        os.path.basename(path),
        cause,
        f"restore {path} from a backup, or delete it to forget all names",
    )
