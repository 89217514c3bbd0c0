"""Transfers that break: at any byte, by kill -9, on a full disk, beside a prune; and what is left then."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest

from sandcell.runtime.errors import Corrupted, RegistryRefused, SandcellError
from sandcell.runtime.events import TransferEvent
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.image import Image
from sandcell.runtime.registry.answers import Handler
from sandcell.runtime.registry.server import Server
from sandcell.runtime.registry.settings import Host, Settings
from sandcell.runtime.registry.uploads import Upload
from sandcell.runtime.store import Store
from tests.store.images import image

from .serving import client, debian_registry, own, serving
from .test_hostile_clients import until
from .test_transfer import get, send


@pytest.fixture
def made(here: Store) -> Image:
    return image(here, {"a": os.urandom(1_500_000)}, {"b": b"small"}, name="hello")


class Broken(Handler):
    """The first ``times`` bodies break off in the middle."""

    times = 0
    offsets: ClassVar[list[int]]

    def _check_offset(self, upload: Upload) -> None:
        super()._check_offset(upload)
        type(self).offsets.append(upload.offset)
        if self._left and self._left > 1000 and type(self).times > 0:
            type(self).times -= 1
            part = self.rfile.read(self._left // 2)
            self._left -= len(part)
            upload.take([part])
            self.connection.close()
            raise ConnectionError


@pytest.mark.parametrize("chunk", [0, 400_000])
def test_a_broken_upload_goes_on_where_it_was(tmp_path: Path, here: Store, made: Image, chunk: int) -> None:
    class Twice(Broken):
        times = 2
        offsets: ClassVar[list[int]] = []

    with serving(own(tmp_path / "served"), Twice) as server:
        wire = client(server.name, tmp_path, Settings({server.name: Host(chunk=chunk)}))
        send(wire, made, here)
        assert server.shelf.store.image("team/hello:1") == made
    assert Twice.times == 0
    size = max(layer.size for layer in made.manifest.layers)
    assert any(0 < offset < size for offset in Twice.offsets)


def test_what_takes_no_large_bodies_gets_chunks(tmp_path: Path, here: Store) -> None:
    big = image(here, {"a": os.urandom(9 << 20)}, name="big")
    seen: list[int] = []

    class Narrow(Handler):
        def _open_body(self) -> None:
            super()._open_body()
            seen.append(self._left or 0)
            if (self._left or 0) > (8 << 20):
                self.close_connection = True
                self._left = 0
                from sandcell.runtime.registry.exchange import Refusal

                self.connection.settimeout(5)
                raise Refusal(413, "SIZE_INVALID", "too large for what stands before it")

        def _answer(self, status: int, headers: dict[str, str], data: bytes = b"") -> None:
            if status == 413:
                self._left = int(self.headers["Content-Length"])
            super()._answer(status, headers, data)

    with serving(own(tmp_path / "served"), Narrow) as server:
        send(client(server.name, tmp_path), big, here)
        assert server.shelf.store.image("team/hello:1") == big
    assert max(seen) > (8 << 20) >= sorted(seen)[-2]


@pytest.mark.peer("docker-registry")
@pytest.mark.slow
def test_debian_s_registry_takes_chunks(tmp_path: Path, here: Store, there: Store, made: Image) -> None:
    with debian_registry(tmp_path) as name:
        wire = client(name, tmp_path, Settings({name: Host(chunk=300_000)}))
        send(wire, made, here)
        assert get(wire, there) == made


class Half(Handler):
    """Gives half of a large blob, again and again nothing more."""

    asked: ClassVar[list[str]]

    def blob(self, name: str, digest: str) -> None:
        told = self.headers.get("Range", "")
        type(self).asked.append(told)
        real = self.connection

        class Short:
            settimeout = real.settimeout

            def sendfile(self, file: object, start: int, count: int) -> None:
                if not told:
                    real.sendfile(file, start, min(count, 800_000))  # type: ignore[arg-type]

        if self.command == "GET":
            self.connection = Short()  # type: ignore[assignment]
        try:
            super().blob(name, digest)
        finally:
            self.connection = real
            self.close_connection = True


def half(server: Server, tmp_path: Path, there: Store) -> None:
    """A pull that ends in the middle of the large layer."""

    class Mine(Half):
        asked: ClassVar[list[str]] = []

    server.RequestHandlerClass = Mine
    with pytest.raises(RegistryRefused) as caught:
        get(client(server.name, tmp_path), there)
    assert "pull again" in caught.value.hint
    server.RequestHandlerClass = Handler
    assert there.names.all() == {}


def asked_for(server: Server) -> list[str]:
    """Lets a server write down the ranges it is asked for."""

    class Told(Handler):
        def blob(self, name: str, digest: str) -> None:
            found.append(self.headers.get("Range", ""))
            super().blob(name, digest)

    found: list[str] = []
    server.RequestHandlerClass = Told
    return found


def test_the_next_pull_goes_on_where_one_failed(
    tmp_path: Path, here: Store, there: Store, made: Image
) -> None:
    with serving(own(tmp_path / "served")) as server:
        send(client(server.name, tmp_path), made, here)
        half(server, tmp_path, there)
        ranges = asked_for(server)
        assert get(client(server.name, tmp_path), there) == made
    assert [one for one in ranges if one] == ["bytes=800000-"]
    assert os.listdir(f"{there.home}/tmp") == []


def test_a_part_that_was_damaged_is_not_believed(
    tmp_path: Path, here: Store, there: Store, made: Image
) -> None:
    with serving(own(tmp_path / "served")) as server:
        send(client(server.name, tmp_path), made, here)
        half(server, tmp_path, there)
        (part,) = [p for p in Path(there.home, "tmp").iterdir() if p.stat().st_size == 800_000]
        part.write_bytes(bytes(800_000))
        ranges = asked_for(server)
        assert get(client(server.name, tmp_path), there) == made
    assert sorted(ranges)[-1] == "bytes=800000-"
    assert os.listdir(f"{there.home}/tmp") == []


def test_prune_takes_parts_away(tmp_path: Path, here: Store, there: Store, made: Image) -> None:
    with serving(own(tmp_path / "served")) as server:
        send(client(server.name, tmp_path), made, here)
        half(server, tmp_path, there)
        assert os.listdir(f"{there.home}/tmp") != []
        there.prune()
        assert os.listdir(f"{there.home}/tmp") == [] == list(there.blobs.list())
        assert get(client(server.name, tmp_path), there) == made


def test_wrong_bytes_leave_nothing_behind(tmp_path: Path, here: Store, there: Store, made: Image) -> None:
    class Wrong(Handler):
        def blob(self, name: str, digest: str) -> None:
            data = bytes(self._shelf.store.blobs.size(Digest(digest)))
            self._answer(200, {"Content-Type": "application/octet-stream"}, data)

    with serving(own(tmp_path / "served")) as server:
        send(client(server.name, tmp_path), made, here)
        server.RequestHandlerClass = Wrong
        with pytest.raises(Corrupted):
            get(client(server.name, tmp_path), there)
        assert there.names.all() == {}
        server.RequestHandlerClass = Handler
        assert get(client(server.name, tmp_path), there) == made
        assert os.listdir(f"{there.home}/tmp") == []


PULLER = """
import sys
from pathlib import Path
from sandcell.runtime.store import Store
from tests.registry.serving import client
from tests.registry.test_transfer import get, send
verb, registry, home, folder = sys.argv[1:]
store, wire = Store(home), client(registry, Path(folder))
if verb == "pull":
    get(wire, store)
