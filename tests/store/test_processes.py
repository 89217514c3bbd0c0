"""Many processes, one store."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sandcell.runtime.linux.idmap import HOST
from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.store import Store
from sandcell.runtime.store.worker import Here

from .images import FLAVOUR, image, later
from .processes import ended, forked, killed_at


class Counted(Here):
    """A worker that leaves a mark for each layer it unpacks."""

    def __init__(self, marks: str) -> None:
        self._marks = marks

    def run(self, task, payload, stream=None):
        if task.endswith("unpack_layer"):
            with open(f"{self._marks}/{os.path.basename(payload['target'])}", "a") as file:
                file.write("x")
        return super().run(task, payload, stream)


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


def test_one_unpacks_and_the_others_wait(home, tmp_path):
    made = image(Store(home), *({"f": os.urandom(20_000)} for _ in range(3)))
    marks = tmp_path / "marks"
    marks.mkdir()
    gate, opener = os.pipe()

    def deed() -> None:
        os.close(opener)
        os.read(gate, 1)
        found = Store(home).snapshots.ensure(made, HOST, FLAVOUR, Counted(str(marks)))
        assert [os.listdir(f"{one.path}/d") for one in found] == [["f"]] * 3

    children = [forked(deed) for _ in range(6)]
    os.close(gate)
    os.close(opener)
    assert [ended(child) for child in children] == [0] * 6
    assert [path.read_text() for path in marks.iterdir()] == ["x"] * 3


def test_names_given_at_once_are_all_there(home):
    made = image(Store(home), {"a": b"1"})

    def deed(number: int) -> None:
        for turn in range(10):
            Store(home).names.set(Reference.parse(f"app{number}:{turn}"), made.descriptor)

    children = [forked(lambda number=number: deed(number)) for number in range(4)]
    assert [ended(child) for child in children] == [0] * 4
    assert len(Store(home).names.all()) == 40


def test_many_make_the_store_at_once(home):
    children = [forked(lambda: image(Store(home), {"a": b"1"}, name="app") and None) for _ in range(6)]
    assert [ended(child) for child in children] == [0] * 6
    assert Store(home).image("app").layers


@pytest.mark.slow
def test_pruning_while_others_build_takes_nothing_from_them(home):
    store = Store(home)
    done, finished = os.pipe()

    def build(number: int) -> None:
        os.close(done)
        for turn in range(25):
            # Some layers are everybody's, and of no name between two builds.
            made = image(
                Store(home), {"shared": b"%d" % (turn % 3)}, {"own": b"%d" % number}, name=f"app{number}"
            )
            found = Store(home).image(f"app{number}")
            assert found == made
            for layer in found.layers:
                Store(home).blobs.verify(layer.descriptor.digest)
            Store(home).names.remove(Reference.parse(f"app{number}"))

    children = [forked(lambda number=number: build(number)) for number in range(3)]
    os.close(finished)
    os.set_blocking(done, False)

    def building() -> bool:
        try:
            return os.read(done, 1) != b""
        except BlockingIOError:
            return True

    pruned = 0
    while building():
        pruned += len(store.prune().removed)
    os.close(done)
    assert [ended(child) for child in children] == [0] * 3
    later(store)
    assert pruned + len(store.prune().removed) > 0
    assert list(store.blobs.list()) == []


def _look(home: str) -> None:
    """Is everything that can be seen whole, can the rest be pruned, and can all be done again?"""
    store = Store(home)
    for name in store.names.all():
        found = store.image(name)
        for layer in found.layers:
            store.blobs.verify(layer.descriptor.digest)
        assert len(store.snapshots.ensure(found, HOST, FLAVOUR)) == 2
    for key in set(store.snapshots.keys()):
        if store.snapshots.record(key):
            assert os.listdir(f"{store.home}/snapshots/{key}/d") in (["a"], ["b"])
    store.prune()
    assert os.listdir(f"{store.home}/tmp") == []
    assert os.listdir(f"{store.home}/leases") == []
    made = image(store, {"a": b"1"}, {"b": b"2"}, name="app")
    assert len(store.snapshots.ensure(made, HOST, FLAVOUR)) == 2
    assert store.image("app") == made


@pytest.mark.slow
def test_killed_at_any_moment_the_store_opens_and_is_whole():
    """Once for every single deed on files: what is named is whole, the rest can be pruned and done again."""

    def deed(home) -> None:
        store = Store(home)
        made = image(store, {"a": b"1"}, {"b": b"2"}, name="app")
        store.snapshots.ensure(made, HOST, FLAVOUR)
        store.cache.put("step", {"digest": str(made.digest)})
        store.names.remove(Reference.parse("app"))
        store.cache.clear()
        store.prune()

    number = 0
    while True:
        number += 1
        # In memory: not what a disk keeps is asked here, but what a process leaves behind.
        with tempfile.TemporaryDirectory(dir="/dev/shm") as home:
            if not killed_at(number, lambda home=home: deed(home)):
                break
            _look(home)
    assert number > 100


_FULL = """
import os, subprocess, sys
from sandcell.runtime.errors import StoreFull
from sandcell.runtime.linux.idmap import HOST
from sandcell.runtime.store import Store
from tests.store.images import image, FLAVOUR, later

home, options = sys.argv[1:]
subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", home], check=True)
store = Store(home + "/store")
kept = image(store, {"small": b"1"}, name="kept")
many = {"f%d" % number: b"" for number in range(400)}

def full(deed):
    try:
        deed()
    except StoreFull as error:
        assert error.hint
        return "full"
    return "done"

# Compresses well, so that the layer fits and what is in it does not.
fits = image(Store(sys.argv[1] + "-beside"), {"big": bytes(4 << 20)}, many)
for layer in fits.layers:
    with store.blobs.writer() as writer, Store(home + "-beside").blobs.open(layer.descriptor.digest) as file:
        writer.write(file.read())
        writer.commit(layer.descriptor.media_type, layer.descriptor)
print("unpack", full(lambda: store.snapshots.ensure(fits, HOST, FLAVOUR)))
print("left", [name for name in os.listdir(home + "/store/snapshots")])
print("blob", full(lambda: image(store, {"random%d" % n: os.urandom(1 << 20) for n in range(4)})))
print("tmp", os.listdir(home + "/store/tmp"))
later(store)
store.prune()
again = Store(home + "/store")
print("whole", again.image("kept") == kept, len(again.snapshots.ensure(kept, HOST, FLAVOUR)))
image(again, {"fits": b"again"}, name="more")
print("names", list(again.names.all()))
"""


@pytest.mark.kernel
@pytest.mark.slow
@pytest.mark.parametrize("options", ["size=2m", "size=8m,nr_inodes=120"], ids=["bytes", "inodes"])
def test_a_full_disk(tmp_path, options):
    """On a file system of its own, in a mount namespace of its own."""
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    (tmp_path / "home").mkdir()
    run = [
        "unshare",
        "-m",
        "--propagation",
        "private",
        sys.executable,
        "-c",
        _FULL,
        str(tmp_path / "home"),
        options,
    ]
    done = subprocess.run(run, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    if "mount:" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    blob = "full" if options == "size=2m" else "done"
    assert done.stdout.splitlines() == [
        "unpack full",
        "left []",
        f"blob {blob}",
        "tmp []",
        "whole True 1",
        "names ['kept:latest', 'more:latest']",
    ]
