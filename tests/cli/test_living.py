"""Containers that run, from the command line: what they do, what they use, what goes in and out."""

import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandcell import Engine, Options
from sandcell.runtime.cli import main
from tests.engine.claims import until

pytestmark = [pytest.mark.slow, pytest.mark.kernel]


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine() as engine:
        engine.build("FROM host:tiny\n", name="cli-living")
        made = engine.create("cli-living", ("sleep", "1000"), Options(name="cli-lives"))
        engine.start(made)
        yield engine
        engine.remove(made, force=True)


@pytest.fixture
def sandcell(engine: Engine, capfd: Any) -> Callable[..., tuple[int, str, str]]:
    def call(*words: str) -> tuple[int, str, str]:
        status = main(words, engine=engine)
        return (status, *capfd.readouterr())

    return call


def test_looking_and_standing_still(sandcell: Any, engine: Engine) -> None:
    (row,) = [json.loads(line) for line in sandcell("top", "--format", "json", "cli-lives")[1].splitlines()]
    assert (row["Inside"], row["Pid"], row["Command"]) == (1, engine.container("cli-lives").pid, "sleep 1000")
    status, out, _ = sandcell("stats", "--no-stream", "--format", "json", "cli-lives")
    assert (status, json.loads(out)["PIDs"]) == (0, 1)
    if engine.nursery.cgroups:
        assert sandcell("pause", "cli-lives")[:2] == (0, "cli-lives\n")
        assert "(Paused)" in sandcell("ps", "-f", "name=cli-lives")[1]
        assert sandcell("unpause", "cli-lives")[:2] == (0, "cli-lives\n")
        assert sandcell("update", "-m", "64m", "cli-lives")[0] == 0
        assert engine.stats("cli-lives").memory_limit == 64 << 20
    assert sandcell("top", "cli-nobody")[0] == 1


def test_copies(sandcell: Any, engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "note").write_text("text\n")
    assert sandcell("cp", str(tmp_path / "note"), "cli-lives:/etc/note") == (0, "", "")
    assert sandcell("cp", "cli-lives:/etc/note", str(tmp_path / "back")) == (0, "", "")
    assert (tmp_path / "back").read_text() == "text\n"
    command = [sys.executable, "-m", "sandcell.runtime.cli", "cp", "cli-lives:/etc/note", "-"]
    data = subprocess.run(command, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert tar.getnames() == ["note"]
    command[-2:] = ["-", "cli-lives:/tmp"]
    engine.exec("cli-lives", ("mkdir", "-p", "/tmp"))
    subprocess.run(command, input=data, check=True)
    assert engine.exec("cli-lives", ("cat", "/tmp/note")).text == "text\n"
    status, _, err = sandcell("cp", "cli-lives:/none", str(tmp_path))
    assert (status, "no such file" in err) == (1, True)


def test_events_of_another_process_are_seen(engine: Engine) -> None:
    argv = [sys.executable, "-m", "sandcell.runtime.cli", "events"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as listening:
        assert listening.stdout is not None
        until(lambda: Path(engine.places.run, "events").exists(), "it listens")
        engine.kill("cli-lives")
        seen = sorted(listening.stdout.readline().split(maxsplit=4)[2] for _ in range(2))
        listening.terminate()
    assert seen == ["die", "kill"]
    Path(engine.places.run, "events").unlink(missing_ok=True)