else:
    send(wire, store.image("hello"), store)
"""


def start(verb: str, server: Server, store: Store, tmp_path: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", PULLER, verb, server.name, store.home, str(tmp_path)])


def sizes(folder: Path) -> list[int]:
    """Of the files in it; one that is renamed meanwhile is none of them."""
    found = []
    for path in folder.iterdir():
        try:
            found.append(path.stat().st_size)
        except FileNotFoundError:
            continue
    return found


@pytest.mark.slow
def test_kill_9_in_the_middle_of_a_pull(tmp_path: Path, here: Store, there: Store, made: Image) -> None:
    class Slow(Handler):
        def blob(self, name: str, digest: str) -> None:
            real = self.connection

            class Waiting:
                settimeout = real.settimeout

                def sendfile(self, file: object, start: int, count: int) -> None:
                    real.sendfile(file, start, min(count, 800_000))  # type: ignore[arg-type]
                    killed.wait(20)

            self.connection = Waiting()  # type: ignore[assignment]
            super().blob(name, digest)

    import threading

    killed = threading.Event()
    with serving(own(tmp_path / "served")) as server:
        send(client(server.name, tmp_path), made, here)
        server.RequestHandlerClass = Slow
        process = start("pull", server, there, tmp_path)
        try:
            # It writes a quarter of a megabyte at once.
            until(lambda: 3 << 18 in sizes(Path(there.home, "tmp")))
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed.set()
        assert there.names.all() == {}
        ranges = asked_for(server)
        assert get(client(server.name, tmp_path), there) == made
        assert f"bytes={3 << 18}-" in ranges
        there.prune()
        assert os.listdir(f"{there.home}/tmp") == [] == os.listdir(f"{there.home}/leases")


@pytest.mark.slow
def test_kill_9_in_the_middle_of_a_push(tmp_path: Path, here: Store, made: Image) -> None:
    with serving(own(tmp_path / "served")) as server:

        class Slow(Handler):
            def complete(self, name: str, id: str) -> None:
                until(lambda: process.poll() is not None)
                super().complete(name, id)

        server.RequestHandlerClass = Slow
        process = start("push", server, here, tmp_path)
        try:
            until(lambda: bool(server.uploads._open))
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        server.RequestHandlerClass = Handler
        assert server.shelf.tags("team/hello") is None
        send(client(server.name, tmp_path), made, here)
        assert server.shelf.store.image("team/hello:1") == made
    assert os.listdir(f"{server.shelf.store.home}/tmp") == []
    assert here.image("hello") == made


@pytest.mark.slow
def test_pulls_and_prunes_at_once(tmp_path: Path, here: Store, there: Store, made: Image) -> None:
    import threading

    done = threading.Event()
    failures: list[BaseException] = []

    def prune() -> None:
        try:
            while not done.is_set():
                Store(there.home).prune()
        except BaseException as error:
            failures.append(error)

    with serving(own(tmp_path / "served")) as server:
        send(client(server.name, tmp_path), made, here)
        thread = threading.Thread(target=prune)
        thread.start()
        try:
            for number in range(8):
                got = get(client(server.name, tmp_path), there)
                assert got == made
                for layer in got.manifest.layers:
                    there.blobs.verify(layer.digest)
                if number % 2:
                    there.names.remove(next(iter(map(_reference, there.names.all()))))
        finally:
            done.set()
            thread.join()
    assert failures == []


def _reference(name: str) -> object:
    from sandcell.runtime.oci.reference import Reference

    return Reference.parse(name)


def test_two_pulls_of_one_image_at_once(tmp_path: Path, here: Store, there: Store, made: Image) -> None:
    from concurrent.futures import ThreadPoolExecutor

    events: list[TransferEvent] = []
    with serving(own(tmp_path / "served")) as server:
        send(client(server.name, tmp_path), made, here)

        def one(_: int) -> Image:
            return get(client(server.name, tmp_path), there, on_event=events.append)

        with ThreadPoolExecutor(4) as pool:
            assert set(map(str, pool.map(one, range(4)))) == {str(made)}
    assert os.listdir(f"{there.home}/tmp") == []


@pytest.mark.parametrize("told", ["bytes 5-/100", "bytes x", "", "bytes ²-9/10"])
def test_a_part_that_was_not_asked_for(
    tmp_path: Path, here: Store, there: Store, made: Image, told: str
) -> None:
    class Other(Handler):
        def blob(self, name: str, digest: str) -> None:
            if self.headers.get("Range"):
                headers = {"Content-Range": told} if told.isascii() else {}
                self._answer(206, {**headers, "Content-Type": "x/y"}, b"12345")
            else:
                super().blob(name, digest)

    with serving(own(tmp_path / "served")) as server:
        send(client(server.name, tmp_path), made, here)
        half(server, tmp_path, there)
        server.RequestHandlerClass = Other
        with pytest.raises(SandcellError):
            get(client(server.name, tmp_path), there)
        assert there.names.all() == {}
