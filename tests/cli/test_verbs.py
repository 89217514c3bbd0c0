"""What each verb asks of the engine, and what it prints."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest

from sandcell.runtime.container.options import Options
from sandcell.runtime.container.output import Output

from .fake_engine import Change, FakeEngine, command, record


class Answer(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def sandcell(engine: FakeEngine, capfd: Any) -> Callable[..., Answer]:
    """Call the command in this process, over the fake engine."""

    def call(*words: str) -> Answer:
        status = command(engine, *words)
        return Answer(status, *capfd.readouterr())

    return call


def test_no_verb_shows_help(sandcell: Any) -> None:
    answer = sandcell()
    assert answer.status == 0
    assert "run" in answer.out
    assert "List containers" in answer.out


def test_ps_shows_docker_s_columns(sandcell: Any, engine: FakeEngine) -> None:
    engine.records["web"] = record("1" * 64, "web", command=("sleep", "1000000000000000"), state="running")
    answer = sandcell("ps")
    heading, line = answer.out.splitlines()
    columns = ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]
    assert [word.strip() for word in heading.split("   ") if word.strip()] == columns
    assert line.startswith("1" * 12 + "   tiny:latest   ")
    assert '"sleep 1000000000000…"' in line
    assert line.endswith("web")


def test_ps_shows_what_cannot_be_read_when_asked_for_all(sandcell: Any, engine: FakeEngine) -> None:
    engine.broken = ["e" * 64]
    assert "Corrupted" not in sandcell("ps").out
    assert sandcell("ps", "-a").out.splitlines()[1].split() == ["e" * 12, "Corrupted"]
    assert json.loads(sandcell("ps", "-a", "--format", "json").out)["State"] == "corrupted"
    assert sandcell("ps", "-a", "-s", "--no-trunc").out.splitlines()[1].startswith("e" * 64)


def test_ps_and_images_take_templates(sandcell: Any, engine: FakeEngine) -> None:
    engine.records["web"] = record("1" * 64, "web", command=("sleep", "1"), state="running")
    assert sandcell("ps", "--format", "{{.ID}}\\t{{.Names}}").out == f"{'1' * 12}\tweb\n"
    heading, line = sandcell("ps", "--format", "table {{.Names}}\\t{{.ID}}").out.splitlines()
    assert heading.split("   ") == ["NAMES", "CONTAINER ID"]
    assert line.split("   ") == ["web", "", "1" * 12] or line.split() == ["web", "1" * 12]
    assert sandcell("images", "--format", "{{.Repository}}:{{.Tag}}").out == "tiny:latest\n"
    for wrong in ("xml", "{{.Nothing}}", "{{"):
        answer = sandcell("ps", "--format", wrong)
        assert (answer.out, answer.err.startswith("sandcell: use --format")) == ("", True), answer


def test_ps_hides_what_does_not_run_until_asked(sandcell: Any, engine: FakeEngine) -> None:
    engine.records["old"] = record("2" * 64, "old", state="exited", exit_status=3)
    engine.records["new"] = record("3" * 64, "new", state="created")
    assert "old" not in sandcell("ps").out
    everything = sandcell("ps", "-a").out
    assert everything.index("new") < everything.index("old")
    assert "Exited (3)" in everything
    assert sandcell("ps", "-q", "-l").out == "3" * 12 + "\n"
    assert sandcell("ps", "-aq", "--no-trunc", "-n", "2").out == "3" * 64 + "\n" + "2" * 64 + "\n"


def test_ps_filters(sandcell: Any, engine: FakeEngine) -> None:
    engine.records["a"] = record("2" * 64, "a", state="exited", labels={"lesson": "00"})
    engine.records["b"] = record("3" * 64, "b", "other:1", state="running")
    assert sandcell("ps", "-q", "--filter", "status=exited").out.strip() == "2" * 12
    assert sandcell("ps", "-aq", "-f", "label=lesson").out.strip() == "2" * 12
    assert sandcell("ps", "-aq", "-f", "label=lesson=01").out == ""
    assert sandcell("ps", "-aq", "-f", "ancestor=tiny").out.strip() == "2" * 12
    assert sandcell("ps", "-aq", "-f", "name=b").out.strip() == "3" * 12
    answer = sandcell("ps", "-f", "colour=red")
    assert answer.status == 1
    assert "no such filter" in answer.err


def test_json_is_one_object_a_line(sandcell: Any, engine: FakeEngine) -> None:
    engine.records["a"] = record("2" * 64, "a", state="running")
    engine.records["b"] = record("3" * 64, "b", state="running")
    rows = [json.loads(line) for line in sandcell("ps", "--format", "json").out.splitlines()]
    assert [row["Names"] for row in rows] == ["b", "a"]
    assert rows[0]["State"] == "running"
    images = [json.loads(line) for line in sandcell("images", "--format=json").out.splitlines()]
    assert images[0]["Repository"] == "tiny"
    assert images[0]["Size"] == "64.2MB"


def test_images(sandcell: Any) -> None:
    heading, line = sandcell("images").out.splitlines()
    assert heading.split() == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
    assert line.split()[:3] == ["tiny", "latest", "a" * 12]
    assert sandcell("images", "-q", "--no-trunc").out == "sha256:" + "a" * 64 + "\n"
    assert sandcell("images", "-q", "nothing").out == ""
    assert "sha256:aaaa" in sandcell("images", "--digests", "tiny").out


def test_history_names_layers(sandcell: Any) -> None:
    _, empty, made = sandcell("history", "tiny").out.splitlines()
    assert empty.startswith("<none>")
    assert made.startswith("c" * 12)
    assert "RUN make everything" in made
    assert "1.5kB" in made
    assert made.endswith("a note")


def test_tag_rmi_save(sandcell: Any, engine: FakeEngine, tmp_path: Path) -> None:
    assert sandcell("tag", "tiny", "small:1").status == 0
    assert "small:1" in engine.image_records
    answer = sandcell("rmi", "small:1", "nothing", "tiny")
    assert answer.status == 1
    assert "Untagged: small:1\nDeleted: sha256:aaaa" in answer.out
    assert "Untagged: tiny:latest" in answer.out
    assert "sandcell: find image nothing: there is none here\n  hint: did you mean 'tiny'?" in answer.err


def test_save_writes_the_file(sandcell: Any, tmp_path: Path) -> None:
    assert sandcell("save", "-o", str(tmp_path / "x.tar"), "tiny").status == 0
    assert (tmp_path / "x.tar").read_bytes() == b"tar"
    assert sandcell("save", "--format", "zip", "tiny").status != 0


def test_create_reads_docker_s_flags(sandcell: Any, engine: FakeEngine, tmp_path: Path) -> None:
    variables = tmp_path / "variables"
    variables.write_text("# a note\nA=from file\nB=b=2\n")
    words = (
        f"create --name n -e A=1 --env-file {variables} -v /tmp:/data:ro -w /w -u 5:6 -m 256m --cpus 1.5 "
        "--pids-limit 9 --network host -h box -l lesson=00 --entrypoint /bin/echo --read-only "
        "--stop-signal INT --rm -t tiny -e not-ours"
    )
    answer = sandcell(*words.split())
    assert answer.status == 0
    record = engine.records["n"]
    assert answer.out == record.id + "\n"
    assert record.command == ("-e", "not-ours")
    assert record.options == Options(
        name="n",
        env={"A": "1", "B": "b=2"},
        volumes=("/tmp:/data:ro",),
        workdir="/w",
        user="5:6",
        memory=256 << 20,
        cpus=1.5,
        pids_limit=9,
        network="host",
        hostname="box",
        labels={"lesson": "00"},
        entrypoint=("/bin/echo",),
        read_only=True,
        stop_signal="INT",
        remove=True,
        tty=True,
    )


def test_a_relative_volume_is_one_of_ours(sandcell: Any, engine: FakeEngine) -> None:
    assert sandcell("create", "--name", "n", "-v", "./x:/x", "tiny").status == 0
    assert engine.records["n"].options.volumes == (f"{Path.cwd()}/x:/x",)


def test_env_without_a_value_passes_ours_on(sandcell: Any, engine: FakeEngine) -> None:
    sandcell("create", "--name", "n", "-e", "HOME", "-e", "NO_SUCH_THING", "tiny")
    assert set(engine.records["n"].options.env) == {"HOME"}
    assert sandcell("create", "-e", "=x", "tiny").status == 1


def test_lifecycle(sandcell: Any, engine: FakeEngine) -> None:
    sandcell("create", "--name", "n", "tiny")
    assert sandcell("start", "n").out == "n\n"
    assert engine.records["n"].state == "running"
    assert "it is running" in sandcell("rm", "n").err
    assert sandcell("stop", "-t", "3", "n").out == "n\n"
    assert engine.asked == {"timeout": 3}
    assert sandcell("wait", "n").out == "143\n"
    assert sandcell("restart", "n").out == "n\n"
    assert sandcell("kill", "-s", "HUP", "n").out == "n\n"
    assert engine.asked == {"signal": "HUP"}
    assert sandcell("rename", "n", "m") == (0, "", "")
    assert sandcell("rm", "n").status == 1
    assert sandcell("rm", "-f", "m", "n") == (  # as docker, one that is not there is told only
        0,
        "m\n",
        "sandcell: find container n: there is none of that name or id\n",
    )


def test_diff_commit_inspect_logs(sandcell: Any, engine: FakeEngine) -> None:
    sandcell("create", "--name", "n", "tiny")
    engine.changes = (Change("A", "etc/new"), Change("D", "/bin/sh"))
    assert sandcell("diff", "n").out == "A /etc/new\nD /bin/sh\n"
    assert sandcell("diff", "--format", "json", "n").out.splitlines()[0] == '{"Kind":"A","Path":"/etc/new"}'
    assert sandcell("commit", "-m", "a note", "n", "new").out == "sha256:" + "d" * 64 + "\n"
    assert engine.asked == {"message": "a note", "compression": "gzip"}
    answer = sandcell("inspect", "n", "nothing")
    assert json.loads(answer.out)[0]["Name"] == "n"
    assert answer.status == 1
    assert json.loads(sandcell("inspect", "--format", "json", "n").out)["Name"] == "n"
    engine.output = [Output("stdout", b"one\n"), Output("stderr", b"two \xff\n")]
    answer = sandcell("logs", "n")
    assert answer.out == "one\n"
    assert answer.err.startswith("two ")
    sandcell("logs", "-n", "5", "n")
    assert engine.asked == {"tail": 5}
    assert sandcell("logs", "--tail", "x", "n").status == 125


def test_each_line_of_a_log_can_have_its_time(sandcell: Any, engine: FakeEngine) -> None:
    sandcell("create", "--name", "n", "tiny")
    engine.output = [
        Output("stdout", b"one\ntw", 1.5),
        Output("stdout", b"o\n", 2.5),
        Output("stdout", b"three", 3.5),
    ]
    assert sandcell("logs", "-t", "n").out == (
        "1970-01-01T00:00:01.500000Z one\n1970-01-01T00:00:01.500000Z two\n1970-01-01T00:00:03.500000Z three"
    )


def test_completion_offers_names(engine: FakeEngine, capfd: Any) -> None:
    from click.shell_completion import BashComplete

    from sandcell.runtime.cli.door import Door
    from sandcell.runtime.cli.group import commands

    engine.create("tiny", None, Options(name="web"))
    complete = BashComplete(commands, {"obj": Door(cast(Any, engine))}, "sandcell", "_SANDCELL_COMPLETE")
    assert [item.value for item in complete.get_completions(["rm"], "w")] == ["web"]
    assert [item.value for item in complete.get_completions(["run"], "ti")] == ["tiny:latest"]
    assert "rmi" in [item.value for item in complete.get_completions([], "rm")]
