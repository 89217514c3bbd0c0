import os
from pathlib import Path

import pytest

from sandcell.runtime.errors import BlobNotFound, Corrupted
from sandcell.runtime.linux.idmap import HOST, IdMap, Range
from sandcell.runtime.store import Store
from sandcell.runtime.store.snapshots import snapshot_key
from sandcell.runtime.store.worker import Here

from .images import FLAVOUR, image

ONE = IdMap((Range(0, 1000, 1),), (Range(0, 1000, 1),))


class Watched(Here):
    """A worker that remembers what it was asked, and may fail at the n-th unpacking."""

    def __init__(self, fail_at: int = 0) -> None:
        self.unpacked: list[str] = []
        self._fail_at = fail_at

    def run(self, task, payload, stream=None):
        if task.endswith("unpack_layer"):
            self.unpacked.append(payload["target"])
            if len(self.unpacked) == self._fail_at:
                raise Corrupted("unpack", "layer", "it is told so by the test")
        return super().run(task, payload, stream)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "home")


def test_layers_are_unpacked_once_and_shared(store):
    base = image(store, {"a": b"1"}, {"b": b"2"})
    worker = Watched()
    found = store.snapshots.ensure(base, HOST, FLAVOUR, worker)
    assert [sorted(os.listdir(f"{one.path}/d")) for one in found] == [["a"], ["b"]]
    assert len(worker.unpacked) == 2
    more = image(store, {"a": b"1"}, {"b": b"2"}, {"c": b"3"})
    again = store.snapshots.ensure(more, HOST, FLAVOUR, worker)
    assert again[:2] == found
    assert len(worker.unpacked) == 3
    assert store.snapshots.ensure(more, HOST, FLAVOUR, worker) == again
    assert len(worker.unpacked) == 3


def test_keys_tell_stacks_owners_and_marks_apart(store):
    made = image(store, {"a": b"1"})
    chain = made.layers[0].chain_id
    keys = {snapshot_key(chain, ids, flavour) for ids in (HOST, ONE) for flavour in ("trusted", "user")}
    assert len(keys) == 4
    assert all(key.isalnum() and key == key.lower() and len(key) <= 26 for key in keys)
    # The same layer over another one is another snapshot.
    other = image(store, {"z": b"0"}, {"a": b"1"})
    assert other.layers[1].diff_id == made.layers[0].diff_id
    assert other.layers[1].chain_id != chain


def test_what_is_known_of_a_snapshot(store):
    made = image(store, {"a": b"1"})
    (one,) = store.snapshots.ensure(made, HOST, FLAVOUR)
    record = store.snapshots.record(one.key)
    assert (record.chain_id, record.id_map, record.flavour) == (one.chain_id, "host", FLAVOUR)
    assert (record.entries, record.approximated) == (2, ())
    assert store.snapshots.record("never") is None


def test_an_unpacking_that_fails_leaves_nothing_to_see(store):
    made = image(store, {"a": b"1"}, {"b": b"2"})
    with pytest.raises(Corrupted):
        store.snapshots.ensure(made, HOST, FLAVOUR, Watched(fail_at=2))
    assert os.listdir(f"{store.home}/snapshots") == []
    assert len(store.snapshots.ensure(made, HOST, FLAVOUR)) == 2


def test_half_of_a_snapshot_is_done_again(store):
    made = image(store, {"a": b"1"})
    (one,) = store.snapshots.ensure(made, HOST, FLAVOUR)
    os.unlink(f"{one.path}.json")
    os.unlink(f"{one.path}/d/a")
    new = Path(store.home, "snapshots", f".new-{one.key}")
    new.mkdir()
    (new / "junk").write_bytes(b"")
    assert store.snapshots.ensure(made, HOST, FLAVOUR) == (one,)
    assert os.listdir(f"{one.path}/d") == ["a"]
    assert not new.exists()


def test_a_layer_that_is_not_what_its_config_says(store):
    good, other = image(store, {"a": b"1"}), image(store, {"a": b"2"})
    wrong = store.write_image(good.config, other.manifest.layers)
    with pytest.raises(Corrupted):
        store.snapshots.ensure(wrong, HOST, FLAVOUR)
    assert os.listdir(f"{store.home}/snapshots") == []


def test_a_corrupted_layer_is_told(store):
    made = image(store, {"a": os.urandom(10_000)})
    path = store.blobs.path(made.layers[0].descriptor.digest)
    with open(path, "r+b") as file:
        file.seek(5000)
        byte = file.read(1)
        file.seek(5000)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(Corrupted):
        store.snapshots.ensure(made, HOST, FLAVOUR)


def test_a_missing_layer_is_told_unless_it_is_unpacked(store):
    made = image(store, {"a": b"1"})
    store.snapshots.ensure(made, HOST, FLAVOUR)
    store.blobs.delete(made.layers[0].descriptor.digest)
    assert len(store.snapshots.ensure(made, HOST, FLAVOUR)) == 1
    with pytest.raises(BlobNotFound):
        store.snapshots.ensure(made, ONE, "user")


def test_an_image_without_layers_has_none(store):
    assert store.snapshots.ensure(image(store), HOST, FLAVOUR) == ()


def test_a_writable_directory_becomes_the_snapshot_of_its_layer(store, tmp_path):
    upper = tmp_path / "upper"
    (upper / "d").mkdir(parents=True)
    (upper / "d/new").write_bytes(b"1")
    upper.chmod(0o755)
    layer = store.layers.of_upper(str(upper))
    made = image(store, {"a": b"1"})
    from sandcell.runtime.oci.config import History

    config = made.config.with_layer(layer.diff_id, History(created_by="RUN"))
    new = store.write_image(config, (*made.manifest.layers, layer.descriptor))
    chain = new.layers[1].chain_id
    assert store.snapshots.adopt(str(upper), chain, HOST, FLAVOUR, layer.size, layer.entries)
    assert not upper.exists()
    worker = Watched()
    found = store.snapshots.ensure(new, HOST, FLAVOUR, worker)
    assert len(worker.unpacked) == 1
    assert os.listdir(f"{found[1].path}/d") == ["new"]
    (tmp_path / "again").mkdir()
    assert not store.snapshots.adopt(str(tmp_path / "again"), chain, HOST, FLAVOUR, 0, 0)
