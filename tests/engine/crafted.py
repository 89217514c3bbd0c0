"""Images that no build would make: one layer of hand-written entries on top of ``host:tiny``."""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from sandcell.runtime import Engine, Options
from sandcell.runtime.layer.pack import Content
from sandcell.runtime.layer.tree import Entry
from sandcell.runtime.oci.config import History
from sandcell.runtime.oci.image import Image

TINY = "host:tiny"


def symlink(path: str, target: str) -> tuple[Entry, Content]:
    """A symbolic link; an upper layer's hides whatever the lower has there."""
    return Entry(path, "symlink", 0o777, link=target), None


def directory(path: str, mode: int = 0o755) -> tuple[Entry, Content]:
    """A directory that hides what the lower layer had in it."""
    return Entry(path, "dir", mode), None


def file(path: str, data: bytes = b"", mode: int = 0o644) -> tuple[Entry, Content]:
    """A file with these bytes."""
    return Entry(path, "file", mode, size=len(data)), data


def fifo(path: str) -> tuple[Entry, Content]:
    """A named pipe."""
    return Entry(path, "fifo", 0o666), None


def device(path: str, kind: str, major: int, minor: int) -> tuple[Entry, Content]:
    """A device node, ``kind`` char or block."""
    return Entry(path, kind, 0o666, device=(major, minor)), None  # type: ignore[arg-type]


def gone(path: str) -> tuple[Entry, Content]:
    """A whiteout: the lower layer's ``path`` is deleted."""
    return Entry(path, "whiteout"), None


def make(engine: Engine, name: str, *entries: tuple[Entry, Content], **config: object) -> Image:
    """The image ``name``: ``host:tiny``, these entries, and these fields of its configuration."""
    store = engine.store.store
    base = engine.image(TINY)
    with store.leases.working():
        new, layers = base.config, base.manifest.layers
        if entries:
            layer = store.layers.of_entries(entries)
            new = new.with_layer(layer.diff_id, History(created_by="by hand"))
            layers = (*layers, layer.descriptor)
        image = store.write_image(new.with_config(**config), layers)
        engine.store.name(name, image)
    return image


@contextmanager
def crafted(engine: Engine, *entries: tuple[Entry, Content], **config: object) -> Iterator[str]:
    """The name of such an image, taken away in the end."""
    name = "crafted:" + msgspec.json.encode([entry for entry, _ in entries]).hex()[-20:]
    make(engine, name, *entries, **config)
    try:
        yield name
    finally:
        engine.remove_image(name, force=True)


@contextmanager
def background(engine: Engine, image: str, script: str = "sleep 1000", **options: object) -> Iterator[str]:
    """The id of a container of ``image`` that runs ``script``, removed in the end."""
    made = engine.create(image, ("sh", "-c", script), Options(**options))  # type: ignore[arg-type]
    try:
        engine.start(made)
        yield made.id
    finally:
        engine.remove(made, force=True)


def sh(engine: Engine, image: str, script: str, **options: object) -> str:
    """What ``script`` prints in a new container of ``image`` that is thrown away."""
    result = engine.run(image, ("sh", "-c", script), Options(remove=True, **options))  # type: ignore[arg-type]
    assert result.status == 0, (result.status, result.stdout, result.stderr)
    return result.stdout.decode(errors="replace")
