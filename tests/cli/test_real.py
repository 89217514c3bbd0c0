"""The verbs over the real engine: one story for root, the same for somebody without rights."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandcell import Engine
from sandcell.runtime.cli import main
from tests.plain_user import PlainUser

pytestmark = [pytest.mark.slow, pytest.mark.kernel]

DOCKERFILE = """FROM host:tiny
COPY note /note
RUN echo made >> /note
ENV A=1
CMD ["cat", "/note"]
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine() as engine:
        yield engine


@pytest.fixture
def sandcell(engine: Engine, capfd: Any) -> Callable[..., tuple[int, str, str]]:
    def call(*words: str) -> tuple[int, str, str]:
        status = main(words, engine=engine)
        return (status, *capfd.readouterr())

    return call


@pytest.fixture
def image(engine: Engine, tmp_path: Path) -> str:
    (tmp_path / "note").write_text("copied\n")
    engine.build(DOCKERFILE, name="cli-story", context=tmp_path)
    return "cli-story"


def test_the_life_of_a_container(sandcell: Any, image: str, tmp_path: Path) -> None:
    assert sandcell("run", "--rm", image)[:2] == (0, "copied\nmade\n")
    status, id, _ = sandcell("run", "-d", "--name", "cli-web", image, "sleep", "1000")
    assert status == 0
    assert "cli-web" in sandcell("ps")[1]
    assert sandcell(
        "exec", "-w", "/tmp", "cli-web", "sh", "-c", "pwd; echo new > /new; rm /note; exit 3"
    ) == (
        3,
        "/tmp\n",
        "",
    )
    assert sandcell("diff", "cli-web")[1] == "A /new\nD /note\n"
    digest = sandcell("commit", "-m", "later", "cli-web", "cli-story:2")[1].strip()
    assert sandcell("run", "--rm", "cli-story:2", "cat", "/new")[1] == "new\n"
    newest = sandcell("history", "cli-story:2")[1].splitlines()[1]
    assert newest.endswith("later")
    row = json.loads(sandcell("images", "--format", "json", "cli-story:2")[1])
    assert row["Digest"] == digest
    assert sandcell("stop", "-t", "0", "cli-web")[0] == 0
    assert sandcell("wait", "cli-web")[1] == "137\n"
    assert sandcell("start", "cli-web")[0] == 0
    assert sandcell("rename", "cli-web", "cli-site")[0] == 0
    inspected = json.loads(sandcell("inspect", "cli-site")[1])[0]
    assert inspected["Id"] == id.strip()
    assert inspected["State"]["Running"] is True
    assert sandcell("rm", "cli-site")[0] == 1
    assert sandcell("rm", "-f", "cli-site")[1] == "cli-site\n"
    archive = tmp_path / "story.tar"
    assert sandcell("save", "-o", str(archive), "cli-story:2")[0] == 0
    assert archive.stat().st_size > 1_000_000
    assert sandcell("rmi", "cli-story:2")[1].startswith("Untagged: cli-story:2\nDeleted: sha256:")


def test_logs_are_what_was_written(sandcell: Any, image: str) -> None:
    sandcell("run", "--name", "cli-talk", "--replace", image, "sh", "-c", "echo out; echo err >&2; echo end")
    status, out, err = sandcell("logs", "cli-talk")
    assert (status, out, err) == (0, "out\nend\n", "err\n")
    assert sandcell("logs", "-t", "cli-talk")[1].splitlines()[0].endswith("Z out")
    sandcell("run", "--name", "cli-talk", "--replace", image, "sh", "-c", "echo one; echo two")
    assert sandcell("logs", "--tail", "1", "cli-talk")[1] == "two\n"
    sandcell("rm", "cli-talk")


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (["sh", "-c", "exit 42"], 42),
        (["sh", "-c", "kill -9 $PPID; sh -c 'kill -9 $$'; exit $?"], 137),
        (["/no/such"], 127),
        (["/note"], 126),
    ],
)
def test_exit_status(sandcell: Any, image: str, command: list[str], status: int) -> None:
    assert sandcell("run", "--rm", image, *command)[0] == status


