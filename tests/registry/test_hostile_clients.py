"""Our registry and those who mean no good: slow, too large, too many, in the middle of something else."""

import json
import os
import resource
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.registry import exchange
from sandcell.runtime.registry.answers import Handler
from sandcell.runtime.registry.server import Server
from sandcell.runtime.store import Store

from .asking import Registry, finishing
from .serving import own, serving


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(own(tmp_path / "served")) as server:
        yield server


@pytest.fixture
def registry(server: Server) -> Registry:
    return Registry(server.name, "1.1")


def connection(server: Server) -> socket.socket:
    host, port = server.name.split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def said(server: Server, data: bytes) -> tuple[int, bytes]:
    """The status that answers to raw bytes, and the body up to the end of the connection."""
    with connection(server) as raw:
        raw.sendall(data)
        raw.shutdown(socket.SHUT_WR)
        reply = b""
        while more := raw.recv(1 << 16):
            reply += more
    head, _, body = reply.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def request(server: Server, line: str, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([line, f"Host: {server.name}", *headers, "", ""]).encode() + body


@pytest.mark.parametrize(
    ("line", "headers", "status"),
    [
        ("GET /v2/ HTTP/1.1", (f"X: {'x' * 70_000}",), 431),
        ("GET /v2/ HTTP/1.1", tuple(f"X-{n}: 1" for n in range(200)), 431),
        (f"GET /{'x' * 70_000} HTTP/1.1", (), 414),
        ("BREW /v2/ HTTP/1.1", (), 405),
        ("GET /v2/ HTTP/9.9", (), 505),
        ("GET", (), 400),
        ("POST /v2/a/blobs/uploads/ HTTP/1.1", ("Content-Length: -1",), 400),
        ("POST /v2/a/blobs/uploads/ HTTP/1.1", (f"Content-Length: {'9' * 5000}",), 400),
        ("POST /v2/a/blobs/uploads/ HTTP/1.1", ("Content-Length: 1", "Content-Length: 2"), 400),
        ("POST /v2/a/blobs/uploads/ HTTP/1.1", ("Transfer-Encoding: chunked", "Content-Length: 5"), 400),
        ("POST /v2/a/blobs/uploads/ HTTP/1.1", ("Transfer-Encoding: gzip",), 400),
        ("GET /v2/%2e%2e/%2e%2e/etc/passwd HTTP/1.1", (), 404),
        ("GET /v2/a/blobs/sha256:../../../../etc/passwd HTTP/1.1", (), 404),
        ("GET /v2/a/blobs/sha256:..%2f..%2fetc%2fpasswd HTTP/1.1", (), 400),
        ("GET /v2/a/manifests/..%2f..%2fetc HTTP/1.1", (), 404),
        ("GET http://elsewhere.example/v2/x/tags/list HTTP/1.1", (), 404),
    ],
)
def test_what_is_too_much_or_makes_no_sense_is_refused_in_json(
    server: Server, line: str, headers: tuple[str, ...], status: int
) -> None:
    answer, body = said(server, request(server, line, *headers))
    assert answer == status
    assert json.loads(body)["errors"][0]["code"]
    assert Registry(server.name, "1.1")("GET", "/v2/").status == 200


def test_a_head_that_drips_is_cut_off(tmp_path: Path) -> None:
    ended = threading.Event()

    class Hurried(Handler):
        def parse_request(self) -> bool:
            self._slow.allow(0.2)
            return exchange.BaseHTTPRequestHandler.parse_request(self)

        def finish(self) -> None:
            super().finish()
            ended.set()

    with serving(own(tmp_path / "served"), Hurried) as server, connection(server) as raw:
        raw.sendall(b"GET /v2/ HTTP/1.1\r\n")
        deadline = time.monotonic() + 20
        while not ended.wait(0.05) and time.monotonic() < deadline:
            try:
                raw.sendall(b"X: 1\r\n")  # always something, never the end
            except OSError:
                break
        assert ended.wait(5)


def test_one_connection_too_many_is_closed_and_the_others_go_on(tmp_path: Path) -> None:
    with serving(own(tmp_path / "served", connections=2)) as server:
        first, second = connection(server), connection(server)
        with first, second:
            for one in (first, second):
                one.sendall(request(server, "GET /v2/ HTTP/1.1"))
                assert one.recv(12) == b"HTTP/1.1 200"
            with connection(server) as third:
                assert third.recv(10) == b""
            first.sendall(request(server, "GET /v2/ HTTP/1.1"))
            assert first.recv(1)


def test_an_answer_comes_through_although_the_body_was_not_wanted(server: Server) -> None:
    place = Registry(server.name, "1.1")("POST", "/v2/a/blobs/uploads/").headers["location"]
    body = bytes(3 << 20)
    for line, length, status in (
        ("PUT /v2/a/manifests/x HTTP/1.1", 6 << 20, 413),
        (f"PATCH {place} HTTP/1.1", 3 << 20, 416),
        ("POST /v2/A/blobs/uploads/ HTTP/1.1", 3 << 20, 404),
    ):
        head = request(server, line, f"Content-Length: {length}", "Content-Range: 7-9")
        assert said(server, head + body * (length // len(body)))[0] == status


def test_eight_clients_at_once(registry: Registry, server: Server) -> None:
    def work(number: int) -> None:
        one = Registry(registry.address, "1.1")
        one.repository = f"shared/{number % 2}"
        data = one.manifest()
        assert one.put(data, f"t{number}").status == 201
        assert one("GET", f"manifests/{Digest.of(data)}").body == data
        same = b"the same for all" * 1000
        assert one.blob(same) == Digest.of(same)
        assert one("GET", f"blobs/{Digest.of(same)}").body == same

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(32)))
    tags = [f"t{number}" for number in range(32)]
    found = [tag for name in "01" for tag in registry("GET", f"/v2/shared/{name}/tags/list").json["tags"]]
    assert sorted(found) == sorted(tags)
    assert Store(server.shelf.store.home).prune().removed == ()


def test_a_cancelled_upload_does_not_disturb_who_writes_to_it(registry: Registry, server: Server) -> None:
    place = registry.begin()
    with connection(server) as raw:
        raw.sendall(request(server, f"PATCH {place} HTTP/1.1", "Content-Length: 100000", body=b"1" * 50_000))
        upload = server.uploads.find(registry.repository, place.rpartition("/")[2])
        assert upload is not None
        until(lambda: upload.offset == 50_000)
        ending = threading.Thread(target=lambda: registry("DELETE", place))
        ending.start()
        raw.sendall(b"2" * 50_000)
        assert raw.recv(12) in (b"HTTP/1.1 202", b"HTTP/1.1 204")
        ending.join()
    assert registry("GET", place).status == 404
    assert os.listdir(f"{server.shelf.store.home}/tmp") == []


def test_too_many_uploads_give_way_to_the_newest(registry: Registry) -> None:
    places = [registry.begin() for _ in range(201)]
    assert registry("GET", places[0]).status == 404
    assert registry("GET", places[-1]).status == 204


def test_an_upload_that_rests_for_a_day_is_ended(tmp_path: Path) -> None:
    hours = [0.0]
    with serving(own(tmp_path / "served", now=lambda: hours[0] * 3600)) as server:
        registry = Registry(server.name, "1.1")
        forgotten, slow = registry.begin(), registry.begin()
        for hours[0] in (20, 40):
            assert registry("PATCH", slow, b"1").status == 202
            registry.begin()
        assert registry("GET", forgotten).status == 404
        assert registry("GET", slow).headers["range"] == "0-1"


@pytest.mark.slow
def test_large_blobs_do_not_go_through_memory(registry: Registry) -> None:
    import http.client

    piece, times = os.urandom(1 << 20), 256
    digest = Digest("sha256:" + "0" * 64).hasher()
    for _ in range(times):
        digest.update(piece)
    name = Digest.from_hasher(digest)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wire = http.client.HTTPConnection(registry.address, timeout=60)
    headers = {"Content-Length": str(times << 20)}
    wire.request("PUT", finishing(registry.begin(), name), (piece for _ in range(times)), headers)
    assert wire.getresponse().read() == b""
    wire.request("GET", f"{registry.base}/blobs/{name}")
    reply = wire.getresponse()
    while reply.read(1 << 20):
        pass
    wire.close()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60 << 10


def until(condition: object) -> None:
    """Wait until another thread got there; bounded."""
    deadline = time.monotonic() + 20
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)
