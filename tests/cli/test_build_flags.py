"""``sandcell build``: its less usual flags, contexts that are no directory, and what is written out."""

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from sandcell.runtime import BuildOptions, Engine
from sandcell.runtime.cli import main
from sandcell.runtime.cli.progress import Progress
from sandcell.runtime.events import (
    BuildFinished,
    BuildStarted,
    BuildWarning,
    StepFinished,
    StepOutput,
    StepStarted,
)

from .fake_engine import FakeEngine, command


def call(engine: FakeEngine, *words: str) -> int:
    return command(engine, "build", *words)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Dockerfile").write_text("FROM tiny\n")
    return tmp_path


def test_flags_become_options(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"\xff\n")
    engine = FakeEngine()
    words = [
        "--build-context", "a=/a", "--build-context", "b=docker-image://x:1",
        "--secret", f"id=t,src={tmp_path}/token", "--secret", "id=PATH",
        "--ssh", "default=/s", "--ssh", "k=/a,/b", "--label", "x=1=2", "--label", "y",
        "--platform", "linux/arm64", "--no-cache-filter", "one,two", "--cache-from", "r/x", "--cache-to",
        "type=inline", "--network", "none",
    ]  # fmt: skip
    assert call(engine, *words, str(folder)) == 0
    options = engine.asked["options"]
    assert isinstance(options, BuildOptions)
    assert options.contexts == {"a": "/a", "b": "docker-image://x:1"}
    assert options.secrets["t"] == b"\xff\n" and options.secrets["PATH"]
    assert options.agents == {"default": ("/s",), "k": ("/a", "/b")}
    assert options.labels == {"x": "1=2", "y": ""}
    assert (options.platform, options.network) == ("linux/arm64", "none")
    assert options.fresh_stages == ("one", "two")
    assert (options.cache_from, options.cache_to) == (("r/x",), ("type=inline",))


def test_ignore_rules_beside_the_dockerfile(folder: Path) -> None:
    (folder / "prod").write_text("FROM tiny\n")
    (folder / "prod.dockerignore").write_text("x\n")
    engine = FakeEngine()
    assert call(engine, "-f", str(folder / "prod"), str(folder)) == 0
    assert engine.asked["options"].ignore == "x\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--build-context", "a"], "--build-context a: it has no value"),
        (["--secret", "src=x"], "it has no id"),
        (["--secret", "id=x,file=y"], "no option file"),
        (["--secret", "id=x,src=/no/such"], "/no/such cannot be read: No such file or directory"),
        (["--secret", "id=x,env=NO_SUCH_VARIABLE"], "there is no variable NO_SUCH_VARIABLE"),
        (["--secret", 'id=x,"src=y'], "a quote is not closed"),
        (["--label", "=x"], "a label needs a name"),
        (["--platform", "linux/amd64,linux/arm64"], "one at a time"),
        (["-o", "type=zip,dest=x"], "there is no output of type 'zip'"),
        (["-o", "type=tar"], "it has no dest"),
        (["--network", "bridge"], "'bridge' is not one of"),
    ],
)
def test_bad_flags(words: list[str], message: str, folder: Path, capfd: Any) -> None:
    assert call(FakeEngine(), *words, str(folder)) != 0
    assert message in capfd.readouterr().err


def steps(progress: Progress) -> None:
    """Two stages whose steps overlap."""
    progress(BuildStarted(name="x", steps=("RUN a", "RUN b"), stages=("one", "two")))
    progress(StepStarted(number=1, total=2, text="RUN a"))
    progress(StepStarted(number=2, total=2, text="RUN b"))
    progress(StepOutput(number=1, stream="stdout", data=b"of one\nhalf"))
    progress(StepOutput(number=2, stream="stdout", data=b"of two\n"))
    progress(StepFinished(number=2, cached=False, duration=1))
    progress(StepFinished(number=1, cached=True, size=5))
    progress(BuildWarning(rule="Rule", text="look out", lines=(3, 4)))
    progress(BuildFinished(name="x", digest="sha256:" + "a" * 64, duration=2))
    progress.close()


def test_plain_lines_say_whose_they_are() -> None:
    screen = io.StringIO()
    steps(Progress(screen, moving=False))
    assert screen.getvalue() == (
        "[1/2 one] RUN a\n[2/2 two] RUN b\n"
        "[1/2 one] RUN a\n  | of one\n"
        "[2/2 two] RUN b\n  | of two\n  1.0 s\n"
        "[1/2 one] RUN a\n  | half\n  cached, 5B\n"
        "built x aaaaaaaaaaaa in 2.0 s\n1 warning:\n  Rule: look out (line 3)\n"
    )


def test_a_moving_picture_shows_all_that_run() -> None:
    screen = io.StringIO()
    steps(Progress(screen, moving=True))
    text = screen.getvalue()
    assert "[2/2 two] RUN b  1.0 s\n" in text
    assert "[1/2 one] RUN a  cached, 5B\n" in text


def test_raw_json_is_one_object_a_line(folder: Path, capfd: Any) -> None:
    assert call(FakeEngine(), "--progress", "rawjson", str(folder)) == 0
    rows = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [row["event"] for row in rows] == ["BuildStarted", "StepStarted", "StepFinished", "BuildFinished"]
    assert rows[0]["steps"] == ["FROM tiny"]


