"""Debian's docker-registry with TLS, and with logins that it checks itself: passwords, and signed tokens."""

import base64
import json
import os
import subprocess
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from sandcell.runtime.errors import LoginNeeded
from sandcell.runtime.events import TransferEvent
from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.registry.credentials import Credentials, Login
from sandcell.runtime.registry.remote import delete, tags
from sandcell.runtime.registry.settings import Host, Settings
from sandcell.runtime.store import Store
from tests.store.images import image

from .serving import certificate, client, debian_registry
from .test_tokens import running
from .test_transfer import get, send

pytestmark = [
    pytest.mark.peer("docker-registry", "openssl"),
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Unverified HTTPS"),
]


def logins(tmp_path: Path, name: str, login: Login) -> Credentials:
    credentials = Credentials(str(tmp_path / "docker/config.json"))
    credentials.put(name, login)
    return credentials


@pytest.mark.peer("htpasswd")
def test_a_password(tmp_path: Path, here: Store, there: Store) -> None:
    made = image(here, {"a": os.urandom(300_000)}, name="hello")
    subprocess.run(
        ["htpasswd", "-Bbc", "-C", "4", tmp_path / "users", "me", "secret"], check=True, capture_output=True
    )
    tls = certificate(tmp_path)
    auth = f"{{htpasswd: {{realm: here, path: {tmp_path}/users}}}}"
    with debian_registry(tmp_path, auth, tls) as name:
        settings = Settings({name: Host(ca=tls[0])})
        with pytest.raises(LoginNeeded):
            send(client(name, tmp_path, settings), made, here)
        with pytest.raises(LoginNeeded):
            client(name, tmp_path, settings).login(Login("me", "wrong"))
        wire = client(name, tmp_path, settings, credentials=logins(tmp_path, name, Login("me", "secret")))
        send(wire, made, here)
        assert get(wire, there) == made


def web64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Tokens(BaseHTTPRequestHandler):
    """Gives tokens as distribution's docs/spec/auth/jwt.md has them. ``me`` may do everything below team/."""

    tls: tuple[str, str]
    asked: list[str]

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        told = base64.b64decode(self.headers.get("Authorization", "").removeprefix("Basic "))
        scopes = query.get("scope", [])
        self.asked += scopes
        body = json.dumps({"token": self.token(scopes), "expires_in": 300}).encode()
        self.send_response(200 if told == b"me:secret" else 401)
        self.end_headers()
        self.wfile.write(body if told == b"me:secret" else b"")

    def token(self, scopes: list[str]) -> str:
        cert, key = self.tls
        der = "".join(line for line in Path(cert).read_text().splitlines() if "--" not in line)
        access: list[dict[str, Any]] = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            if name.startswith("team/"):
                access.append({"type": kind, "name": name, "actions": actions.split(",")})
        now = int(time.time())
        claims = {"iss": "tests", "aud": "debian", "sub": "me", "jti": os.urandom(8).hex(), "access": access,
                  "iat": now - 10, "nbf": now - 10, "exp": now + 300}  # fmt: skip
        head = {"typ": "JWT", "alg": "RS256", "x5c": [der]}
        text = f"{web64(json.dumps(head).encode())}.{web64(json.dumps(claims).encode())}"
        signing = ["openssl", "dgst", "-sha256", "-sign", key]
        signed = subprocess.run(signing, input=text.encode(), check=True, capture_output=True).stdout
        return f"{text}.{web64(signed)}"

    def log_message(self, *_: object) -> None: ...


def test_tokens(tmp_path: Path, here: Store, there: Store) -> None:
    made = image(here, {"a": os.urandom(300_000)}, {"b": b"small"}, name="hello")
    Tokens.tls = tls = certificate(tmp_path, "rsa:2048")
    Tokens.asked = []
    with running(Tokens, tls) as tokens:
        auth = f"realm: '{tokens}/token', service: debian, issuer: tests, rootcertbundle: {tls[0]}"
        with debian_registry(tmp_path, f"{{token: {{{auth}}}}}", tls) as name:
            settings = Settings({name: Host(ca=tls[0], chunk=100_000)})
            with pytest.raises(LoginNeeded):
                client(name, tmp_path, settings).login(Login("me", "wrong"))
            me = logins(tmp_path, name, Login("me", "secret"))
            wire = client(name, tmp_path, settings, credentials=me)
            send(wire, made, here)
            events: list[TransferEvent] = []
            elsewhere = {layer.digest: "team/hello" for layer in made.manifest.layers}
            send(wire, made, here, "team/other:2", elsewhere=elsewhere, on_event=events.append)
            assert sum(event.state == "mounted" for event in events) == 2
            assert get(wire, there, "team/other:2") == made
            with pytest.raises(LoginNeeded, match="not allowed"):
                send(wire, made, here, "nobody/hello:1")
            there_is = Reference.parse(f"{name}/team/other:2")
            assert tags(wire, there_is) == ("2",)
            assert delete(wire, there_is) == made.digest
    assert {"repository:team/hello:pull", "repository:team/other:pull,push,delete"} < set(Tokens.asked)
