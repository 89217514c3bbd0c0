"""``--compression``: what new layers are compressed with, and what the cache makes of it."""

import pytest

from sandcell.runtime.build.options import BuildOptions
from sandcell.runtime.oci.image import Image
from tests.build.world import World

FILE = "COPY app.py /app/\nRUN write /built yes"
EPOCH = {"SOURCE_DATE_EPOCH": "1000000000"}
KINDS = {"gzip": "tar+gzip", "zstd": "tar+zstd", "none": "tar"}


def kinds(image: Image) -> list[str]:
    return [layer.descriptor.media_type.rpartition(".")[2] for layer in image.layers]


@pytest.mark.parametrize("kind", KINDS)
def test_new_layers_are_compressed_so_and_the_cache_keeps_them_apart(world: World, kind: str) -> None:
    base = world.base()
    world.write("app.py", "print(1)")

    def build(kind: str) -> Image:
        return world.build(FILE, build_args=EPOCH, options=BuildOptions.read(compression=kind))

    made = build(kind)
    below = len(base.layers)
    assert kinds(made)[:below] == kinds(base)
    assert kinds(made)[below:] == [KINDS[kind]] * 2
    others = [build(other) for other in KINDS if other != kind]
    for other in others:
        assert other.digest != made.digest
        assert other.config.rootfs == made.config.rootfs
    assert build(kind).digest == made.digest
