import os

import pytest

from sandcell.runtime.linux.idmap import HOST
from sandcell.runtime.oci import media_types
from sandcell.runtime.oci.decode import encode
from sandcell.runtime.oci.manifest import Index
from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.store import Store
from sandcell.runtime.store.prune import Pruned

from .images import FLAVOUR, image, later


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "home")


def whole(store, made) -> bool:
    digests = [made.digest, made.manifest.config.digest, *(layer.digest for layer in made.manifest.layers)]
    return all(store.blobs.has(digest) for digest in digests)


def test_what_is_named_stays_and_the_rest_goes(store):
    kept = image(store, {"a": b"1"}, name="kept")
    lost = image(store, {"a": b"1"}, {"b": b"2"})
    store.snapshots.ensure(kept, HOST, FLAVOUR)
    dead = store.snapshots.ensure(lost, HOST, FLAVOUR)[1]
    later(store)
    done = store.prune()
    assert whole(store, kept)
    assert not whole(store, lost)
    assert {name for name in done.removed if name.startswith("snapshot")} == {f"snapshot {dead.key}"}
    assert set(done.removed) > {str(lost.digest), str(lost.manifest.layers[1].digest)}
    assert done.size > 0
    assert len(store.snapshots.ensure(kept, HOST, FLAVOUR)) == 1
    assert store.prune().removed == ()


def test_what_a_cached_step_tells_of_stays_until_the_cache_is_forgotten(store):
    made = image(store, {"a": b"1"})
    store.cache.put("step", {"layer": {"digest": str(made.manifest.layers[0].digest), "size": 3}})
    later(store)
    store.prune()
    assert list(store.blobs.list()) == [made.manifest.layers[0].digest]
    store.prune(cache=True)
    assert list(store.blobs.list()) == []


def test_what_is_written_or_touched_during_work_stays(store):
    old = image(store, {"a": b"1"})
    later(store)
    with store.leases.working():
        new = image(store, {"b": b"2"})
        assert store.blobs.touch(old.manifest.layers[0].digest)
        later(store)
        store.prune()
        assert whole(store, new)
        assert store.blobs.has(old.manifest.layers[0].digest)
        assert not store.blobs.has(old.digest)
    store.prune()
    assert list(store.blobs.list()) == []


def test_an_image_behind_an_index_is_reached(store):
    made = image(store, {"a": b"1"})
    many = store.blobs.put_bytes(encode(Index(manifests=(made.descriptor,))), media_types.INDEX)
    store.names.set(Reference.parse("many"), many)
    store.snapshots.ensure(made, HOST, FLAVOUR)
    later(store)
    assert store.prune().removed == ()


def test_what_somebody_needs_stays(store):
    made = image(store, {"a": b"1"})
    later(store)
    assert store.prune(keep=[made.digest]).removed == ()
    assert whole(store, made)


def test_damage_does_not_stop_it(store):
    made = image(store, {"a": b"1"}, name="damaged")
    with open(store.blobs.path(made.digest), "wb") as file:
        file.write(b"{")
    lost = image(store, {"b": b"1"})
    later(store)
    store.prune()
    assert not whole(store, lost)
    assert store.blobs.has(made.digest)


def test_litter_goes(store):
    for name in ("tmp/dead", "leases/dead"):
        with open(f"{store.home}/{name}", "wb"):
            pass
    os.makedirs(f"{store.home}/snapshots/.new-abc/d")
    os.makedirs(f"{store.home}/snapshots/def/d")
    with store.blobs.writer() as writer:
        store.prune()
        assert os.listdir(f"{store.home}/tmp") == [os.path.basename(writer.path)]
    assert os.listdir(f"{store.home}/leases") == []
    assert os.listdir(f"{store.home}/snapshots") == []


def test_what_was_never_finished_is_told_with_its_bytes(store):
    with open(f"{store.home}/tmp/sha256-part", "wb") as part:
        part.write(b"x" * 1000)
    os.makedirs(f"{store.home}/snapshots/.new-abc-1/d")
    with open(f"{store.home}/snapshots/.new-abc-1/d/f", "wb") as half:
        half.write(b"x" * 500)
    os.link(half.name, f"{half.name}2")
    with store.blobs.writer() as writer:
        writer.write(b"in use")
        would = store.prune(dry_run=True)
        assert would == Pruned(("unfinished sha256-part", "snapshot abc-1"), 1500)
        assert os.path.exists(part.name) and os.path.exists(half.name)
        assert store.prune() == would
        assert store.prune() == Pruned()


def test_the_cache_keeps_what_it_was_told(store):
    store.cache.put("key/with: anything\n", {"a": [1, "x"]})
    assert store.cache.get("key/with: anything\n") == {"a": [1, "x"]}
    assert store.cache.get("other") is None
    (name,) = os.listdir(f"{store.home}/cache")
    with open(f"{store.home}/cache/{name}", "wb"):
        pass
    assert store.cache.get("key/with: anything\n") is None
    store.cache.clear()
    assert os.listdir(f"{store.home}/cache") == []


def test_a_directory_where_a_host_is_being_tried_stays_and_one_left_behind_goes(store):
    tried, old = f"{store.home}/tmp/probe-1", f"{store.home}/tmp/probe-2"
    for path in (tried, old):
        os.makedirs(f"{path}/work")
    os.utime(old, (1, 1))
    store.prune()
    assert os.listdir(f"{store.home}/tmp") == ["probe-1"]
