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
    (shown,) = json.loads(_say(capfd, engine, "volume", "inspect", "web")[1])
    place = _say(capfd, engine, "volume", "inspect", "-f", "{{.Mountpoint}}", "web")[1]
    assert place == f"{shown['Mountpoint']}\n"
    assert _say(capfd, engine, "volume", "create", "-d", "nfs", "x")[0] == 125
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


def test_filters_of_volumes(engine: Engine, capfd: pytest.CaptureFixture[str]) -> None:
    engine.create_volume("web", {"of": "shop"})
    engine.create_volume("webster", {"of": "school", "old": ""})
    engine.create_volume("mail")

    def found(*filters: str) -> list[str]:
        words = [word for one in filters for word in ("--filter", one)]
        return _say(capfd, engine, "volume", "ls", "-q", *words)[1].split()

    assert found("name=web") == ["web", "webster"]
    assert found("name=web", "name=mail") == ["mail", "web", "webster"]
    assert found("label=of") == ["web", "webster"]
    assert found("label=of=shop", "name=web") == ["web"]
    assert found("label=of", "label=old") == ["webster"]
    assert (found("driver=local"), found("driver=nfs")) == (["mail", "web", "webster"], [])
    assert (found("dangling=true"), found("dangling=0")) == (["mail", "web", "webster"], [])
    for words, told in ((("size=1",), "use name="), (("dangling=x",), "neither true nor false")):
        status, _, err = _say(capfd, engine, "volume", "ls", "-f", *words)
        assert (status, told in err) == (1, True)
    row = json.loads(_say(capfd, engine, "volume", "ls", "-f", "label=of=shop", "--format", "json")[1])
    assert (row["Name"], row["Driver"], row["Labels"]) == ("web", "local", "of=shop")


def test_filters_of_networks(engine: Engine, capfd: pytest.CaptureFixture[str]) -> None:
    engine.create_network("front", labels={"of": "shop"})
    engine.create_network("back", ipv6=True)

    def found(*filters: str) -> list[str]:
        words = [word for one in filters for word in ("-f", one)]
        return _say(capfd, engine, "network", "ls", "-q", *words)[1].split()

    assert found("type=custom") == found("dangling=true") == ["back", "front"]
    assert found("type=builtin") == found("dangling=false") == ["none", "host", "bridge"]
    assert found("driver=bridge", "label=of=shop") == found("name=ron") == ["front"]
    assert found("driver=null") == ["none"]
    rows = _say(capfd, engine, "network", "ls", "--format", "{{.Name}} {{.IPv6}} {{.Labels}}")[1]
    assert {"back true ", "front false of=shop"} <= set(rows.splitlines())


def test_networks(engine: Engine, capfd: pytest.CaptureFixture[str]) -> None:
    assert _say(capfd, engine, "network", "create", "front", "--subnet", "10.5.0.0/24")[1] == "front\n"
    assert _say(capfd, engine, "network", "ls", "-q")[1] == "none\nhost\nbridge\nfront\n"
    assert json.loads(_say(capfd, engine, "network", "inspect", "front")[1])[0]["Subnet"] == "10.5.0.0/24"
    form = ("--format", "{{.Name}} {{.Driver}} {{.Subnet}}")
    status, out, err = _say(capfd, engine, "network", "inspect", *form, "front", "nobody", "host")
    assert (status, out) == (1, "front bridge 10.5.0.0/24\nhost host \n")
    assert err.startswith("sandcell: find network nobody: ")
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
