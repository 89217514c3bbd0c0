"""Layers that are unpacked while they come, and several at once: the same as one after the other."""

import os
import stat
import threading
from pathlib import Path

import pytest

from sandcell.runtime.errors import Corrupted
from sandcell.runtime.layer.tree import Entry
from sandcell.runtime.linux.idmap import HOST
from sandcell.runtime.oci.config import History, ImageConfig, RootFs
from sandcell.runtime.oci.image import Image
from sandcell.runtime.oci.platform import Platform
from sandcell.runtime.store import Store

from .images import FLAVOUR, image

MINE = {"uid": os.geteuid(), "gid": os.getegid()}
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="a root directory belongs to root")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


def built(store: Store, *layers: list[tuple[Entry, bytes | None]]) -> Image:
    config = ImageConfig(architecture=Platform.here().architecture, os="linux", rootfs=RootFs())
    made = [store.layers.of_entries(rows) for rows in layers]
    for layer in made:
        config = config.with_layer(layer.diff_id, History())
    return store.write_image(config, [layer.descriptor for layer in made])


def directory(path: str, mode: int) -> tuple[Entry, None]:
    return Entry(path, "dir", mode, **MINE), None


def file(path: str, data: bytes = b"x") -> tuple[Entry, bytes]:
    return Entry(path, "file", 0o644, size=len(data), **MINE), data


def arrived(store: Store, made: Image, *, halt: bool = False) -> None:
    """Have all layers come, the uppermost first, as far as that can be."""
    with store.snapshots.arriving(made, HOST, FLAVOUR) as arriving:
        for layer in reversed(made.layers):
            taker = arriving.taker(layer.descriptor.digest)
            assert taker is not None
            taker.begin()
            data = store.blobs.read(layer.descriptor.digest)
            taker.write(data[:7])
            taker.begin()  # the part was damaged
            for at in range(0, len(data), 50):
                taker.write(data[at : at + 50])
            if not halt:
                taker.end()
        assert list(Path(store.home, "snapshots").glob("*.json")) == []
        if not halt:
            arriving.finish()


def state(store: Store, made: Image) -> list[list[tuple[str, int, int]]]:
    """Name, mode and time of everything in each layer."""
    found = store.snapshots.ensure(made, HOST, FLAVOUR, Nobody())  # type: ignore[arg-type]
    stats = [
        [(str(path.relative_to(one.path)), path.lstat()) for path in sorted(Path(one.path).rglob("*"))]
        + [(".", os.stat(one.path))]
        for one in found
    ]
    return [
        [(name, status.st_mode, 0 if name in MADE else status.st_mtime_ns) for name, status in layer]
        for layer in stats
    ]


class Nobody:
    """A worker that has nothing to do."""


MADE = (".", "elsewhere")
"""What no archive tells the time of."""

ROOTED = [directory("", 0o711), directory("closed", 0o700), file("closed/a")]


@needs_root
@pytest.mark.parametrize(
    "upper",
    [
        [directory("closed", 0o700), file("closed/b")],
        [file("closed/b")],
        [file("elsewhere/c")],
        [(Entry("link", "hardlink", link="closed/a"), None)],
        [directory("", 0o755), directory("d", 0o755)],
        [directory("", 0o755), file("closed/b")],
    ],
    ids=[
        "own root from below",
        "directory from below",
        "new directory",
        "hard link",
        "root",
        "root and file",
    ],
)
def test_what_layers_take_from_those_below_them(tmp_path, upper):
    first, second = Store(tmp_path / "first"), Store(tmp_path / "second")
    layers = (ROOTED, upper, [file("closed/z"), directory("e", 0o755)])
    made = built(first, *layers)
    assert built(second, *layers) == made
    arrived(first, made)
    # One after the other, each when all below are there.
    for number in range(1, len(layers) + 1):
        second.snapshots.ensure(built(second, *layers[:number]), HOST, FLAVOUR)
    assert state(first, made) == state(second, made)
    third = Store(tmp_path / "third")
    built(third, *layers)
    third.snapshots.ensure(made, HOST, FLAVOUR)
    assert state(third, made) == state(second, made)
    assert stat.S_IMODE(os.stat(first.snapshots.ensure(made, HOST, FLAVOUR)[0].path).st_mode) == 0o711


def test_equal_layers_of_one_image(store):
    made = image(store, {"a": b"1"}, {"b": b"2"}, {"a": b"1"})
    with store.snapshots.arriving(made, HOST, FLAVOUR) as arriving:
        taker = arriving.taker(made.layers[0].descriptor.digest)
        taker.begin()
        taker.write(store.blobs.read(made.layers[0].descriptor.digest))
        taker.end()
        arriving.finish()
    found = store.snapshots.ensure(made, HOST, FLAVOUR, Nobody())
    assert [os.listdir(f"{one.path}/d") for one in found] == [["a"], ["b"], ["a"]]


def test_nothing_remains_of_what_is_not_finished(store):
    made = image(store, {"a": b"1" * 100_000}, {"b": b"2"})
    arrived(store, made, halt=True)
    assert os.listdir(f"{store.home}/snapshots") == []
    assert [name for name in os.listdir(f"{store.home}/locks") if name.startswith("snapshot-")] == []
    assert not [thread for thread in threading.enumerate() if thread.name == "unpack"]


def test_what_is_not_what_the_config_says_is_seen_by_nobody(store):
    good, other = image(store, {"a": b"1"}, {"b": b"1"}), image(store, {"a": b"1"}, {"b": b"2"})
    wrong = store.write_image(good.config, other.manifest.layers)
    with pytest.raises(Corrupted):
        arrived(store, wrong)
    assert os.listdir(f"{store.home}/snapshots") == []


def test_who_is_second_takes_what_is_there(store):
    made = image(store, {"a": b"1"}, {"b": b"2"})
    with store.snapshots.arriving(made, HOST, FLAVOUR) as arriving:
        (one, two) = store.snapshots.ensure(made, HOST, FLAVOUR)
        before = os.stat(one.path).st_ino
        arriving.finish()
    assert os.stat(one.path).st_ino == before
    assert sorted(os.listdir(f"{store.home}/snapshots")) == sorted(
        [one.key, f"{one.key}.json", two.key, f"{two.key}.json"]
    )


def test_prune_takes_what_the_dead_left_and_not_what_is_coming(store):
    made = image(store, {"a": b"1"}, name="kept")
    with store.snapshots.arriving(made, HOST, FLAVOUR) as arriving:
        taker = arriving.taker(made.layers[0].descriptor.digest)
        taker.begin()
        taker.write(store.blobs.read(made.layers[0].descriptor.digest))
        taker.end()
        taker.wait()
        (coming,) = os.listdir(f"{store.home}/snapshots")
        # As a process that was killed would leave it.
        dead = Path(store.home, "snapshots", f"{coming}0")
        dead.mkdir()
        (dead / "junk").write_bytes(b"")
        store.prune()
        assert os.listdir(f"{store.home}/snapshots") == [coming]
        arriving.finish()
    assert len(store.snapshots.ensure(made, HOST, FLAVOUR, Nobody())) == 1
    assert not [name for name in os.listdir(f"{store.home}/locks") if "-" in name.removeprefix("snapshot-")]
