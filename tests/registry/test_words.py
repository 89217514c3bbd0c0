"""The pure parts: challenges, endpoints, settings, credentials."""

import json
import os
import stat
from pathlib import Path

import pytest

from sandcell.runtime.errors import BadInput, HostRefused, InvalidDocument
from sandcell.runtime.registry.challenge import Challenge, challenges
from sandcell.runtime.registry.client import Client
from sandcell.runtime.registry.credentials import Credentials, Login
from sandcell.runtime.registry.endpoint import endpoints, is_loopback, mirrors, origin
from sandcell.runtime.registry.settings import Host, Settings, parse
from sandcell.runtime.registry.trust import Trust


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Basic realm="a b"', (Challenge("basic", {"realm": "a b"}),)),
        (
            'Bearer realm="https://auth/token",service="r",scope="repository:a/b:pull,push"',
            (
                Challenge(
                    "bearer",
                    {"realm": "https://auth/token", "service": "r", "scope": "repository:a/b:pull,push"},
                ),
            ),
        ),
        (
            'Basic realm="x", Bearer realm="y", error="insufficient_scope"',
            (
                Challenge("basic", {"realm": "x"}),
                Challenge("bearer", {"realm": "y", "error": "insufficient_scope"}),
            ),
        ),
        ('BEARER realm="a\\"b"', (Challenge("bearer", {"realm": 'a"b'}),)),
        ("Negotiate", (Challenge("negotiate"),)),
        ("", ()),
        ('="', ()),
    ],
)
def test_challenges(header: str, expected: tuple[Challenge, ...]) -> None:
    assert challenges(header) == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("127.0.0.1:5000", True),
        ("127.9.9.9", True),
        ("[::1]:5000", True),
        ("127.0.0.1.example.org", False),
        ("localhost.example.org:443", False),
        ("example.org", False),
        ("", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_endpoints_are_safe_unless_said_otherwise() -> None:
    settings = Settings({"lab:5000": Host(insecure=True), "own.org": Host(ca="/ca.pem")})
    assert [one.base for one in endpoints("docker.io", settings)] == ["https://registry-1.docker.io"]
    assert [(one.base, one.trust) for one in endpoints("own.org", settings)] == [
        ("https://own.org", Trust(only="/ca.pem"))
    ]
    assert [(one.base, one.trust.verify) for one in endpoints("lab:5000", settings)] == [
        ("https://lab:5000", False),
        ("http://lab:5000", False),
    ]
    assert [one.loose for one in endpoints("localhost:5000", settings)] == [True, True]


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        ("7", 7, 7),
        ("99999", 30, 30),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0, 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 30, 30),
        ("soon", 0.3, 0.7),
        ("²", 0.3, 0.7),
        (None, 0.3, 0.7),
    ],
)
def test_how_long_to_wait(asked: str | None, least: float, most: float) -> None:
    waits: list[float] = []
    Client("a.org", Settings(), Credentials("none"), wait=waits.append).pause(1, asked)
    assert least <= waits[0] <= most


def test_mirrors_come_in_order() -> None:
    settings = Settings({"docker.io": Host(mirrors=("https://one.org", "http://localhost:5001/"))})
    found = mirrors("docker.io", settings)
    assert [(one.base, one.trust.verify, one.loose) for one in found] == [
        ("https://one.org", True, False),
        ("http://localhost:5001", True, True),
    ]


def test_origins() -> None:
    assert origin("https://A.org/x") == ("https", "a.org", 443)
    assert origin("http://a.org:5000/x") != origin("http://a.org/x")


def test_settings_are_read() -> None:
    hub, lab = b'[registries."docker.io"]', b'[registries."lab:5000"]'
    text = hub + b'\nmirrors = ["https://m.org"]\n' + lab + b"\ninsecure = true\n[limits]\nx=1"
    settings = parse(text, "config.toml")
    assert settings.host("docker.io").mirrors == ("https://m.org",)
    assert settings.host("lab:5000").insecure
    assert settings.host("other") == Host()


@pytest.mark.parametrize(
    "text", [b"[", b'[registries."x"]\ninsecur = true', b'[registries."x"]\nmirrors = ["x"]']
)
def test_wrong_settings_are_one_error(text: bytes) -> None:
    with pytest.raises(BadInput):
        parse(text, "config.toml")


def test_logins_are_kept_as_docker_does(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(
        json.dumps({"psFormat": "x", "auths": {"https://index.docker.io/v1/": {"auth": "YTpiOmM="}}})
    )
    known = Credentials(str(path))
    assert known.get("docker.io") == Login("a", "b:c")
    assert known.get("other.org") is None
    assert known.put("localhost:5000", Login("me", "secret")) == str(path)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert known.get("localhost:5000") == Login("me", "secret")
    assert json.loads(path.read_text())["psFormat"] == "x"
    assert known.erase("localhost:5000") and not known.erase("localhost:5000")
    assert known.get("docker.io") == Login("a", "b:c")
    assert "secret" not in repr(Login("me", "secret"))


def test_a_helper_is_asked(tmp_path: Path) -> None:
    helper = tmp_path / "docker-credential-test"
    helper.write_text(
        f"#!/bin/sh\nf={tmp_path}/kept\ncase $1 in store) cat >$f;; get) [ -e $f ] && cat $f || "
        "{ echo credentials not found in native keychain; exit 1; };; erase) rm $f;; esac\n"
    )
    helper.chmod(0o755)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"credHelpers": {"a.org": "test", "b.org": "../evil", "c.org": "absent"}}))
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{tmp_path}:{before}"
    try:
        known = Credentials(str(path))
        assert known.get("a.org") is None
        known.put("a.org", Login("me", "secret"))
        assert known.get("a.org") == Login("me", "secret")
        assert "secret" not in path.read_text()
        known.put("a.org", Login(identity_token="token"))
        assert known.get("a.org") == Login(identity_token="token")
        assert known.erase("a.org")
        assert known.get("a.org") is None
        for host in ("b.org", "c.org"):
            with pytest.raises(HostRefused):
                known.get(host)
    finally:
        os.environ["PATH"] = before


def test_a_broken_config_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text("{")
    with pytest.raises(InvalidDocument):
        Credentials(str(path)).get("a.org")
