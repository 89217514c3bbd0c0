"""``sandcell build``: where the Dockerfile comes from, and how progress is shown."""

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sandcell.runtime.cli.progress import Progress
from sandcell.runtime.events import StepFinished, StepOutput, StepStarted

from .fake_engine import CHILD, FakeEngine, command


def call(engine: FakeEngine, *words: str) -> int:
    return command(engine, "build", *words)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Dockerfile").write_text("FROM tiny\nRUN make\n")
    (tmp_path / "other").write_text("FROM tiny\n")
    return tmp_path


def test_plain_progress_on_standard_error(folder: Path, capfd: Any) -> None:
    engine = FakeEngine()
    words = ["-t", "a:1", "-t", "b:2", "--build-arg", "V=1=2", "--target", "last", "--no-cache", str(folder)]
    assert call(engine, *words) == 0
    assert engine.asked == {
        "text": "FROM tiny\nRUN make\n",
        "name": "a:1",
        "context": str(folder),
        "build_args": {"V": "1=2"},
        "target": "last",
        "no_cache": True,
        "pull": False,
    }
    out, err = capfd.readouterr()
    assert out == ""
    assert err == (
        "[1/2] FROM tiny\n  cached, 1.5kB\n"
        "[2/2] RUN make\n  | two\n  | three\n  0.2 s, 1.5kB\n"
        "built a:1 bbbbbbbbbbbb in 0.5 s\n"
    )
    assert "b:2" in engine.image_records


def test_quiet_prints_the_digest_only(folder: Path, capfd: Any) -> None:
    assert call(FakeEngine(), "-q", "-f", str(folder / "other"), str(folder)) == 0
    assert capfd.readouterr() == ("sha256:" + "b" * 64 + "\n", "")


def test_explain_executes_nothing(folder: Path, capfd: Any) -> None:
    engine = FakeEngine()
    assert call(engine, "--explain", "-t", "x:1", str(folder)) == 0
    assert capfd.readouterr() == (f"plan of 'FROM tiny\\nRUN make\\n' in {folder}\n", "")
    assert "x:1" not in engine.image_records


@pytest.mark.slow
@pytest.mark.parametrize(("words", "context"), [(["-"], "None"), (["-f", "-", "/tmp"], "/tmp")])
def test_from_standard_input(words: list[str], context: str) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", CHILD, "build", "--explain", *words], input=b"FROM tiny\n", capture_output=True
    )
    assert answer.stdout.decode() == f"plan of 'FROM tiny\\n' in {context}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["/no/such"], "sandcell: build /no/such: no such directory"),
        (["-f", "/no/such", "{}"], "sandcell: build /no/such: no such file"),
        (["-f", "x", "-"], "sandcell: build -: both the directory and -f were given"),
        (["-f", "{}/bytes", "{}"], "not UTF-8 text"),
        (["--build-arg", "=x", "{}"], "a variable needs a name"),
    ],
)
def test_bad_input(words: list[str], message: str, folder: Path, capfd: Any) -> None:
    (folder / "bytes").write_bytes(b"FROM \xff")
    assert call(FakeEngine(), *(word.format(folder) for word in words)) == 1
    assert message in capfd.readouterr().err


def test_a_moving_picture_leaves_plain_lines() -> None:
    screen = io.StringIO()
    progress = Progress(screen, moving=True)
    progress(StepStarted(number=1, total=2, text="FROM tiny"))
    progress(StepFinished(number=1, cached=True))
    assert screen.getvalue() == "[1/2] FROM tiny  cached\n"
    progress(StepStarted(number=2, total=2, text="RUN make"))
    progress(StepOutput(number=2, stream="stdout", data="über\n".encode()[:1]))
    progress(StepOutput(number=2, stream="stdout", data="über\n".encode()[1:]))
    progress.close()
    assert "1 of 2 steps, 1 cached" in screen.getvalue()
    assert screen.getvalue().endswith("[2/2] RUN make\n  | über\n")


def test_a_silent_step_has_a_bar_after_one_that_took_its_time() -> None:
    screen = io.StringIO()
    progress = Progress(screen, moving=True)
    progress(StepStarted(number=1, total=3, text="RUN make"))
    progress(StepFinished(number=1, cached=False, duration=4.0))
    assert "steps" not in screen.getvalue()
    progress(StepStarted(number=2, total=3, text="RUN sleep 9"))
    assert "[2/3] RUN sleep 9" in screen.getvalue()
    assert "━━━━━━━━━━" in screen.getvalue()
    assert "1 of 3 steps" in screen.getvalue()
    progress(StepFinished(number=2, cached=False, duration=9.0))
    progress.close()
    assert screen.getvalue().endswith("[2/3] RUN sleep 9  9.0 s\n")
