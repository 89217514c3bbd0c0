"""Registries to test against: our own with faults to order, and Debian's docker-registry."""

import shutil
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandcell.runtime.registry.answers import Handler
from sandcell.runtime.registry.client import Client
from sandcell.runtime.registry.credentials import Credentials
from sandcell.runtime.registry.server import Server
from sandcell.runtime.registry.settings import Settings
from sandcell.runtime.store import Store


@contextmanager
def serving(server: Server, handler: type[Handler] | None = None) -> Iterator[Server]:
    """Lets a server answer in a thread until the end of the with statement."""
    if handler is not None:
        server.RequestHandlerClass = handler
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def own(path: Path, **options: object) -> Server:
    """Our own registry over a store of its own at any free port."""
    return Server(Store(path), ("127.0.0.1", 0), **options)  # type: ignore[arg-type]


def client(registry: str, tmp_path: Path, settings: Settings | None = None, **more: object) -> Client:
    """A client that never waits, and knows nobody's logins."""
    more.setdefault("credentials", Credentials(str(tmp_path / "docker/config.json")))
    return Client(registry, settings or Settings(), wait=lambda _: None, **more)  # type: ignore[arg-type]


def certificate(folder: Path, kind: str = "ec") -> tuple[str, str]:
    """A certificate for 127.0.0.1 that nobody trusts, and its key."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    curve = ["-pkeyopt", "ec_paramgen_curve:P-256"] if kind == "ec" else []
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", kind, *curve, "-nodes",
         "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


@contextmanager
def debian_registry(folder: Path, auth: str = "", tls: tuple[str, str] | None = None) -> Iterator[str]:
    """Debian's docker-registry on a free port of loopback; its host and port. ``auth``: that part of its
    configuration; ``tls``: files of a certificate and its key."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = folder / "config.yml"
    secure = f", tls: {{certificate: {tls[0]}, key: {tls[1]}}}" if tls else ""
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}, "
        f"delete: {{enabled: true}}}}\nhttp: {{addr: '127.0.0.1:{port}'{secure}}}\n"
        f"{f'auth: {auth}' if auth else ''}\n"
    )
    process = subprocess.Popen(
        ["docker-registry", "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until(lambda: answers(port), process)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def answers(port: int) -> bool:
    """Does somebody answer there, if only that it wants a login, or TLS?"""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=5).close()
    except OSError as error:
        return isinstance(error, urllib.error.HTTPError)
    return True


def until(condition: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
    """Wait for a process; bounded."""
    import time

    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline, "it did not start"
        time.sleep(0.02)
