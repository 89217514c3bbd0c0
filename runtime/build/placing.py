"""COPY and ADD: which entries a layer gets when sources are put at a destination of a tree.

The rules are BuildKit's (Dockerfile reference, "COPY"): of a directory its content is copied; a file
goes into the destination if that is written with a slash at its end or is a directory already; what
is missing above is made. Links of the tree on the way are followed as from its root.
"""

from collections.abc import Iterable

import msgspec

from sandcell.runtime.build.image_files import resolve
from sandcell.runtime.layer.pack import Content
from sandcell.runtime.layer.tree import Entry, order


class PlacingError(ValueError):
    """It cannot be put there; the text says why, ``hint`` perhaps what to do."""

    hint = ""


class Thing(msgspec.Struct, frozen=True):
    """One file, directory or link to put: ``path`` below its source, empty for the source itself.

    ``entry`` has everything but the final path; its owner is already the one wanted.
    """

    path: str
    entry: Entry
    content: Content = None


class Load(msgspec.Struct, frozen=True):
    """One source: its ``name`` and its things, a directory before what is in it."""

    name: str
    things: tuple[Thing, ...]

    @property
    def is_directory(self) -> bool:
        """Is its content what is copied?"""
        return self.things[0].entry.kind == "dir"


class Placing:
    """Gathers the entries of one layer. ``tree``: what is there already, by path; ``owner`` and
    ``time`` (seconds): of directories made on the way."""

    def __init__(self, tree: dict[str, Entry], owner: tuple[int, int], time: int) -> None:
        self._tree = dict(tree)
        self._owner = owner
        self._time = time
        self._new: dict[str, tuple[Entry, Content]] = {}

    def entries(self) -> list[tuple[Entry, Content]]:
        """What was put, in the order a layer needs."""
        return [self._new[path] for path in sorted(self._new, key=order)]

    def directory(self, path: str) -> None:
        """Make a directory and what is missing above it; one that is there stays as it is."""
        self._make(resolve(self._tree, path), path)

    def put_all(self, loads: Iterable[Load], destination: str, *, into: bool) -> None:
        """Put several sources; more than one need a directory to go to."""
        listed = list(loads)
        there = self._tree.get(resolve(self._tree, destination))
        if len(listed) > 1 and not into and (there is None or there.kind != "dir"):
            error = PlacingError(
                f"{len(listed)} files match, and {destination} is not written as a directory"
            )
            error.hint = f"end it with a slash: {destination}/"
            raise error
        for load in listed:
            self.put(load, destination, into=into)

    def put(self, load: Load, destination: str, *, into: bool) -> None:
        """Put one source; ``destination`` is absolute, ``into`` says it is meant as a directory."""
        place = resolve(self._tree, destination)
        there = self._tree.get(place)
        if load.is_directory:
            self._put_directory(load, place, destination)
            return
        if into or not place or (there is not None and there.kind == "dir"):
            self._make(place, destination)
            place = f"{place}/{load.name}" if place else load.name
        self._put_file(load.things[0], place, destination)

    def _put_directory(self, load: Load, place: str, destination: str) -> None:
        top, *below = load.things
        there = self._tree.get(place)
        if place and there is None:
            self._above(place, destination)
            self._set(msgspec.structs.replace(top.entry, path=place), None)
        else:
            self._make(place, destination)
        real = {"": place}
        for thing in below:
            parent, _, name = thing.path.rpartition("/")
            path = f"{real[parent]}/{name}" if real[parent] else name
            if thing.entry.kind == "dir":
                real[thing.path] = self._merge(thing, path)
            else:
                self._put_file(thing, path, destination)

    def _merge(self, thing: Thing, path: str) -> str:
        """A directory on what is there: it takes the new look, and a link to a directory is followed."""
        there = self._tree.get(path)
        if there is not None and there.kind == "symlink":
            path = resolve(self._tree, path)
            self._make(path, path)
            return path
        if there is not None and there.kind != "dir":
            raise PlacingError(f"/{path} is a file in the image, and a directory is copied there")
        self._above(path, path)
        self._set(msgspec.structs.replace(thing.entry, path=path), None)
        return path

    def _put_file(self, thing: Thing, path: str, destination: str) -> None:
        if path.rpartition("/")[2].startswith(".wh."):
            raise PlacingError(f"/{path} cannot be in a layer: names beginning with .wh. mean deleted files")
        there = self._tree.get(path)
        if there is not None and there.kind == "dir":
            raise PlacingError(f"/{path} is a directory in the image, and a file is copied there")
        self._above(path, destination)
        self._set(msgspec.structs.replace(thing.entry, path=path), thing.content)

    def _above(self, path: str, told: str) -> None:
        self._make(path.rpartition("/")[0], told)

    def _make(self, path: str, told: str) -> None:
        """Let the directory ``path`` and those above it be entries of the layer, as they are or new."""
        if not path or path in self._new:
            return
        there = self._tree.get(path)
        if there is not None and there.kind != "dir":
            raise PlacingError(f"{told} leads through /{path}, which is no directory in the image")
        self._above(path, told)
        if there is None:
            uid, gid = self._owner
            there = Entry(path, "dir", 0o755, uid, gid)
        self._set(msgspec.structs.replace(there, mtime=self._time), None)

    def _set(self, entry: Entry, content: Content) -> None:
        self._tree[entry.path] = entry
        self._new[entry.path] = (entry, content)
