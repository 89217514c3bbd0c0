"""Images written out: whole indexes, compressed, as a layout; and read in again."""

import os
import tempfile

import msgspec
import pytest

from sandcell.runtime.errors import BadInput, Conflict, ImageNotFound, InvalidDocument
from sandcell.runtime.oci import media_types
from sandcell.runtime.oci.decode import encode
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.manifest import Index
from sandcell.runtime.oci.platform import Platform
from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.store import Store

from .images import image, later
from .processes import killed_at

OTHER = Platform("s390x", "linux")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "home")


def index(store, *images, name, platforms=None):
    """An index of images, the first one for this machine."""
    platforms = platforms or (Platform.here(), OTHER, Platform("riscv64", "linux"))
    entries = [
        msgspec.structs.replace(one.descriptor, platform=platform)
        for one, platform in zip(images, platforms, strict=False)
    ]
    made = store.blobs.put_bytes(encode(Index(manifests=tuple(entries))), media_types.INDEX)
    store.names.set(Reference.parse(name), made)
    return made


@pytest.fixture
def many(store):
    images = image(store, {"a": b"here"}), image(store, {"a": b"there"})
    return index(store, *images, name="many"), images


@pytest.mark.parametrize("form", ["oci-archive", "oci-dir"])
def test_an_index_stays_whole(store, many, tmp_path, form):
    entry, (here, there) = many
    store.save("many", str(tmp_path / "out"), form)
    new = Store(tmp_path / "new")
    (loaded,) = new.take(str(tmp_path / "out"))
    assert (loaded.name, loaded.image) == ("many:latest", here)
    assert new.names.get(Reference.parse("many")).digest == entry.digest
    assert new.image(str(there.digest)).layers == there.layers
    later(new)
    new.prune()
    assert new.blobs.has(there.layers[0].descriptor.digest)


def test_of_a_part_of_an_index_the_image_for_this_machine_is_saved(store, many, tmp_path):
    _, (here, there) = many
    store.blobs.delete(there.layers[0].descriptor.digest)
    store.save("many", str(tmp_path / "out"))
    (loaded,) = Store(tmp_path / "new").take(str(tmp_path / "out"))
    assert loaded.image == here


def test_of_a_part_of_an_index_the_image_for_this_machine_is_loaded(store, many, tmp_path):
    _, (here, there) = many
    store.save("many", str(tmp_path / "out"), "oci-dir")
    gone = there.layers[0].descriptor.digest
    os.unlink(tmp_path / f"out/blobs/{gone.algorithm}/{gone.hex}")
    new = Store(tmp_path / "new")
    new.take(str(tmp_path / "out"))
    assert new.names.get(Reference.parse("many")).digest == here.digest


def test_an_index_without_this_machine_is_told(store, tmp_path):
    index(store, image(store, {"a": b""}), name="far", platforms=[OTHER])
    with pytest.raises(ImageNotFound):
        store.save("far", str(tmp_path / "out"))


def test_indexes_in_indexes_end(store, tmp_path):
    inner = index(store, image(store, {"a": b""}), name="deep")
    for _ in range(6):
        named = msgspec.structs.replace(inner, platform=Platform.here())
        inner = store.blobs.put_bytes(encode(Index(manifests=(named,))), media_types.INDEX)
    (tmp_path / "out/blobs/sha256").mkdir(parents=True)
    for digest in store.blobs.list():
        os.link(store.blobs.path(digest), tmp_path / f"out/blobs/sha256/{digest.hex}")
    (tmp_path / "out/oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    top = Descriptor(media_types.INDEX, inner.digest, inner.size).named("x")
    (tmp_path / "out/index.json").write_bytes(encode(Index(manifests=(top,))))
    with pytest.raises((InvalidDocument, ImageNotFound)):
        Store(tmp_path / "new").take(str(tmp_path / "out"))


@pytest.mark.parametrize("form", ["oci-archive", "docker-archive"])
@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_a_compressed_archive_is_loaded(store, tmp_path, form, compression):
    made = image(store, {"a": b"1" * 100}, name="one")
    store.save("one", str(tmp_path / "out"), form, compression)
    (loaded,) = Store(tmp_path / "new").take(str(tmp_path / "out"))
    assert loaded.image.config == made.config


def test_a_directory_is_new_or_empty(store, tmp_path):
    image(store, {"a": b"1"}, name="one")
    (tmp_path / "empty").mkdir()
    store.save("one", str(tmp_path / "empty"), "oci-dir")
    before = sorted(os.listdir(tmp_path))
    for path in ("empty", "file"):
        (tmp_path / "file").touch()
        with pytest.raises(Conflict):
            store.save("one", str(tmp_path / path), "oci-dir")
    with pytest.raises(BadInput), open(tmp_path / "file", "wb") as stream:
        store.save("one", stream, "oci-dir")
    assert sorted(os.listdir(tmp_path)) == sorted([*before, "file"])


def test_two_names_of_an_index_and_an_image_beside_it(store, many, tmp_path):
    entry, _ = many
    store.names.set(Reference.parse("again"), entry)
    one = image(store, {"b": b""}, name="one")
    store.save(["many", "one", "again"], str(tmp_path / "out"))
    new = Store(tmp_path / "new")
    assert {each.name for each in new.take(str(tmp_path / "out"))} == {
        "many:latest",
        "again:latest",
        "one:latest",
    }
    assert new.image("one") == one


@pytest.mark.slow
@pytest.mark.parametrize("form", ["oci-archive", "oci-dir", "docker-archive"])
def test_killed_while_saving_or_loading_nothing_half_is_seen(form):
    """Once for every single deed on files: what was saved is whole or not there, and so are names."""

    def deed(folder) -> None:
        Store(f"{folder}/one").save("app", f"{folder}/saved", form)
        Store(f"{folder}/two").take(f"{folder}/saved")

    number = 0
    while True:
        number += 1
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            made = image(Store(f"{folder}/one"), {"a": b"1"}, name="app")
            if not killed_at(number, lambda folder=folder: deed(folder)):
                break
            new = Store(f"{folder}/two")
            if os.path.exists(f"{folder}/saved"):
                Store(f"{folder}/three").take(f"{folder}/saved")
            for name in new.names.all():
                assert new.image(name).config == made.config
                new.blobs.verify(new.image(name).layers[0].descriptor.digest)
            new.prune()
            assert os.listdir(f"{folder}/two/tmp") == []
            if not os.path.exists(f"{folder}/saved"):
                Store(f"{folder}/one").save("app", f"{folder}/saved", form)
            assert new.take(f"{folder}/saved")[0].image.config == made.config
    assert number > 20
