"""Our registry from outside: the distribution spec, skopeo and podman."""

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandcell.runtime.oci import media_types
from sandcell.runtime.oci.decode import encode
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.image import Image
from sandcell.runtime.oci.manifest import Manifest
from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.registry.server import Server
from sandcell.runtime.registry.users import known_users
from sandcell.runtime.store import Store
from tests.store.images import image

from .serving import own, serving

DATA = bytes(range(256)) * 100
DIGEST = Digest.of(DATA)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(own(tmp_path / "served")) as server:
        yield server


class Wire:
    """One connection; each request gives status, headers and body."""

    def __init__(self, server: Server) -> None:
        self.connection = http.client.HTTPConnection(server.name, timeout=10)

    def __call__(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request(method, path, body, named, encode_chunked=False)
        answer = self.connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


@pytest.fixture
def wire(server: Server) -> Wire:
    return Wire(server)


def stored(server: Server, *, name: str) -> Image:
    return image(server.shelf.store, {"a": b"1"}, name=name)


def code(answer: tuple[int, dict[str, str], bytes]) -> tuple[int, str]:
    return answer[0], json.loads(answer[2])["errors"][0]["code"]


def test_a_chunked_upload_goes_on_where_it_is(wire: Wire) -> None:
    status, headers, _ = wire("POST", "/v2/a/b/blobs/uploads/")
    assert status == 202
    place = headers["location"]
    status, headers, _ = wire("PATCH", place, DATA[:1000], Content_Range="0-999")
    assert (status, headers["range"]) == (202, "0-999")
    assert wire("PATCH", place, DATA[:10], Content_Range="0-9")[0] == 416
    status, headers, _ = wire("GET", place)
    assert (status, headers["range"]) == (204, "0-999")
    # Streamed, without a length, as docker and podman send.
    assert (
        wire(
            "PATCH",
            place,
            iter([b"%x\r\n" % 5000, DATA[1000:6000], b"\r\n0\r\n\r\n"]),
            Transfer_Encoding="chunked",
        )[0]
        == 202
    )
    status, headers, _ = wire("PUT", f"{place}?digest={DIGEST}", DATA[6000:])
    assert (status, headers["docker-content-digest"]) == (201, DIGEST)
    assert wire("GET", f"/v2/a/b/blobs/{DIGEST}")[2] == DATA
    assert wire("GET", place)[0] == 404


def test_a_broken_connection_loses_nothing(server: Server, wire: Wire) -> None:
    place = wire("POST", "/v2/a/blobs/uploads/")[1]["location"]
    host, port = server.name.split(":")
    with socket.create_connection((host, int(port))) as raw:
        head = f"PATCH {place} HTTP/1.1\r\nHost: {server.name}\r\nContent-Length: {len(DATA)}\r\n\r\n"
        raw.sendall(head.encode() + DATA[:700])
        raw.shutdown(socket.SHUT_WR)
        raw.recv(10)
    assert wire("GET", place)[1]["range"] == "0-699"
    assert wire("PUT", f"{place}?digest={DIGEST}", DATA[700:])[0] == 201


def test_wrong_bytes_are_refused(server: Server, wire: Wire) -> None:
    place = wire("POST", "/v2/a/blobs/uploads/")[1]["location"]
    assert code(wire("PUT", f"{place}?digest={DIGEST}", DATA[1:])) == (400, "DIGEST_INVALID")
    assert not server.shelf.store.blobs.has(DIGEST)
    assert code(wire("POST", "/v2/a/blobs/uploads/?digest=sha256:00", DATA))[0] == 400
    assert wire("POST", f"/v2/a/blobs/uploads/?digest={DIGEST}", DATA)[0] == 201
    assert wire("POST", f"/v2/b/blobs/uploads/?mount={DIGEST}&from=a")[0] == 201
    assert wire("POST", f"/v2/b/blobs/uploads/?mount=sha256:{'0' * 64}&from=a")[0] == 202


def test_parts_of_a_blob(wire: Wire) -> None:
    wire("POST", f"/v2/a/blobs/uploads/?digest={DIGEST}", DATA)
    path = f"/v2/a/blobs/{DIGEST}"
    status, headers, data = wire("GET", path, Range="bytes=100-199")
    assert (status, data, headers["content-range"]) == (206, DATA[100:200], f"bytes 100-199/{len(DATA)}")
    assert wire("GET", path, Range="bytes=25000-")[2] == DATA[25000:]
    assert wire("GET", path, Range="bytes=-7")[2] == DATA[-7:]
    assert wire("GET", path, Range="bytes=99999-")[0] == 416
    status, headers, data = wire("HEAD", path)
    assert (status, headers["content-length"], data) == (200, str(len(DATA)), b"")


def test_tags_come_by_the_page_and_go(server: Server, wire: Wire) -> None:
    made = stored(server, name="many:c")
    for tag in "dab":
        server.shelf.store.names.set(Reference.parse(f"many:{tag}"), made.descriptor)
    _, headers, data = wire("GET", "/v2/many/tags/list?n=3")
    assert json.loads(data) == {"name": "many", "tags": ["a", "b", "c"]}
    rest = headers["link"].partition(">")[0].lstrip("<")
    assert json.loads(wire("GET", rest)[2])["tags"] == ["d"]
    assert json.loads(wire("GET", "/v2/many/tags/list?n=0")[2])["tags"] == []
    assert wire("DELETE", "/v2/many/manifests/a")[0] == 202
    assert wire("DELETE", "/v2/many/manifests/a")[0] == 404
    assert wire("DELETE", f"/v2/many/manifests/{made.digest}")[0] == 202
    assert code(wire("GET", "/v2/many/tags/list")) == (404, "NAME_UNKNOWN")
    assert json.loads(wire("GET", "/v2/_catalog")[2]) == {"repositories": []}


def put(wire: Wire, data: bytes, kind: str = media_types.MANIFEST, name: str = "a") -> tuple[int, str]:
    answer = wire("PUT", f"/v2/{name}/manifests/1", data, Content_Type=kind)
    return (answer[0], "") if answer[0] < 300 else code(answer)


def test_manifests_that_make_no_sense_are_refused(server: Server, wire: Wire) -> None:
    made = stored(server, name="good:1")
    data = server.shelf.store.blobs.read(made.digest)
    assert put(wire, data, name="good") == (201, "")
    assert put(wire, data, media_types.INDEX, name="good")[0] == 400
    assert put(wire, b"{") == (400, "MANIFEST_INVALID")
    assert put(wire, data[:-1] + b',"manifests":[]}') == (400, "MANIFEST_INVALID")
    assert put(wire, data, name="host") == (400, "MANIFEST_INVALID")
    missing = Manifest(config=made.manifest.config, layers=(Descriptor(media_types.LAYER, DIGEST, 5),))
    assert put(wire, encode(missing)) == (404, "MANIFEST_BLOB_UNKNOWN")
    assert put(Wire(server), b" " * (5 << 20)) == (413, "SIZE_INVALID")


@pytest.mark.parametrize(
    "path", ["/", "/v2/../etc/passwd", "/v2/A/tags/list", "/v2/a/blobs/sha256:zz", "/v2/a/blobs/..%2f"]
)
def test_other_paths_are_an_error(wire: Wire, path: str) -> None:
    assert code(wire("GET", path))[0] in (400, 404)


def test_who_may_come_in(tmp_path: Path) -> None:
    import base64

    with serving(own(tmp_path / "served", allowed=known_users({"me": "geheim: ü"}))) as server:
        wire = Wire(server)
        status, headers, _ = wire("GET", "/v2/")
        assert (status, headers["www-authenticate"].partition(" ")[0]) == (401, "Basic")
        good = base64.b64encode("me:geheim: ü".encode()).decode()
        assert wire("GET", "/v2/", Authorization=f"Basic {good}")[0] == 200
        for bad in ("Basic !!!", "Bearer x", f"Basic {base64.b64encode(b'you:').decode()}"):
            assert wire("GET", "/v2/", Authorization=bad)[0] == 401
        # A page in a browser that resolves its own name to us.
        assert wire("GET", "/v2/", Host="evil.example.org", Authorization=f"Basic {good}")[0] == 403


def test_a_store_is_open_for_others_meanwhile(server: Server, wire: Wire) -> None:
    wire("POST", f"/v2/a/blobs/uploads/?digest={DIGEST}", DATA)
    # What came is kept although no name leads to it yet.
    assert Store(server.shelf.store.home).prune().removed == ()
    assert server.shelf.store.blobs.has(DIGEST)
