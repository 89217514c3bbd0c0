"""Tokens, redirects and who is told which secret: a registry, a token server with TLS, another host."""

import base64
import itertools
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from msgspec.structs import replace

from sandcell.runtime.errors import LoginNeeded, RegistryRefused, SandcellError
from sandcell.runtime.registry.answers import Handler
from sandcell.runtime.registry.client import Client
from sandcell.runtime.registry.credentials import Credentials, Login
from sandcell.runtime.registry.exchange import Refusal
from sandcell.runtime.registry.server import Server
from sandcell.runtime.registry.settings import Host, Settings
from sandcell.runtime.registry.trust import Trust
from sandcell.runtime.store import Store
from tests.store.images import image

from .serving import certificate, client, own, serving
from .test_transfer import get, send

pytestmark = pytest.mark.filterwarnings("ignore:Unverified HTTPS")


class World:
    """What the servers know and saw. ``expiring``: the method of requests before which tokens expire, once
    for each address."""

    def __init__(self) -> None:
        self.users = {"me": "secret"}
        self.refresh = "long lived"
        self.tokens: dict[str, set[str]] = {}
        self.expiring = ""
        self.seen: set[str] = set()
        self.made = itertools.count(1)
        self.asked: list[tuple[str, dict[str, list[str]]]] = []
        self.seen_elsewhere: list[dict[str, str]] = []
        self.realm = ""
        self.elsewhere = ""
        self.filler = 0

    def token(self, scopes: list[str], *, offline: bool = False) -> bytes:
        name = f"t{next(self.made)}"
        more = {"refresh_token": self.refresh} if offline else {}
        self.tokens[name] = {one for scope in scopes for one in scope.split()}
        return json.dumps({"token": name, "expires_in": 300, **more}).encode() + b" " * self.filler


def token_server(world: World) -> type[BaseHTTPRequestHandler]:
    class Tokens(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            world.asked.append((self.headers.get("Authorization", ""), query))
            told = self.headers.get("Authorization", "").removeprefix("Basic ")
            user, _, password = base64.b64decode(told).decode().partition(":")
            self._answer(world.users.get(user) == password, query)

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            world.asked.append(("refresh", form))
            self._answer(form.get("refresh_token") == [world.refresh], form)

        def _answer(self, known: bool, query: dict[str, list[str]]) -> None:
            self.send_response(200 if known else 401)
            self.end_headers()
            if known:
                offline = "offline_token" in query
                self.wfile.write(world.token(query.get("scope", []), offline=offline))

        def log_message(self, *_: object) -> None: ...

    return Tokens


def guarded(world: World) -> type[Handler]:
    class Guarded(Handler):
        def _admit(self) -> None:
            name = self.headers.get("Authorization", "").removeprefix("Bearer ")
            if self.command == world.expiring and self.path not in world.seen:
                world.seen.add(self.path)
                world.tokens.clear()
            scopes = world.tokens.get(name)
            repository = self.path.removeprefix("/v2/").partition("/blobs")[0].partition("/manifests")[0]
            action = "pull" if self.command in ("GET", "HEAD") else "push"
            allowed = any(
                one.startswith(f"repository:{repository}:") and action in one.rpartition(":")[2].split(",")
                for one in scopes or ()
            )
            if scopes is None or (repository and not allowed):
                raise Refusal(401, "UNAUTHORIZED", "a token, please")

        def _answer(self, status: int, headers: dict[str, str], data: bytes = b"") -> None:
            if status == 401:
                headers["WWW-Authenticate"] = f'Bearer realm="{world.realm}",service="test"'
            super()._answer(status, headers, data)

        def blob(self, name: str, digest: str) -> None:
            if world.elsewhere and self.command == "GET":
                self._answer(307, {"Location": f"{world.elsewhere}/{digest}?signature=x"})
                return
            super().blob(name, digest)

    return Guarded


@contextmanager
def running(handler: type[BaseHTTPRequestHandler], tls: tuple[str, str]) -> Iterator[str]:
    import ssl

    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*tls)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[World, Server, Settings]]:
    world = World()
    cert = certificate(tmp_path)
    with (
        running(token_server(world), cert) as tokens,
        serving(own(tmp_path / "served", tls=cert), guarded(world)) as server,
    ):
        world.realm = f"{tokens}/token"
        yield world, server, Settings({server.name: Host(ca=cert[0])})


def known(server: Server, tmp_path: Path, login: Login | None = None) -> Credentials:
    credentials = Credentials(str(tmp_path / "docker/config.json"))
    credentials.put(server.name, login or Login("me", "secret"))
    return credentials


@pytest.mark.slow
@pytest.mark.parametrize("expiring", ["", "PUT", "PATCH"])
def test_tokens_are_asked_for_and_renewed(world: Any, here: Store, tmp_path: Path, expiring: str) -> None:
    state, server, settings = world
    state.expiring = expiring
    if expiring == "PATCH":
        named = replace(settings.registries[server.name], chunk=100_000)
        settings = Settings({server.name: named})
    made = image(here, {"a": os.urandom(300_000)}, name="hello")
    wire = client(server.name, tmp_path, settings, credentials=known(server, tmp_path))
    send(wire, made, here)
    assert get(wire, Store(tmp_path / "there")) == made
    assert all(told.startswith("Basic ") for told, _ in state.asked)
    scopes = {scope for _, query in state.asked for scope in query.get("scope", [])}
    assert scopes == {"repository:team/hello:pull,push", "repository:team/hello:pull"}
    assert len(state.asked) >= 4 if expiring else len(state.asked) <= 3


