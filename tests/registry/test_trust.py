"""TLS for real: an authority of our own, certificates for both sides, and every way to be told of them."""

import os
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sandcell.runtime.errors import HostRefused, Unreachable
from sandcell.runtime.oci.image import Image
from sandcell.runtime.registry import trust
from sandcell.runtime.registry.client import Client
from sandcell.runtime.registry.endpoint import Endpoint, endpoints
from sandcell.runtime.registry.server import Server
from sandcell.runtime.registry.settings import Host, Settings
from sandcell.runtime.store import Store
from tests.store.images import image

from .serving import client, own, serving
from .test_transfer import get, send

pytestmark = pytest.mark.slow


class Authority:
    """Signs certificates by openssl(1). ``ca``: its own, to be believed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = str(folder / "ca.pem")
        self._run("req", "-x509", *_KEY, "-keyout", f"{folder}/ca.key", "-out", self.ca, "-subj", "/CN=Ours")

    def sign(self, name: str, names: str = "IP:127.0.0.1,DNS:localhost", key: str = "") -> tuple[str, str]:
        place = f"{self.folder}/{name}"
        more = ("-passout", f"pass:{key}") if key else ("-nodes",)
        self._run("req", "-new", *_KEY[:4], *more, "-keyout", f"{place}.key", "-out", f"{place}.csr",
                  "-subj", f"/CN={name}")  # fmt: skip
        Path(f"{place}.ext").write_text(f"subjectAltName={names}\n")
        self._run("x509", "-req", "-in", f"{place}.csr", "-CA", self.ca, "-CAkey", f"{self.folder}/ca.key",
                  "-CAcreateserial", "-out", f"{place}.pem", "-days", "2", "-extfile",
                  f"{place}.ext")  # fmt: skip
        return f"{place}.pem", f"{place}.key"

    def _run(self, *words: str) -> None:
        subprocess.run(["openssl", *words], check=True, capture_output=True)


_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    import shutil

    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed (./dev test installs it as root)")
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def made(tmp_path: Path) -> tuple[Store, Image]:
    here = Store(tmp_path / "here")
    return here, image(here, {"a": b"1"}, name="hello")


@contextmanager
def registry(tmp_path: Path, authority: Authority, *, mutual: bool = False) -> Iterator[Server]:
    server = own(tmp_path / "served", tls=authority.sign("server"))
    if mutual:
        listening: Any = server.socket
        listening.context.verify_mode = ssl.CERT_REQUIRED
        listening.context.load_verify_locations(authority.ca)
    with serving(server):
        yield server


def strict(server: Server, tmp_path: Path, settings: Settings, told: Host | None = None) -> Client:
    """A client that does not know that this is its own machine: nothing is excused."""
    known = {server.name: told} if told else {}
    settings = msgspec.structs.replace(settings, registries=known)
    (one, *_) = endpoints(server.name, settings)
    wire = client(server.name, tmp_path, settings)
    wire._found = Endpoint(one.base, msgspec.structs.replace(one.trust, verify=True), loose=False)
    return wire


def there_and_back(wire: Client, made: tuple[Store, Image], tmp_path: Path) -> None:
    send(wire, made[1], made[0])
    assert get(wire, Store(tmp_path / "there")) == made[1]


def test_an_unknown_authority_is_refused(tmp_path: Path, authority: Authority, made: Any) -> None:
    with registry(tmp_path, authority) as server, pytest.raises(Unreachable, match="certificate") as caught:
        there_and_back(strict(server, tmp_path, Settings()), made, tmp_path)
    assert "ca" in caught.value.hint


def test_certs_d_is_believed_for_its_host(tmp_path: Path, authority: Authority, made: Any) -> None:
    with registry(tmp_path, authority) as server:
        folder = tmp_path / "certs.d" / server.name
        folder.mkdir(parents=True)
        (folder / "ours.crt").write_bytes(Path(authority.ca).read_bytes())
        settings = Settings(certs=(str(tmp_path / "none"), str(tmp_path / "certs.d")))
        there_and_back(strict(server, tmp_path, settings), made, tmp_path)
        # Whoever has an authority for it verifies, also on this machine itself.
        assert endpoints(server.name, settings)[0].trust.verify


def test_certs_d_shows_our_certificate(tmp_path: Path, authority: Authority, made: Any) -> None:
    with registry(tmp_path, authority, mutual=True) as server:
        folder = tmp_path / "certs.d" / server.name
        folder.mkdir(parents=True)
        (folder / "ours.crt").write_bytes(Path(authority.ca).read_bytes())
        settings = Settings(certs=(str(tmp_path / "certs.d"),))
        with pytest.raises(Unreachable):
            there_and_back(strict(server, tmp_path, settings), made, tmp_path)
        certificate, key = authority.sign("me", "DNS:me")
        (folder / "me.cert").write_bytes(Path(certificate).read_bytes())
        with pytest.raises(HostRefused, match=r"me\.key"):
            strict(server, tmp_path, settings)
        (folder / "me.key").write_bytes(Path(key).read_bytes())
        there_and_back(strict(server, tmp_path, settings), made, tmp_path)


def test_config_toml_names_authority_certificate_and_key(
    tmp_path: Path, authority: Authority, made: Any
) -> None:
    with registry(tmp_path, authority, mutual=True) as server:
        certificate, key = authority.sign("me", "DNS:me")
        told = Host(ca=authority.ca, certificate=certificate, key=key)
        there_and_back(strict(server, tmp_path, Settings(), told), made, tmp_path)


def test_the_environment_names_an_authority(tmp_path: Path, authority: Authority, made: Any) -> None:
    with registry(tmp_path, authority) as server:
        os.environ["SSL_CERT_FILE"] = authority.ca
        trust.context.cache_clear()
        try:
            there_and_back(strict(server, tmp_path, Settings()), made, tmp_path)
        finally:
            del os.environ["SSL_CERT_FILE"]
            trust.context.cache_clear()


def test_a_certificate_of_another_name_is_refused(tmp_path: Path, authority: Authority, made: Any) -> None:
    server = own(tmp_path / "served", tls=authority.sign("other", "DNS:other.example.org"))
    told = Host(ca=authority.ca)
    with serving(server), pytest.raises(Unreachable, match=r"127\.0\.0\.1"):
        there_and_back(strict(server, tmp_path, Settings(), told), made, tmp_path)


@pytest.mark.parametrize(("content", "cause"), [(None, "No such file"), (b"no certificate", "NO_CERT")])
def test_files_that_will_not_do_are_named(
    tmp_path: Path, authority: Authority, made: Any, content: bytes | None, cause: str
) -> None:
    path = tmp_path / "bad.pem"
    if content is not None:
        path.write_bytes(content)
    with registry(tmp_path, authority) as server:
        told = Host(ca=str(path))
        with pytest.raises(HostRefused, match=cause) as caught:
            there_and_back(strict(server, tmp_path, Settings(), told), made, tmp_path)
    assert caught.value.object == str(path)


def test_a_key_with_a_password_is_told(tmp_path: Path, authority: Authority, made: Any) -> None:
    certificate, key = authority.sign("locked", key="secret")
    with registry(tmp_path, authority) as server, pytest.raises(HostRefused, match="password"):
        told = Host(ca=authority.ca, certificate=certificate, key=key)
        there_and_back(strict(server, tmp_path, Settings(), told), made, tmp_path)


def test_a_slow_handshake_stops_nobody_else(tmp_path: Path, authority: Authority, made: Any) -> None:
    import socket

    with registry(tmp_path, authority) as server:
        host, port = server.name.split(":")
        with socket.create_connection((host, int(port))):
            there_and_back(strict(server, tmp_path, Settings(), Host(ca=authority.ca)), made, tmp_path)