def test_errors_name_the_operation_and_the_object(sandcell: Any, image: str, tmp_path: Path) -> None:
    status, out, err = sandcell("run", "cli-stories")
    assert (status, out) == (125, "")
    assert "cli-stories: " in err
    assert "cli-story" in err.splitlines()[1]
    assert sandcell("exec", "cli-nobody", "sh")[0] == 1
    (tmp_path / "bad").write_text("FROM host:tiny\nRUM make\n")
    status, _, err = sandcell("build", "-f", str(tmp_path / "bad"), str(tmp_path))
    assert status == 1
    assert "  >   2 | RUM make\n" in err
    (tmp_path / "worse").write_text("FROM host:tiny\nRUN echo so far; exit 7\n")
    status, _, err = sandcell("build", "-f", str(tmp_path / "worse"), str(tmp_path))
    assert status == 1
    assert "  | so far\n" in err
    assert "  >   2 | RUN echo so far; exit 7\n" in err


def test_explain_makes_nothing(sandcell: Any, engine: Engine, image: str) -> None:
    # One with --rm from a test before may still be on its way out.
    before = {container.id for container in engine.containers(all=True)}
    status, out, _ = sandcell("run", "--explain", image)
    assert status == 0
    assert "overlay" in out
    assert {container.id for container in engine.containers(all=True)} <= before


def test_flags_reach_the_container(sandcell: Any, image: str, engine: Engine) -> None:
    limits = ["-m", "64m", "--pids-limit", "50"] if engine.nursery.cgroups else []
    limits.append("--read-only")
    place = ["-h", "box", "-e", "B=2", "-w", "/tmp", "-u", "1:1", "-t"]
    script = "id -u; uname -n; echo $A $B; pwd; touch /x; test -t 1 && echo terminal"
    status, out, _ = sandcell("run", "--rm", *limits, *place, image, "sh", "-c", script)
    lines = out.replace("\r", "").splitlines()
    assert status == 0
    assert lines[:4] == ["1", "box", "1 2", "/tmp"]
    assert "Read-only file system" in lines[4]
    assert lines[5] == "terminal"


def _command(*words: str) -> "subprocess.Popen[bytes]":
    argv = [sys.executable, "-m", "sandcell.runtime.cli", *words]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)


def test_ctrl_c_goes_to_the_program(image: str) -> None:
    script = "trap 'echo bye; exit 5' INT; echo ready; while :; do sleep 0.05; done"
    with _command("run", "--rm", image, "sh", "-c", script) as child:
        assert child.stdout is not None
        assert child.stdout.read(6) == b"ready\n"
        child.send_signal(signal.SIGINT)
        assert child.stdout.read() == b"bye\n"
        assert child.wait() == 5


def test_a_reader_that_goes_away_ends_the_container(image: str, engine: Engine) -> None:
    with _command("run", "--name", "cli-yes", image, "yes") as child:
        assert child.stdout is not None
        assert child.stdout.read(2) == b"y\n"
        child.stdout.close()
        assert child.wait() == 141
    assert engine.container("cli-yes").state == "exited"
    engine.remove("cli-yes")


_STORY = """
import contextlib, io, json, os, sys
from sandcell import Engine
from sandcell.runtime.cli import main

with Engine() as engine:
    def sandcell(*words):
        out = io.TextIOWrapper(io.BytesIO(), write_through=True)
        with contextlib.redirect_stdout(out):
            status = main(words, engine=engine)
        return status, out.buffer.getvalue().decode()

    with open("Dockerfile", "w") as file:
        file.write("FROM host:tiny\\nRUN echo made > /note\\n")
    print(sandcell("build", "-q", "-t", "story", ".")[0])
    print(sandcell("run", "--rm", "story", "sh", "-c", "id -u; cat /note; exit 3"))
    print(sandcell("run", "-d", "--name", "web", "story", "sleep", "1000")[0])
    print(sandcell("exec", "web", "sh", "-c", "rm /note; echo $$"))
    print(sandcell("diff", "web"))
    print(sandcell("commit", "web", "story:2")[0])
    print(sandcell("rm", "-f", "web"))
    print(sandcell("ps", "-aq"))
"""


@pytest.mark.rootless
def test_the_same_without_rights(plain_user: PlainUser) -> None:
    home, run = plain_user.directory("cli"), plain_user.directory("cli-run")
    env = {"SANDCELL_HOME": str(home), "SANDCELL_RUN": str(run)}
    code = f"import os; os.chdir({str(home)!r})\n{_STORY}"
    assert plain_user.run(code, env=env).splitlines() == [
        "0",
        "(3, '0\\nmade\\n')",
        "0",
        "(0, '2\\n')",
        "(0, 'D /note\\n')",
        "0",
        "(0, 'web\\n')",
        "(0, '')",
    ]
