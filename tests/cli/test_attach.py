"""Output as it comes, signals both ways, and the exit status."""

import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, cast

import pytest

from sandcell.runtime.cli.attach import attach
from sandcell.runtime.container.output import Output

from .fake_engine import CHILD, FakeEngine, command


def test_streams_stay_apart_and_bytes_stay_bytes(capfdbinary: Any) -> None:
    engine = FakeEngine()
    script = r"printf 'out\377'; printf 'err\n' >&2; exit 3"
    assert command(engine, "run", "-e", "A=1", "tiny", "sh", "-c", script) == 3
    out, err = capfdbinary.readouterr()
    assert out == b"out\xff"
    assert err == b"err\n"
    assert engine.running is not None
    assert engine.running.closed


def test_detached_prints_the_id(capfd: Any) -> None:
    engine = FakeEngine()
    assert command(engine, "run", "-d", "--name", "n", "tiny", "sleep", "9") == 0
    assert capfd.readouterr().out == engine.records["n"].id + "\n"
    assert engine.records["n"].state == "running"


def test_exec_in_a_running_container(capfd: Any) -> None:
    engine = FakeEngine()
    command(engine, "run", "-d", "--name", "n", "tiny")
    capfd.readouterr()
    words = ["exec", "-e", "A=1", "n", "sh", "-c", "echo $A; exit 4"]
    assert command(engine, *words) == 4
    assert capfd.readouterr().out == "1\n"


class Scripted:
    """Yields what it is given; a number in place of bytes is a signal to ourselves."""

    def __init__(self, *script: bytes | int) -> None:
        self._script = list(script)
        self.signals: list[int] = []
        self.closed = False

    def output(self, timeout: float | None = None) -> Iterator[Output]:
        while self._script:
            item = self._script.pop(0)
            if isinstance(item, int):
                os.kill(os.getpid(), item)
            else:
                yield Output("stdout", item)

    def wait(self, timeout: float | None = None) -> int:
        return 7

    def signal(self, number: int) -> None:
        self.signals.append(number)

    def close(self) -> None:
        self.closed = True


def test_signals_are_sent_on_and_no_output_is_lost(capfdbinary: Any) -> None:
    handler = signal.getsignal(signal.SIGINT)
    running = Scripted(b"a", signal.SIGINT, b"b", signal.SIGTERM, signal.SIGUSR1, b"c")
    assert attach(cast(Any, running)) == 7
    assert capfdbinary.readouterr().out == b"abc"
    assert running.signals == [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1]
    assert running.closed
    assert signal.getsignal(signal.SIGINT) is handler


def test_the_third_ctrl_c_kills(capfd: Any) -> None:
    running = Scripted(signal.SIGINT, signal.SIGINT, signal.SIGINT)
    attach(cast(Any, running))
    assert running.signals == [signal.SIGINT, signal.SIGINT, signal.SIGKILL]
    assert capfd.readouterr().err == "sandcell: it goes on; Ctrl-C once more kills it\n"


def _start(*words: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    )


class Writer(io.RawIOBase):
    """A standard output during whose every write a signal arrives."""

    def write(self, data: Any) -> int:
        os.kill(os.getpid(), signal.SIGINT)
        return len(data)

    def writable(self) -> bool:
        return True


def test_a_signal_that_comes_while_we_write_is_not_kept_until_there_is_more_output() -> None:
    waited: list[int] = []

    class Waiting(Scripted):
        def output(self, timeout: float | None = None) -> Iterator[Output]:
            waited.append(len(self.signals))
            yield from super().output(timeout)

    running = Waiting(b"a", b"b")
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BufferedWriter(Writer()))):
        assert attach(cast(Any, running)) == 7
    assert running.signals == [signal.SIGINT, signal.SIGINT]
    assert waited == [0, 1, 2]


@pytest.mark.slow
def test_ctrl_c_reaches_the_program_and_its_answer_reaches_us() -> None:
    script = "trap 'echo bye; exit 5' INT; echo ready; while :; do sleep 0.05; done"
    with _start("run", "tiny", "sh", "-c", script) as child:
        assert child.stdout is not None
        assert child.stdout.read(6) == b"ready\n"
        child.send_signal(signal.SIGINT)
        assert child.stdout.read() == b"bye\n"
        assert child.wait() == 5


@pytest.mark.slow
def test_a_reader_that_goes_away_ends_the_program() -> None:
    with _start("run", "tiny", "yes") as child:
        assert child.stdout is not None
        assert child.stdout.read(2) == b"y\n"
        child.stdout.close()
        assert child.stderr is not None
        assert child.stderr.read() == b""
        assert child.wait() == 141
