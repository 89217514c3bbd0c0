import hashlib
import os

import pytest

from sandcell.runtime.errors import BlobNotFound, Corrupted
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.store import Store

TYPE = "application/octet-stream"


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "home")


def litter(store) -> list[str]:
    return os.listdir(f"{store.home}/tmp")


def test_what_is_put_is_read(store):
    descriptor = store.blobs.put_bytes(b"hello", TYPE)
    assert descriptor == Descriptor(TYPE, Digest.of(b"hello"), 5)
    assert store.blobs.read(descriptor.digest) == b"hello"
    assert store.blobs.has(descriptor.digest)
    assert store.blobs.size(descriptor.digest) == 5
    assert list(store.blobs.list()) == [descriptor.digest]
    store.blobs.verify(descriptor.digest)
    with store.blobs.open(descriptor.digest) as file:
        assert file.read(2) == b"he"
    assert litter(store) == []


def test_written_in_pieces_and_expected(store):
    wanted = Descriptor(TYPE, Digest.of(b"hello"), 5)
    with store.blobs.writer() as writer:
        writer.write(b"hel")
        writer.write(b"lo")
        assert writer.commit(TYPE, wanted) == wanted
    assert store.blobs.read(wanted.digest) == b"hello"


@pytest.mark.parametrize("expected", [Digest.of(b"other"), Descriptor(TYPE, Digest.of(b"hello"), 6)])
def test_what_was_not_expected_is_not_stored(store, expected):
    with store.blobs.writer() as writer:
        writer.write(b"hello")
        with pytest.raises(Corrupted):
            writer.commit(TYPE, expected)
    assert list(store.blobs.list()) == []
    assert litter(store) == []


def test_sha512_from_outside(store):
    digest = Digest.parse("sha512:" + hashlib.sha512(b"x").hexdigest())
    with store.blobs.writer() as writer:
        writer.write(b"x")
        assert writer.commit(TYPE, digest).digest == digest
    assert store.blobs.read(digest) == b"x"
    assert list(store.blobs.list()) == [digest]


def test_a_writer_that_gives_up_leaves_nothing(store):
    with pytest.raises(ZeroDivisionError), store.blobs.writer() as writer:
        writer.write(b"x")
        raise ZeroDivisionError
    assert litter(store) == []


def test_corruption_is_told_and_healed_by_writing_again(store):
    digest = store.blobs.put_bytes(b"hello", TYPE).digest
    with open(store.blobs.path(digest), "r+b") as file:
        file.write(b"j")
    with pytest.raises(Corrupted) as caught:
        store.blobs.read(digest)
    assert caught.value.hint
    with pytest.raises(Corrupted):
        store.blobs.verify(digest)
    store.blobs.put_bytes(b"hello", TYPE)
    store.blobs.verify(digest)


def test_what_is_not_there(store):
    digest = Digest.of(b"never")
    for ask in (store.blobs.read, store.blobs.size, store.blobs.open, store.blobs.verify):
        with pytest.raises(BlobNotFound):
            ask(digest)
    assert not store.blobs.has(digest)
    assert not store.blobs.touch(digest)
    assert store.blobs.delete(digest) is None


def test_blobs_are_files_like_those_of_other_tools(store):
    digest = store.blobs.put_bytes(b"plain", TYPE).digest
    assert store.blobs.path(digest) == f"{store.layout_path}/blobs/sha256/{digest.hex}"
    assert os.stat(store.blobs.path(digest)).st_mode & 0o777 == 0o644
