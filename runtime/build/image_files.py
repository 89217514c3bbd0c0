"""The files of an image, looked at without unpacking it: its layers' archives, read once, and what
they add up to.

So a build that only copies needs no mount and no user namespace. What an archive holds is remembered
in the store's cache, by the digest of the uncompressed layer.
"""

from collections.abc import Iterator, Sequence

import msgspec

from sandcell.runtime.known import known
from sandcell.runtime.layer import listing
from sandcell.runtime.layer.compress import decompress
from sandcell.runtime.layer.tar_read import TarReader
from sandcell.runtime.layer.tree import Entry, Tree, apply
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.store import Store

_MOST_LINKS = 40
_LARGEST_TEXT = 1 << 20


class LayerBlob(msgspec.Struct, frozen=True):
    """A layer by its blob and its identity."""

    descriptor: Descriptor
    diff_id: Digest


class ImageFiles:
    """The files that ``layers``, lowest first, add up to. Paths have no leading slash.

    ``trees``: shared by those who look at stacks with common layers; what was worked out already.
    """

    def __init__(self, store: Store, layers: Sequence[LayerBlob], trees: dict[tuple[str, ...], Tree]) -> None:
        self._store = store
        self._layers = tuple(layers)
        self._trees = trees

    @property
    def tree(self) -> Tree:
        """The merged tree; the first call reads what is not remembered."""
        return self._tree(self._layers)

    def _tree(self, layers: tuple[LayerBlob, ...]) -> Tree:
        if not layers:
            return Tree()
        key = tuple(layer.diff_id for layer in layers)
        if key not in self._trees:
            self._trees[key] = apply(self._tree(layers[:-1]), self._entries(layers[-1]))
        return self._trees[key]

    def read(self, path: str) -> str:
        """The text of a small file, links followed; empty where there is none."""
        found = resolve(self.tree.entries, path)
        texts = dict(self.contents([found])) if found in self.tree.entries else {}
        return texts.get(found, b"").decode("utf-8", "replace")

    def contents(self, paths: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Path and content, up to 1 MiB, of those of ``paths`` that are files."""
        for path, pieces in self.stream(paths):
            data = b""
            for piece in pieces:
                data += piece[: _LARGEST_TEXT - len(data)]
            yield path, data

    def stream(self, paths: Sequence[str]) -> Iterator[tuple[str, Iterator[memoryview]]]:
        """Path and content in pieces of those of ``paths`` that are files, in no order.

        Take each content before the next is asked for. Every layer is read at most once.
        """
        left = {path: path for path in paths if self._is_file(path)}
        for layer in reversed(self._layers):
            wanted = self._in_layer(layer, left) if left else {}
            if not wanted:
                continue
            with self._store.blobs.open(layer.descriptor.digest) as blob:
                reader = TarReader(decompress(blob).read)
                for number, _ in enumerate(listing.entries(reader)):
                    asked = wanted.pop(number, None)
                    if asked is None:
                        continue
                    pieces = list(reader.content()) if len(asked) > 1 else reader.content()
                    for path in asked:
                        yield path, iter(pieces)

    def _is_file(self, path: str) -> bool:
        entry = self.tree.entries.get(path)
        return entry is not None and entry.kind == "file"

    def _in_layer(self, layer: LayerBlob, left: dict[str, str]) -> dict[int, list[str]]:
        """Numbers of entries of this layer, each with the paths of ``left`` it is the content of; takes
        them out of ``left``, where a hard link to a layer below goes on under its target's name."""
        here: dict[str, int | str] = {}
        for number, entry in enumerate(self._entries(layer)):
            # The last entry of a name counts, and a hard link means what its target was when it came.
            if entry.kind == "file":
                here[entry.path] = number
            elif entry.kind == "hardlink":
                here[entry.path] = here.get(entry.link, entry.link)
        wanted: dict[int, list[str]] = {}
        for path, name in list(left.items()):
            found = here.get(name, name)
            if isinstance(found, int):
                wanted.setdefault(found, []).append(path)
                del left[path]
            else:
                left[path] = found
        return wanted

    def _entries(self, layer: LayerBlob) -> tuple[Entry, ...]:
        key = f"entries of {layer.diff_id}"
        record = self._store.cache.get(key)
        if record is not None:
            try:
                return tuple(
                    _renamed(one, "latin-1", "utf-8")
                    for one in msgspec.convert(record["entries"], known(list[Entry]))
                )
            except (KeyError, msgspec.ValidationError):
                pass
        with self._store.blobs.open(layer.descriptor.digest) as blob:
            entries = tuple(entry for entry, _ in listing.entries(TarReader(decompress(blob).read)))
        rows = [msgspec.to_builtins(_renamed(entry, "utf-8", "latin-1")) for entry in entries]
        self._store.cache.put(key, {"entries": rows})
        return entries


def resolve(entries: dict[str, Entry], path: str) -> str:
    """Where ``path`` leads in a tree of ``entries``, every link followed as from its root.

    What is not there stays as written, so the result may be a path that can still be made.
    """
    done: list[str] = []
    todo = path.split("/")[::-1]
    links = 0
    while todo:
        part = todo.pop()
        if part in ("", "."):
            continue
        if part == "..":
            del done[-1:]
            continue
        entry = entries.get("/".join((*done, part)))
        if entry is not None and entry.kind == "symlink" and links < _MOST_LINKS:
            links += 1
            if entry.link.startswith("/"):
                done.clear()
            todo += entry.link.split("/")[::-1]
        else:
            done.append(part)
    return "/".join(done)


def _renamed(entry: Entry, old: str, new: str) -> Entry:
    """``entry`` with its names decoded otherwise: JSON holds no bytes that are no text."""
    if entry.path.isascii() and entry.link.isascii():
        return entry

    def again(text: str) -> str:
        return text.encode(old, "surrogateescape").decode(new, "surrogateescape")

    return msgspec.structs.replace(entry, path=again(entry.path), link=again(entry.link))
