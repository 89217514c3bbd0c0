import hashlib

import pytest

from sandcell.runtime.oci import media_types
from sandcell.runtime.oci.config import History, ImageConfig, RootFs
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.image import Image, chain_id, chain_ids
from sandcell.runtime.oci.manifest import Index, Manifest
from sandcell.runtime.oci.platform import Platform

ONE, TWO, THREE = (Digest.of(bytes([n])) for n in range(3))


def test_chain_ids_follow_the_recursion_of_the_spec():
    second = "sha256:" + hashlib.sha256(f"{ONE} {TWO}".encode()).hexdigest()
    third = "sha256:" + hashlib.sha256(f"{second} {THREE}".encode()).hexdigest()
    assert chain_ids([ONE, TWO, THREE]) == (ONE, second, third)
    assert chain_id([ONE, TWO, THREE]) == third
    assert chain_id([]) is None


def _image(history):
    blobs = tuple(Descriptor(media_types.LAYER_GZIP, digest, 10) for digest in (ONE, TWO))
    config = ImageConfig(
        architecture="amd64", os="linux", rootfs=RootFs(diff_ids=(TWO, THREE)), history=history
    )
    manifest = Manifest(config=Descriptor(media_types.CONFIG, THREE, 5), layers=blobs)
    return Image(Descriptor(media_types.MANIFEST, ONE, 3), manifest, config)


def test_layers_carry_the_instruction_that_made_them():
    history = (
        History(created_by="ADD"),
        History(created_by="ENV", empty_layer=True),
        History(created_by="RUN"),
    )
    image = _image(history)
    assert [layer.history.created_by for layer in image.layers] == ["ADD", "RUN"]
    assert [layer.diff_id for layer in image.layers] == [TWO, THREE]
    assert image.size == 3 + 5 + 20
    assert str(image.platform) == "linux/amd64"


def test_a_history_that_does_not_fit_is_not_guessed_at():
    assert [layer.history for layer in _image((History(created_by="ADD"),)).layers] == [None, None]


@pytest.mark.parametrize(
    ("machine", "text"),
    [
        ("x86_64", "linux/amd64"),
        ("aarch64", "linux/arm64"),
        ("armv7l", "linux/arm/v7"),
        ("mips", "linux/mips"),
    ],
)
def test_platform_names(machine, text):
    assert str(Platform.here(machine)) == text


def test_an_index_is_asked_for_a_platform():
    def entry(digest, *platform):
        return Descriptor(
            media_types.MANIFEST, digest, 1, platform=Platform(*platform[:2], variant=platform[2])
        )

    index = Index(
        manifests=(
            entry(ONE, "arm", "linux", "v6"),
            entry(TWO, "arm", "linux", "v7"),
            entry(THREE, "amd64", "linux", ""),
        )
    )
    assert index.choose(Platform("arm", "linux", variant="v7")).digest == TWO
    assert index.choose(Platform("arm", "linux", variant="v6")).digest == ONE
    assert index.choose(Platform("amd64", "linux")).digest == THREE
    assert index.choose(Platform("s390x", "linux")) is None