def test_quiet_progress_says_nothing(folder: Path, capfd: Any) -> None:
    assert call(FakeEngine(), "--progress", "quiet", "-t", "x:1", str(folder)) == 0
    assert capfd.readouterr() == ("", "")


# ---------------------------------------------------------------- with a store: builds that run nothing

TEXT = b"FROM scratch\nCOPY --chmod=600 files /files\n"


def archive(mode: str = "w:gz") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:  # type: ignore[call-overload]
        for name, data in (
            ("Dockerfile", TEXT),
            ("other", b"FROM scratch\n"),
            ("files/a", b"a"),
            ("x.log", b"l"),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


CHILD = "import sys; from sandcell.runtime.cli import main; sys.exit(main(sys.argv[1:]))"


def real(tmp_path: Path, *words: str, data: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-c", CHILD, "build", *words],
        input=data,
        capture_output=True,
        env={"SANDCELL_HOME": f"{tmp_path}/home", "SANDCELL_RUN": f"{tmp_path}/run", "PATH": "/usr/bin:/bin"},
    )


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_context_from_standard_input(mode: str, tmp_path: Path) -> None:
    done = real(tmp_path, "-o", f"{tmp_path}/out", "-q", "-", data=archive(mode))
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "out").rglob("*")) == ["a", "files"]
    assert (tmp_path / "out/files/a").stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_what_is_written_out(tmp_path: Path) -> None:
    words = ["-t", "x:1", "--iidfile", f"{tmp_path}/id", "--metadata-file", f"{tmp_path}/meta", "-o", "-"]
    done = real(tmp_path, *words, "-", data=archive())
    assert done.returncode == 0, done.stderr
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        assert tar.getnames() == ["files", "files/a"]
    metadata = json.loads((tmp_path / "meta").read_text())
    with Engine(tmp_path / "home", tmp_path / "run") as engine:
        image = engine.image("x:1")
        assert (tmp_path / "id").read_text() == image.digest == metadata["containerimage.digest"]
        assert metadata["image.name"] == "x:1"
        words = [
            "build",
            "-q",
            "-o",
            f"type=oci,dest={tmp_path}/oci.tar",
            "-o",
            f"type=tar,dest={tmp_path}/t.tar",
        ]
        (tmp_path / "Dockerfile").write_text("FROM x:1\n")
        assert main([*words, str(tmp_path)], engine=engine) == 0
        (loaded,) = engine.load(f"{tmp_path}/oci.tar", name="y:1")
        assert loaded.image.layers == image.layers
    with tarfile.open(tmp_path / "t.tar") as tar:
        assert tar.getnames() == ["files", "files/a"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "data", "message"),
    [
        (["-f", "none", "-"], archive(), b"build none: no such file"),
        (["-f", "../../../etc/passwd", "-"], archive(), b"it leads out of standard input"),
        (["-"], archive()[:80], b"read build context"),
        (["http://127.0.0.1:1/x.tar"], b"", b"could not be fetched: Connection refused"),
        (["/none"], b"", b"no such directory"),
        (["--build-context", "a=/none", "-"], b"FROM a\n", b"/none: it cannot be opened"),
        (["--build-context", "a=oci-layout:///none", "-"], b"FROM a\n", b"it is no OCI image layout"),
        (["--platform", "x/y/z/w", "-"], b"FROM scratch\n", b"it is no platform"),
    ],
    ids=["no-file", "outside", "cut", "nobody", "no-folder", "no-context", "no-layout", "no-platform"],
)
def test_what_cannot_be_a_context(words: list[str], data: bytes, message: bytes, tmp_path: Path) -> None:
    done = real(tmp_path, *words, data=data)
    assert done.returncode == 1
    assert message in done.stderr, done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.slow
def test_checks_are_printed(tmp_path: Path) -> None:
    done = real(tmp_path, "--check", "-", data=b"FROM scratch\nCMD one\n")
    assert done.returncode == 1
    assert b"line 2: " in done.stdout and b"(JSONArgsRecommended)\n1 warning\n" in done.stdout
    done = real(tmp_path, "--check", "-", data=b"FROM scratch\n")
    assert (done.returncode, done.stdout) == (0, b"no warnings\n")
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\nCOPY notes/a /\n")
    (context / ".dockerignore").write_text("notes\n")
    done = real(tmp_path, "--check", str(context))
    assert done.returncode == 1
    assert b"line 2: notes/a " in done.stdout and b"(CopyIgnoredFile)\n1 warning\n" in done.stdout


@pytest.mark.slow
def test_an_image_for_another_machine(tmp_path: Path) -> None:
    text = (
        b"FROM --platform=$BUILDPLATFORM scratch AS b\nCOPY <<E /a\n1\nE\nFROM scratch\nCOPY --from=b /a /a\n"
    )
    done = real(tmp_path, "-t", "arm", "--platform", "linux/arm64/v8", "-", data=text)
    assert done.returncode == 0, done.stderr
    with Engine(tmp_path / "home", tmp_path / "run") as engine:
        assert str(engine.image("arm").platform) == "linux/arm64"
