"""Small images for tests of the store."""

import os

from sandcell.runtime.layer.tree import Entry
from sandcell.runtime.oci.config import History, ImageConfig, RootFs
from sandcell.runtime.oci.image import Image
from sandcell.runtime.oci.platform import Platform
from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.store import Store

FLAVOUR = "trusted" if os.geteuid() == 0 else "user"
_MINE = {"uid": os.geteuid(), "gid": os.getegid()}


def rows(files: dict[str, bytes]) -> list[tuple[Entry, bytes | None]]:
    """Files below one directory as entries of a layer."""
    made: list[tuple[Entry, bytes | None]] = [(Entry("d", "dir", 0o755, **_MINE), None)]
    made += [
        (Entry(f"d/{name}", "file", 0o644, size=len(data), **_MINE), data) for name, data in files.items()
    ]
    return made


def image(store: Store, *layers: dict[str, bytes], name: str = "") -> Image:
    """An image of one layer for each dictionary of files, under ``name`` if that is given."""
    platform = Platform.here()
    config = ImageConfig(architecture=platform.architecture, os="linux", rootfs=RootFs())
    with store.leases.working():
        made = [store.layers.of_entries(rows(files)) for files in layers]
        for number, layer in enumerate(made):
            config = config.with_layer(layer.diff_id, History(created_by=f"layer {number}"))
        written = store.write_image(config, [layer.descriptor for layer in made])
        if name:
            store.names.set(Reference.parse(name), written.descriptor)
    return written


def later(store: Store) -> None:
    """Let the clock that stamps files advance, so that what was written before counts as old."""
    probe = f"{store.home}/tmp/.clock"
    with open(probe, "wb"):
        pass
    first = os.stat(probe).st_mtime_ns
    while os.stat(probe).st_mtime_ns == first:
        os.utime(probe)
    os.unlink(probe)
