import json

import pytest

from sandcell.runtime.errors import BlobNotFound, Corrupted, ImageNotFound, InvalidDocument
from sandcell.runtime.oci import media_types
from sandcell.runtime.oci.decode import encode
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.manifest import Index, Manifest
from sandcell.runtime.oci.platform import Platform
from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.store import Store
from tests.oci.schemas import check

from .images import image


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "home")


def test_equal_values_are_the_same_image(store, tmp_path):
    first = image(store, {"a": b"1"}, {"b": b"2"})
    second = image(Store(tmp_path / "other"), {"a": b"1"}, {"b": b"2"})
    assert first == second
    assert store.load(first.descriptor) == first


@pytest.mark.slow
def test_documents_are_valid(store):
    made = image(store, {"a": b"1"}, name="app")
    check("image-spec", "image-manifest-schema.json", store.blobs.read(made.digest))
    check("image-spec", "config-schema.json", store.blobs.read(made.manifest.config.digest))
    for name, schema in (("index.json", "image-index"), ("oci-layout", "image-layout")):
        with open(f"{store.layout_path}/{name}", "rb") as file:
            check("image-spec", f"{schema}-schema.json", file.read())


def test_an_index_is_read_for_this_machine(store):
    made = image(store, {"a": b"1"})
    here = Platform.here()
    other = Descriptor(media_types.MANIFEST, Digest.of(b"x"), 1, platform=Platform("mips", "linux"))
    ours = Descriptor(media_types.MANIFEST, made.digest, made.descriptor.size, platform=here)
    both = store.blobs.put_bytes(encode(Index(manifests=(other, ours))), media_types.INDEX)
    store.names.set(Reference.parse("many"), both)
    assert store.image("many") == made
    alone = store.blobs.put_bytes(encode(Index(manifests=(other,))), media_types.INDEX)
    with pytest.raises(ImageNotFound, match="linux"):
        store.load(alone)


def test_what_is_wrong_with_an_image_is_told(store):
    made = image(store, {"a": b"1"}, name="app")
    config = store.blobs.path(made.manifest.config.digest)
    with open(config, "rb") as file:
        whole = file.read()
    with open(config, "wb") as file:
        file.write(whole.replace(b"linux", b"Linux"))
    with pytest.raises(Corrupted):
        store.image("app")
    store.blobs.delete(made.manifest.config.digest)
    with pytest.raises(BlobNotFound):
        store.image("app")


def test_a_manifest_that_does_not_fit_its_config(store):
    made = image(store, {"a": b"1"}, {"b": b"2"})
    short = Manifest(config=made.manifest.config, layers=made.manifest.layers[:1])
    stored = store.blobs.put_bytes(encode(short), media_types.MANIFEST)
    with pytest.raises(InvalidDocument, match="1 layers"):
        store.load(stored)


def test_documents_of_any_size_are_not_read(store):
    big = store.blobs.put_bytes(json.dumps({"x": "y" * (5 << 20)}).encode(), media_types.MANIFEST)
    with pytest.raises(InvalidDocument, match="4 MiB"):
        store.load(big)


def test_a_store_of_another_kind_is_not_touched(tmp_path):
    Store(tmp_path / "home")
    marker = tmp_path / "home/layout/oci-layout"
    marker.write_text('{"imageLayoutVersion":"9.0.0"}')
    with pytest.raises(Corrupted):
        Store(tmp_path / "home")
    assert "9.0.0" in marker.read_text()


def test_a_store_is_private(tmp_path):
    Store(tmp_path / "home")
    assert (tmp_path / "home").stat().st_mode & 0o077 == 0
