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
    assert sandcell("port", "cli-lives") == (0, "", "")
    status, _, told = sandcell("port", "cli-lives", "80")
    assert (status, "find port 80/tcp: cli-lives does not publish it" in told) == (1, True)


def test_what_stands_already(sandcell: Any, engine: Engine) -> None:
    """As docker: starting once more is no error, a name of its own is."""
    pid = engine.container("cli-lives").pid
    assert sandcell("start", "cli-lives") == (0, "cli-lives\n", "")
    assert engine.container("cli-lives").pid == pid
    status, _, told = sandcell("rename", "cli-lives", "cli-lives")
    assert (status, told) == (1, "sandcell: rename to cli-lives: that is its name already\n")
    ticking = ("sh", "-c", "while :; do echo tick; sleep 0.02; done")
    other = engine.create("cli-living", ticking, Options(name="cli-other"))
    status, _, told = sandcell("rename", "cli-other", "cli-lives")
    assert (status, "rename to cli-lives: container" in told, "--replace" in told) == (1, True, False)
    engine.start(other)
    argv = [sys.executable, "-m", "sandcell.runtime.cli", "start", "--attach", "cli-other"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as listening:
        try:
            assert listening.stdout is not None
            assert listening.stdout.readline() == "tick\n"
        finally:
            engine.kill(other)
        listening.stdout.read()
    assert listening.returncode == 137
    engine.remove(other)
    if engine.nursery.cgroups:
        engine.pause("cli-lives")
        status, _, told = sandcell("start", "cli-lives")
        assert (status, told) == (1, "sandcell: start cli-lives: it is paused\n  hint: unpause cli-lives\n")
        engine.unpause("cli-lives")


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
        try:
            assert listening.stdout is not None
            until(lambda: Path(engine.places.run, "events").exists(), "it listens")
            engine.kill("cli-lives")
            seen = sorted(listening.stdout.readline().split(maxsplit=4)[2] for _ in range(2))
        finally:
            listening.terminate()
    assert seen == ["die", "kill"]
    Path(engine.places.run, "events").unlink(missing_ok=True)


def test_what_happened_and_what_happens(sandcell: Any, engine: Engine) -> None:
    made = engine.create("cli-living", ("sh", "-c", "exit 6"), Options(name="cli-past"))
    engine.start(made)
    assert engine.wait(made) == 6
    asked = ("events", "--since", "1h", "--until", "0s", "--filter", "container=cli-past", "--format", "json")
    told = [json.loads(line) for line in sandcell(*asked)[1].splitlines()]
    assert [(one["action"], one.get("status")) for one in told] == [
        ("create", None),
        ("start", None),
        ("die", 6),
    ]
    form = "{{.Action}} {{.Actor.Attributes.name}} {{.From}}"
    lines = sandcell(*asked[:-1], form)[1].splitlines()
    assert lines == [f"{word} cli-past cli-living:latest" for word in ("create", "start", "die")]
    assert sandcell("events", "--filter", "colour=red")[0] == 1
    engine.remove(made)


def test_what_an_exec_could_not_do_and_how_a_container_would_be_stopped(
    sandcell: Any, engine: Engine
) -> None:
    options = Options(name="cli-asked", stop_signal="INT", stop_timeout=3)
    engine.start(engine.create("cli-living", ("sleep", "1000"), options, starts=True))
    form = "{{.Config.StopSignal}} {{.Config.StopTimeout}}"
    assert sandcell("inspect", "--format", form, "cli-asked")[1] == "INT 3\n"
    status, _, told = sandcell("exec", "cli-asked", "nosuch")
    assert (status, told.splitlines()[0]) == (
        127,
        "sandcell: exec in cli-asked: no command 'nosuch' in the container",
    )
    status, _, told = sandcell("exec", "-w", "/none", "cli-asked", "true")
    cause = "change directory to /none: No such file or directory"
    assert (status, told) == (126, f"sandcell: exec in cli-asked: {cause}\n")
    engine.remove("cli-asked", force=True)


def test_choosing_and_clearing_containers(sandcell: Any, engine: Engine, tmp_path: Path) -> None:
    cidfile = tmp_path / "id"
    status, out, _ = sandcell(
        "create",
        "--name",
        "cli-clear",
        "-l",
        "a=1",
        "-l",
        "b=2",
        "--cidfile",
        str(cidfile),
        "cli-living",
        "true",
    )
    assert (status, cidfile.read_text() + "\n") == (0, out)
    again = sandcell("create", "--cidfile", str(cidfile), "cli-living")
    assert again[0] == 1
    assert "is there already" in again[2]
    assert "cli-clear" in sandcell("ps", "-a", "-f", "label=a=1", "-f", "label=b=2", "-f", "name=cli-")[1]
    assert "cli-clear" not in sandcell("ps", "-a", "-f", "label=a=1", "-f", "label=b=3")[1]
    assert "cli-lives" in sandcell("ps", "-a", "-f", "status=running", "-f", "status=paused")[1]
    assert sandcell("start", "-a", "cli-clear")[0] == 0
    assert "cli-clear" in sandcell("ps", "-f", "exited=0")[1]
    assert "cli-clear" not in sandcell("ps", "-f", "exited=1")[1]
    engine.exec("cli-lives", ("sh", "-c", "echo 1234567 > /written"))
    rows = [json.loads(line) for line in sandcell("ps", "-s", "--format", "json")[1].splitlines()]
    assert [row["Size"] for row in rows if row["Names"] == "cli-lives"] == ["8B"]
    assert sandcell("container", "prune", "--filter", "label=a=2") == (0, "", "")  # nothing to ask about
    assert (
        engine.container("cli-clear").id in sandcell("container", "prune", "-f", "--filter", "label=a=1")[1]
    )
    assert sandcell("container", "ls", "-a", "-f", "name=cli-clear", "-q")[1] == ""
    assert engine.container("cli-lives").state == "running"
    assert sandcell("rm", "-fv", "cli-lives")[0] == 0


def test_flags_that_few_need_reach_the_container(sandcell: Any, engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "here").write_text("of the host\n")
    (tmp_path / "env").write_text("# no\nA=from a file\n")
    flags = ["--mount", f"type=bind,source={tmp_path},target=/m,readonly", "--mount", "type=tmpfs,target=/t"]
    flags += ["--init", "--cap-drop", "ALL", "--ulimit", "nofile=99", "--env-file", str(tmp_path / "env")]
    flags += ["--add-host", "db:10.1.2.3", "--security-opt", "no-new-privileges", "--pull", "never"]
    script = "cat /m/here; touch /m/x 2>/dev/null || echo ro; touch /t/x && echo rw; ulimit -n; echo $$ $A"
    assert sandcell("run", "--rm", *flags, "cli-living", "sh", "-c", script)[:2] == (
        0,
        "of the host\nro\nrw\n99\n2 from a file\n",
    )
    words = ("exec", "--env-file", str(tmp_path / "env"), "cli-lives", "sh", "-c", "echo $A")
    assert sandcell(*words)[1] == "from a file\n"
    for flag in (["--privileged"], ["--restart", "always"], ["--platform", "linux/s390x"], ["--device", "x"]):
        status, _, err = sandcell("run", "--rm", *flag, "cli-living", "true")
        assert (status, err.count("sandcell:")) == (125, 1), flag
    status, _, err = sandcell("run", "--rm", "--pull", "never", "127.0.0.1:1/there-is/none", "true")
    assert (status, "pulling" in err) == (125, False)
    status, _, err = sandcell("run", "--rm", "127.0.0.1:1/there-is/none", "true")
    assert status == 125
    assert "pulling" in err
    assert "refused" in err


def test_commit_changes_settings(sandcell: Any, engine: Engine) -> None:
    changes = ('CMD ["sh", "-c", "echo $A; pwd"]', "ENV A=changed", "WORKDIR /tmp", "LABEL x=y", "EXPOSE 80")
    flags = [word for change in changes for word in ("-c", change)]
    assert sandcell("commit", "-a", "me", "-m", "why", *flags, "cli-lives", "cli-changed")[0] == 0
    image = engine.image("cli-changed")
    assert (image.config.author, image.config.history[-1].comment) == ("me", "why")
    assert (image.config.config.labels["x"], list(image.config.config.exposed_ports)) == ("y", ["80/tcp"])
    assert sandcell("run", "--rm", "cli-changed")[1] == "changed\n/tmp\n"
    status, _, err = sandcell("commit", "-c", "RUN x", "cli-lives")
    assert (status, "no setting" in err) == (1, True)
    assert sandcell("commit", "--no-pause", "cli-lives", "cli-changed")[0] == 0
    engine.remove_image("cli-changed", force=True)