def test_a_mount_asks_for_both_scopes(world: Any, here: Store, tmp_path: Path) -> None:
    state, server, settings = world
    made = image(here, {"a": b"1"}, name="hello")
    wire = client(server.name, tmp_path, settings, credentials=known(server, tmp_path))
    send(wire, made, here, elsewhere={layer.digest: "other/name" for layer in made.manifest.layers})
    assert any(
        query.get("scope") == ["repository:team/hello:pull,push", "repository:other/name:pull"]
        for _, query in state.asked
    )


def test_an_identity_token_is_exchanged(world: Any, here: Store, tmp_path: Path) -> None:
    state, server, settings = world
    made = image(here, {"a": b"1"}, name="hello")
    login = Login(identity_token="long lived")
    wire = client(server.name, tmp_path, settings, credentials=known(server, tmp_path, login))
    send(wire, made, here)
    assert {kind for kind, _ in state.asked} == {"refresh"}
    assert state.asked[0][1]["grant_type"] == ["refresh_token"]


def test_a_login_keeps_a_token_where_one_is_given(world: Any, here: Store, tmp_path: Path) -> None:
    state, server, settings = world
    made = image(here, {"a": b"1"}, name="hello")
    kept = client(server.name, tmp_path, settings).login(Login("me", "secret"))
    assert kept == Login(identity_token=state.refresh)
    wire = client(server.name, tmp_path, settings, credentials=known(server, tmp_path, kept))
    assert "secret" not in (tmp_path / "docker/config.json").read_text()
    send(wire, made, here)


def test_a_token_for_the_registry_itself_is_used(world: Any, here: Store, tmp_path: Path) -> None:
    state, server, settings = world
    made = image(here, {"a": b"1"}, name="hello")
    state.tokens["given"] = {"repository:team/hello:pull,push"}
    config = tmp_path / "docker/config.json"
    config.parent.mkdir()
    config.write_text(json.dumps({"auths": {server.name: {"registrytoken": "given"}}}))
    send(client(server.name, tmp_path, settings), made, here)
    assert state.asked == []
    state.tokens.clear()
    with pytest.raises(LoginNeeded, match="token that is kept"):
        send(client(server.name, tmp_path, settings), made, here)


def test_a_token_server_that_never_ends_its_answer(world: Any, here: Store, tmp_path: Path) -> None:
    state, server, settings = world
    state.filler = 9 << 20
    made = image(here, {"a": b"1"}, name="hello")
    with pytest.raises(SandcellError, match="4 MiB"):
        send(client(server.name, tmp_path, settings, credentials=known(server, tmp_path)), made, here)


def test_a_wrong_password_is_one_clear_error(world: Any, here: Store, tmp_path: Path) -> None:
    _, server, settings = world
    wire = client(server.name, tmp_path, settings)
    with pytest.raises(LoginNeeded, match="does not know this login") as caught:
        wire.login(Login("me", "wrong"))
    assert "wrong" not in str(caught.value)
    wire.login(Login("me", "secret"))


def test_a_token_server_without_tls_gets_no_password(world: Any, here: Store, tmp_path: Path) -> None:
    state, server, settings = world
    state.realm = state.realm.replace("https:", "http:")
    from sandcell.runtime.registry.endpoint import Endpoint

    wire = client(server.name, tmp_path, settings, credentials=known(server, tmp_path))
    wire._found = Endpoint(f"https://{server.name}", Trust(only=settings.host(server.name).ca))
    with pytest.raises(LoginNeeded, match="not safe"):
        wire.call("GET", "")
    assert state.asked == []


@contextmanager
def other_host(world: World, store: Store, tls: tuple[str, str] | None) -> Iterator[str]:
    """A place for blobs that writes down what it is told."""

    class Blobs(Handler):
        def do_GET(self) -> None:
            world.seen_elsewhere.append(dict(self.headers))
            self.path = f"/v2/hello/blobs/{urlsplit(self.path).path.lstrip('/')}"
            super().do_GET()

    with serving(Server(store, ("127.0.0.1", 0), tls=tls), Blobs) as server:
        yield f"{server.scheme}://{server.name}"


@pytest.mark.slow
def test_another_host_is_told_no_secret(world: Any, here: Store, tmp_path: Path) -> None:
    state, server, settings = world
    made = image(here, {"a": b"1"}, name="hello")
    wire = client(server.name, tmp_path, settings, credentials=known(server, tmp_path))
    send(wire, made, here)
    cert = (str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))
    with other_host(state, here, cert) as elsewhere:
        state.elsewhere = elsewhere
        assert get(wire, Store(tmp_path / "there")) == made
    assert len(state.seen_elsewhere) == 2
    for headers in state.seen_elsewhere:
        assert not {"authorization", "cookie"} & {name.lower() for name in headers}


def test_a_redirect_does_not_leave_tls(world: Any, here: Store, tmp_path: Path) -> None:
    state, server, settings = world
    made = image(here, {"a": b"1"}, name="hello")
    send(client(server.name, tmp_path, settings, credentials=known(server, tmp_path)), made, here)
    from sandcell.runtime.registry.endpoint import Endpoint

    strict: Client = client(server.name, tmp_path, settings, credentials=known(server, tmp_path))
    strict._found = Endpoint(f"https://{server.name}", Trust(only=settings.host(server.name).ca))
    with other_host(state, here, None) as elsewhere:
        state.elsewhere = elsewhere
        with pytest.raises(RegistryRefused, match="without"):
            get(strict, Store(tmp_path / "there"))
    assert state.seen_elsewhere == []
