"""Layers unpacked while they are pulled: nothing is seen of them before every byte has been compared."""

import itertools
import os
from pathlib import Path
from typing import ClassVar

import pytest

from sandcell.runtime.errors import BadInput, Corrupted, SandcellError
from sandcell.runtime.events import TransferEvent
from sandcell.runtime.layer import tar_write
from sandcell.runtime.linux.idmap import HOST
from sandcell.runtime.oci.config import History, ImageConfig, RootFs
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.image import Image
from sandcell.runtime.oci.platform import Platform
from sandcell.runtime.registry.answers import Handler
from sandcell.runtime.store import Store
from sandcell.runtime.store.worker import Here, Manner
from tests.store.images import FLAVOUR, image

from .serving import client, own, serving
from .test_cut_connections import Cut, found
from .test_transfer import get, send

MANNER = Manner(HOST, FLAVOUR, Here())


class Nobody:
    """A worker that has nothing to do."""


def seen(store: Store) -> list[str]:
    return os.listdir(f"{store.home}/snapshots")


def unpacked(store: Store, made: Image) -> list[list[str]]:
    """What is in the layers, which are all there."""
    return [
        sorted(os.listdir(f"{one.path}/d"))
        for one in store.snapshots.ensure(made, HOST, FLAVOUR, Nobody())  # type: ignore[arg-type]
    ]


def test_a_pulled_image_is_unpacked(tmp_path: Path, here: Store, there: Store) -> None:
    made = image(here, {"a": os.urandom(1_500_000)}, {"b": b"small"}, {"c": b"z" * 3_000_000}, name="hello")
    with serving(own(tmp_path / "served")) as server:
        wire = client(server.name, tmp_path)
        send(wire, made, here)
        events: list[TransferEvent] = []
        assert get(wire, there, manner=MANNER, on_event=events.append) == made
        assert [event.state for event in events if event.state != "moving"] == ["done"] * 4, "each once"
        assert unpacked(there, made) == [["a"], ["b"], ["c"]]
        assert len(seen(there)) == 6
        # From blobs that are here already, too.
        again = Store(tmp_path / "again")
        assert get(wire, again) == made
        assert seen(again) == []
        assert get(wire, again, manner=MANNER) == made
        assert unpacked(again, made) == [["a"], ["b"], ["c"]]


def test_an_image_for_others_is_only_stored(tmp_path: Path, here: Store, there: Store) -> None:
    config = ImageConfig(architecture="s390x", os="linux", rootfs=RootFs())
    layer = here.layers.of_entries([])
    made = here.write_image(config.with_layer(layer.diff_id, History()), [layer.descriptor])
    with serving(own(tmp_path / "served")) as server:
        wire = client(server.name, tmp_path)
        send(wire, made, here)
        assert get(wire, there, manner=MANNER) == made
    assert seen(there) == []


@pytest.mark.slow
def test_a_connection_may_break_at_any_byte(tmp_path: Path, here: Store) -> None:
    small = image(here, {"a": os.urandom(700)}, name="small")
    with serving(own(tmp_path / "served")) as server:
        send(client(server.name, tmp_path), small, here)
        for cut in range(0, 2600, 61):

            class Once(Cut):
                after = itertools.cycle([cut, 1 << 40])

            there = Store(tmp_path / f"there-{cut}")
            assert get(found(server, tmp_path, Once), there, manner=MANNER) == small
            assert unpacked(there, small) == [["a"]]


class Short(Handler):
    """Sends no more than the first ``most`` bytes of a blob, however often it is asked."""

    digest: ClassVar[str]
    most: ClassVar[int]

    def blob(self, name: str, digest: str) -> None:
        if digest != self.digest:
            super().blob(name, digest)
            return
        start, most, real = int(self.headers.get("Range", "bytes=0-")[6:-1]), self.most, self.connection
        self.close_connection = True
        if start >= most:
            return

        class Counted:
            settimeout = real.settimeout

            def sendfile(self, file: object, at: int, count: int) -> None:
                real.sendfile(file, at, min(count, most - at))  # type: ignore[arg-type]

        self.connection = Counted()  # type: ignore[assignment]
        super().blob(name, digest)
        self.connection = real
        self.close_connection = True


@pytest.mark.slow
def test_where_it_breaks_for_good_nothing_is_seen(tmp_path: Path, here: Store, there: Store) -> None:
    made = image(here, {"a": b"small"}, {"b": os.urandom(3000)}, name="hello")
    big = made.layers[1].descriptor
    with serving(own(tmp_path / "served")) as server:
        send(client(server.name, tmp_path), made, here)
        for most in range(0, big.size, 97):
            Short.digest, Short.most = str(big.digest), most
            with pytest.raises(SandcellError):
                get(found(server, tmp_path, Short), there, manner=MANNER)
            assert seen(there) == []
            assert there.names.all() == {}
        # What came is gone on with, and unpacked from its beginning.
        assert get(found(server, tmp_path, Handler), there, manner=MANNER) == made
    assert unpacked(there, made) == [["a"], ["b"]]


def test_a_byte_that_is_wrong(tmp_path: Path, here: Store, there: Store) -> None:
    made = image(here, {"a": b"small"}, {"b": os.urandom(2000)}, name="hello")
    big = made.layers[1].descriptor
    with serving(own(tmp_path / "served")) as server:
        wire = client(server.name, tmp_path)
        send(wire, made, here)
        path = server.shelf.store.blobs.path(big.digest)
        whole = Path(path).read_bytes()
        for at in (0, 5, big.size // 2, big.size - 2):
            Path(path).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            with pytest.raises(Corrupted):
                get(wire, there, manner=MANNER)
            assert seen(there) == []
            assert there.names.all() == {}
        Path(path).write_bytes(whole)
        assert get(wire, there, manner=MANNER) == made
    assert unpacked(there, made) == [["a"], ["b"]]


def hostile(store: Store, tar: bytes, diff_id: Digest) -> Image:
    """An image of one good layer and ``tar``, said to be ``diff_id``."""
    config = ImageConfig(architecture=Platform.here().architecture, os="linux", rootfs=RootFs())
    good = store.layers.of_entries([])
    bad = store.blobs.put_bytes(tar, "application/vnd.oci.image.layer.v1.tar")
    for one in (good.diff_id, diff_id):
        config = config.with_layer(one, History())
    return store.write_image(config, [good.descriptor, bad])


ESCAPE = tar_write.header(b"../../out", b"0", mode=0o644) + tar_write.END
PLAIN = tar_write.header(b"in", b"0", mode=0o644) + tar_write.END


@pytest.mark.parametrize(
    ("tar", "diff_id", "error"),
    [(ESCAPE, Digest.of(ESCAPE), BadInput), (PLAIN, Digest.of(b"other"), Corrupted)],
    ids=["climbs out", "another diff id"],
)
def test_a_layer_that_is_refused(
    tmp_path: Path, here: Store, there: Store, tar: bytes, diff_id: Digest, error: type[SandcellError]
) -> None:
    made = hostile(here, tar, diff_id)
    with serving(own(tmp_path / "served")) as server:
        wire = client(server.name, tmp_path)
        send(wire, made, here)
        with pytest.raises(error):
            get(wire, there, manner=MANNER)
        assert seen(there) == []
        assert there.names.all() == {}
        # Who only carries images about is not concerned.
        assert get(wire, there) == made
