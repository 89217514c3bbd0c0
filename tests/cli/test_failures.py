"""Every failure is one message, one hint and docker's exit status; never a traceback."""

from typing import Any

import pytest

from sandcell.runtime.cli.failure import tell
from sandcell.runtime.errors import (
    BuildFailed,
    ContainerNotFound,
    HostRefused,
    StartFailed,
)

from .fake_engine import FakeEngine, command


def call(*words: str) -> int:
    return command(FakeEngine(), *words)


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["rum"], 125, "there is no verb 'rum', did you mean 'r"),
        (["--nothing"], 125, "no such option"),
        (["ps", "--format", "xml"], 1, "use --format 'xml'"),
        (["rm"], 125, "rm: missing argument"),
        (["run"], 125, "run: missing argument"),
        (["run", "tony"], 125, "find image tony: there is none here"),
        (["run", "-m", "lots", "tiny"], 125, "read memory size lots: not a size"),
        (["create", "-m", "lots", "tiny"], 1, "read memory size lots: not a size"),
        (["run", "--network", "a b", "tiny"], 125, "use --network a b"),
        (["run", "-p", "8080", "--network", "host", "tiny"], 125, "publish 8080 with --network host"),
        (["run", "-it", "tiny"], 125, "use -t: "),
        (["exec", "-it", "x", "sh"], 1, "use -t: "),
        (["exec", "x", "sh"], 1, "find container x"),
        (["run", "tiny", "/no/such"], 127, "run /no/such: no such command"),
        (["run", "tiny", "/etc/passwd"], 126, "run /etc/passwd: it is not executable"),
        (["run", "--env-file", "/no/such", "tiny"], 125, "use --env-file /no/such: No such file"),
    ],
)
def test_bad_input(words: list[str], status: int, message: str, capfd: Any) -> None:
    assert call(*words) == status
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("sandcell: ")
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("error", "verb", "status", "text"),
    [
        (KeyboardInterrupt(), "build", 130, "sandcell: build: interrupted\n"),
        (SystemExit(3), "ps", 3, ""),
        (
            HostRefused("start", "web", "AppArmor refuses user namespaces", "see sandcell doctor"),
            "start",
            1,
            "sandcell: start web: AppArmor refuses user namespaces\n  hint: see sandcell doctor\n",
        ),
        (StartFailed("run", "x", "gone", status=127), "start", 1, "sandcell: run x: gone\n"),
        (StartFailed("run", "x", "gone", status=127), "exec", 127, "sandcell: run x: gone\n"),
        (ContainerNotFound("find", "x", "none"), "exec", 1, "sandcell: find x: none\n"),
        (OSError(28, "No space left on device", "/x"), "save", 1, "sandcell: save /x: No space left"),
        (
            BuildFailed(
                "build", "x", "status 2", "look above", status=2, lines=(3, 4), source="RUN a \\\n  b"
            ),
            "build",
            1,
            "sandcell: build x: status 2\n  >   3 | RUN a \\\n  >   4 |   b\n  hint: look above\n",
        ),
        (
            ZeroDivisionError("by zero"),
            "ps",
            1,
            "sandcell: ps: something we did not expect: Zero",
        ),
    ],
)
def test_told_once(error: BaseException, verb: str, status: int, text: str, capfd: Any) -> None:
    assert tell(error, verb) == status
    assert capfd.readouterr().err.startswith(text)


def test_build_marks_the_line(capfd: Any, tmp_path: Any) -> None:
    (tmp_path / "Dockerfile").write_text("FROM tiny\nRUM make\n")
    assert call("build", str(tmp_path)) == 1
    assert capfd.readouterr().err == (
        "sandcell: build line 2: there is no instruction RUM\n  >   2 | RUM make\n  hint: did you mean RUN?\n"
    )
