"""A connection that breaks at any byte of the answers, and a client that has to make do with that."""

import itertools
from pathlib import Path

import pytest

from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.registry.answers import Handler
from sandcell.runtime.registry.client import Client
from sandcell.runtime.registry.documents import fetch_document
from sandcell.runtime.registry.server import Server
from sandcell.runtime.store import Store
from tests.store.images import image

from .serving import client, own, serving
from .test_transfer import get, send


class Cut(Handler):
    """Closes the connection after so many bytes of its answers; of one connection after the other."""

    after: "itertools.cycle[int]"

    def setup(self) -> None:
        super().setup()
        handler, real = self, self.connection

        class Counted:
            left = next(self.after)

            def __getattr__(self, name: str) -> object:
                return getattr(real, name)

            def sendall(self, data: bytes) -> None:
                part = bytes(data)[: max(0, self.left)]
                self.left -= len(data)
                real.sendall(part)
                if self.left < 0:
                    handler.close_connection = True
                    raise ConnectionError

            def sendfile(self, file: object, start: int, count: int) -> None:
                real.sendfile(file, start, min(max(1, self.left), count))  # type: ignore[arg-type]
                self.left -= count
                if self.left < 0:
                    handler.close_connection = True
                    raise ConnectionError

        self.connection = Counted()  # type: ignore[assignment]
        self.wfile = _Writer(self.connection)  # type: ignore[assignment]


class _Writer:
    def __init__(self, connection: object) -> None:
        self._connection = connection
        self.closed = False

    def write(self, data: bytes) -> None:
        self._connection.sendall(data)  # type: ignore[attr-defined]

    def flush(self) -> None: ...

    def close(self) -> None: ...


def found(server: Server, tmp_path: Path, handler: type[Handler]) -> Client:
    """A client that knows already where the registry is, and has no connection to it."""
    server.RequestHandlerClass = Handler
    wire = client(server.name, tmp_path)
    assert wire.endpoint
    wire.close()
    server.RequestHandlerClass = handler
    return wire


@pytest.mark.slow
def test_a_connection_may_break_at_any_byte_of_a_pull(tmp_path: Path, here: Store) -> None:
    small = image(here, {"a": b"1" * 40}, name="small")
    with serving(own(tmp_path / "served")) as server:
        send(client(server.name, tmp_path), small, here)
        for cut in range(0, 1500, 17):

            class Once(Cut):
                after = itertools.cycle([cut, 1 << 40])

            there = Store(tmp_path / f"there-{cut}")
            assert get(found(server, tmp_path, Once), there) == small


@pytest.mark.slow
def test_a_head_that_broke_off_is_no_answer(tmp_path: Path, here: Store) -> None:
    small = image(here, {"a": b"1"}, name="small")
    with serving(own(tmp_path / "served")) as server:
        send(client(server.name, tmp_path), small, here)
        reference = Reference.parse(f"{server.name}/team/hello:1")
        for cut in range(0, 420, 3):

            class Once(Cut):
                after = itertools.cycle([cut, 1 << 40])

            wire = found(server, tmp_path, Once)
            assert fetch_document(wire, reference, "1").descriptor == small.descriptor
            wire.close()


@pytest.mark.slow
def test_a_connection_may_break_at_any_byte_of_a_push(tmp_path: Path, here: Store) -> None:
    small = image(here, {"a": b"1" * 40}, name="small")
    for cut in range(0, 1400, 17):

        class Once(Cut):
            after = itertools.cycle([cut, 1 << 40])

        with serving(own(tmp_path / f"served-{cut}")) as server:
            send(found(server, tmp_path, Once), small, here)
            assert server.shelf.store.image("team/hello:1") == small
