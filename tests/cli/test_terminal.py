"""A real terminal in place of a person's: keys, size, leaving, and what stays of it."""

import os
import pty
import subprocess
import sys
import termios
from collections.abc import Iterator
from typing import Any

import pytest

from sandcell import Engine
from sandcell.runtime.cli.terminal import DetachKeys, parse_keys
from sandcell.runtime.container.options import Options
from sandcell.runtime.errors import InvalidOption
from tests.engine.claims import until

_OURS = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from sandcell.runtime.cli import main
sys.exit(main())
"""


@pytest.mark.parametrize(
    ("text", "keys"), [("ctrl-p,ctrl-q", b"\x10\x11"), ("a", b"a"), ("ctrl-@,x", b"\0x"), ("", b"")]
)
def test_keys_are_read(text: str, keys: bytes) -> None:
    assert parse_keys(text) == keys


@pytest.mark.parametrize("text", ["ctrl-", "ab", "ctrl-pq", "ctrl-1", "ä"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidOption, match="is no key"):
        parse_keys(text)


@pytest.mark.parametrize(
    ("pieces", "passed", "left"),
    [
        ([b"a\x10\x11b"], b"a", True),
        ([b"a\x10", b"\x11"], b"a", True),
        ([b"\x10", b"b"], b"\x10b", False),
        ([b"\x10", b"\x10\x11"], b"\x10", True),
        ([b"\x10x\x11"], b"\x10x\x11", False),
    ],
)
def test_the_keys_that_leave_are_found_in_any_pieces(pieces: list[bytes], passed: bytes, left: bool) -> None:
    keys, out, done = DetachKeys(b"\x10\x11"), b"", False
    for piece in pieces:
        more, done = keys.feed(piece)
        out += more
    assert (out, done) == (passed, left)


class Person:
    """Sits at a terminal of 30 × 100 in which a ``sandcell`` command runs."""

    def __init__(self, *words: str) -> None:
        self.screen, inner = pty.openpty()
        termios.tcsetwinsize(self.screen, (30, 100))
        self.inner = inner
        self.before = termios.tcgetattr(inner)
        argv = [sys.executable, "-c", _OURS, *words]
        self.process = subprocess.Popen(argv, stdin=inner, stdout=inner, stderr=inner, start_new_session=True)
        self.seen = b""

    def see(self, wanted: bytes) -> bytes:
        """What is on the screen since the last time, as soon as ``wanted`` is."""
        while wanted not in self.seen:
            self.seen += os.read(self.screen, 4096)
        before, _, self.seen = self.seen.partition(wanted)
        return before + wanted

    def type(self, keys: bytes) -> None:
        os.write(self.screen, keys)

    def leave(self) -> int:
        """The exit status; the terminal is what it was."""
        status = self.process.wait(30)
        assert termios.tcgetattr(self.inner) == self.before
        os.close(self.inner)
        os.close(self.screen)
        return status


def real(function: Any) -> Any:
    """Marks a test that runs containers."""
    return pytest.mark.slow(pytest.mark.kernel(function))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with Engine() as engine:
        engine.build("FROM host:tiny\n", name="cli-terminal")
        yield engine


@real
def test_a_terminal_with_its_size_and_its_status(engine: Engine) -> None:
    script = "trap 'stty size; exit 3' WINCH; stty size; while :; do read x; echo got:$x; done"
    person = Person("run", "--rm", "-it", "cli-terminal", "sh", "-c", script)
    assert person.see(b"30 100")
    person.type(b"word\r")
    person.see(b"got:word")
    termios.tcsetwinsize(person.screen, (20, 80))
    person.see(b"20 80")
    assert person.leave() == 3


@real
def test_ctrl_c_is_a_key_for_the_program(engine: Engine) -> None:
    person = Person(
        "run",
        "--rm",
        "-it",
        "cli-terminal",
        "sh",
        "-c",
        "trap 'exit 9' INT; echo ready; while :; do read x; done",
    )
    person.see(b"ready")
    person.type(b"\x03")
    assert person.leave() == 9


@real
def test_leaving_lets_it_run_on(engine: Engine) -> None:
    person = Person("run", "-it", "--name", "cli-left", "cli-terminal", "sh")
    person.type(b"echo re''ady\r")
    person.see(b"ready")
    inside = Person("exec", "-it", "--detach-keys", "ctrl-x", "cli-left", "sh")
    inside.type(b"echo $$ > /pid; echo re''ady\r")
    inside.see(b"ready")
    inside.type(b"\x18")
    assert inside.leave() == 0
    assert engine.exec("cli-left", ("sh", "-c", "kill -0 $(cat /pid)")).status == 0
    person.type(b"\x10\x11")
    assert person.leave() == 0
    assert engine.container("cli-left").state == "running"
    engine.remove("cli-left", force=True)


@real
def test_the_terminal_is_restored_when_the_container_is_killed(engine: Engine) -> None:
    person = Person("run", "-it", "--name", "cli-killed", "cli-terminal", "sh")
    person.type(b"echo re''ady\r")
    person.see(b"ready")
    engine.kill("cli-killed")
    assert person.leave() == 137
    engine.remove("cli-killed")


def _piped(typed: bytes, *words: str) -> bytes:
    argv = [sys.executable, "-m", "sandcell.runtime.cli", *words]
    return subprocess.run(argv, input=typed, capture_output=True, check=True, timeout=60).stdout


@real
def test_the_end_of_the_input_is_passed_on(engine: Engine) -> None:
    assert _piped(b"x\n", "run", "--rm", "-i", "cli-terminal", "cat") == b"x\n"
    assert _piped(bytes(5_000_000), "run", "--rm", "-i", "cli-terminal", "sh", "-c", "wc -c") == b"5000000\n"
    # Who does not read is no reason to wait.
    assert _piped(bytes(5_000_000), "run", "--rm", "-i", "cli-terminal", "true") == b""
    assert _piped(b"x\n", "run", "--rm", "cli-terminal", "cat") == b""


@real
def test_input_waits_for_somebody_in_the_background(engine: Engine) -> None:
    assert _piped(b"", "run", "-di", "--name", "cli-waits", "cli-terminal", "cat")
    assert _piped(b"y\n", "exec", "-i", "cli-waits", "cat") == b"y\n"
    assert engine.container("cli-waits").state == "running"
    engine.remove("cli-waits", force=True)


@real
def test_a_command_can_be_left_alone(engine: Engine) -> None:
    made = engine.start(engine.create("cli-terminal", ("sleep", "1000"), Options(name="cli-alone")))
    assert _piped(b"", "exec", "-d", "cli-alone", "sh", "-c", "echo $$ > /pid; exec sleep 1000") == b""
    until(lambda: any(one.command == "sleep 1000" for one in engine.top(made)[1:]), "it runs on")
    engine.remove(made, force=True)


@real
def test_starting_again_in_a_terminal(engine: Engine) -> None:
    engine.create("cli-terminal", ("sh",), Options(name="cli-again", interactive=True, tty=True))
    person = Person("start", "-ai", "cli-again")
    person.type(b"echo re''ady; stty size; exit 4\r")
    person.see(b"ready")
    person.see(b"30 100")
    assert person.leave() == 4
    engine.remove("cli-again")


@real
def test_attaching_in_a_terminal_and_leaving_it_again(engine: Engine) -> None:
    script = "trap 'stty size' WINCH; while :; do read x && echo got:$x; done"
    options = Options(name="cli-attach", interactive=True, tty=True)
    engine.start(engine.create("cli-terminal", ("sh", "-c", script), options))
    person, other = Person("attach", "cli-attach"), Person("attach", "--no-stdin", "cli-attach")
    person.see(b"30 100")
    other.see(b"30 100")
    person.type(b"word\r")
    person.see(b"got:word")
    other.type(b"nothing\r")
    termios.tcsetwinsize(person.screen, (20, 80))
    assert b"nothing" not in person.see(b"20 80")
    person.type(b"\x10\x11")
    assert person.leave() == 0
    engine.kill("cli-attach")
    assert other.leave() == 137
    engine.remove("cli-attach")


@real
def test_attaching_without_a_terminal_passes_signals_on_or_not(engine: Engine) -> None:
    script = "trap 'exit 7' INT; while :; do echo x; sleep 0.05; done"
    engine.start(engine.create("cli-terminal", ("sh", "-c", script), Options(name="cli-pipe")))
    argv = [sys.executable, "-m", "sandcell.runtime.cli", "attach"]
    quiet = subprocess.Popen([*argv, "--no-sig-proxy", "cli-pipe"], stdout=-1)
    loud = subprocess.Popen([*argv, "cli-pipe"], stdout=-1)
    with quiet, loud:
        for one in (quiet, loud):
            assert one.stdout is not None
            assert one.stdout.readline() == b"x\n"
        quiet.terminate()
        assert quiet.wait(20) == -15
        assert engine.container("cli-pipe").state == "running"
        loud.send_signal(2)
        assert loud.wait(20) == 7
    assert engine.wait("cli-pipe", 20) == 7
    engine.remove("cli-pipe")
