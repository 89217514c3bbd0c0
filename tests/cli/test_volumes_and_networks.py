"""``sandcell volume`` and ``sandcell network`` on a real, empty store; no container is made."""

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandcell.runtime import Engine
from sandcell.runtime.cli import main


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "home", tmp_path / "run") as engine:
        yield engine


def _say(capfd: pytest.CaptureFixture[str], engine: Engine, *words: str) -> tuple[int, str, str]:
    status = main(words, engine=engine)
    told = capfd.readouterr()
    return status, told.out, told.err


@contextmanager
def _answering(text: str) -> Iterator[None]:
    before, sys.stdin = sys.stdin, io.StringIO(text)
    try:
        yield
    finally:
        sys.stdin = before


def test_volumes(engine: Engine, capfd: pytest.CaptureFixture[str]) -> None:
    assert _say(capfd, engine, "volume", "create", "web", "-l", "a=b")[:2] == (0, "web\n")
    status, out, _ = _say(capfd, engine, "volume", "ls")
    assert status == 0
    assert out.splitlines()[0].split("  ")[0] == "VOLUME NAME"
    assert out.splitlines()[1].startswith("web")
    shown = json.loads(_say(capfd, engine, "volume", "inspect", "web")[1])
    assert (shown["Name"], shown["Labels"]) == ("web", {"a": "b"})
    assert Path(shown["Mountpoint"]).is_dir()
    status, _, err = _say(capfd, engine, "volume", "rm", "wbe")
    assert status == 1
    assert "did you mean web?" in err
    assert _say(capfd, engine, "volume", "prune")[1] == ""
    (unnamed,) = _say(capfd, engine, "volume", "create")[1].split()
    assert _say(capfd, engine, "volume", "rm", "-f", "nobody", unnamed)[:2] == (0, f"{unnamed}\n")
    with _answering("n\n"):
        status, out, _ = _say(capfd, engine, "volume", "prune", "--all")
    assert (status, out.splitlines()[0], len(engine.volumes())) == (1, "would go: web", 1)
    assert _say(capfd, engine, "volume", "prune", "--all", "--force")[1] == "web\n"
    assert _say(capfd, engine, "volume", "ls", "-q")[1] == ""


def test_networks(engine: Engine, capfd: pytest.CaptureFixture[str]) -> None:
    assert _say(capfd, engine, "network", "create", "front", "--subnet", "10.5.0.0/24")[1] == "front\n"
    assert _say(capfd, engine, "network", "ls", "-q")[1] == "none\nhost\nbridge\nfront\n"
    assert json.loads(_say(capfd, engine, "network", "inspect", "front")[1])["Subnet"] == "10.5.0.0/24"
    for words, told in (
        (("create", "front"), "there is one already"),
        (("create", "x", "--subnet", "10.5.0.1/24"), "not an IPv4 network"),
        (("rm", "bridge"), "it is always there"),
        (("inspect", "frnt"), "did you mean front?"),
    ):
        status, _, err = _say(capfd, engine, "network", *words)
        assert status == 1
        assert told in err
    assert _say(capfd, engine, "network", "rm", "-f", "nobody", "front")[:2] == (0, "front\n")
    for name in ("one", "two"):
        _say(capfd, engine, "network", "create", name)
    with _answering("y\n"):
        status, out, _ = _say(capfd, engine, "network", "prune")
    assert (status, out.split()[-2:]) == (0, ["one", "two"])
    assert _say(capfd, engine, "network", "prune")[:2] == (0, "")
    assert len(engine.networks()) == 3
