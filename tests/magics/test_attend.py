"""Interrupts climb a ladder of signals; output is never lost."""

import signal
from collections.abc import Callable, Iterator

import pytest

from sandcell.magics.attend import Ending, attend
from sandcell.runtime.container.output import Output
from sandcell.runtime.errors import HostRefused


class Script:
    """A run that follows a script. Each step is what the next look at the output does: bytes to give,
    `KeyboardInterrupt` to raise, a number of seconds that pass in silence, or ``end``. ``deaf``: the
    signals that do not end it."""

    def __init__(self, *steps: object, deaf: tuple[int, ...] = ()) -> None:
        self.steps = list(steps)
        self.deaf = deaf
        self.sent: list[int] = []
        self.now = 0.0
        self.status: int | None = None

    def clock(self) -> float:
        return self.now

    def output(self, timeout: float | None = None) -> Iterator[Output]:
        while self.steps and self.status is None:
            step = self.steps.pop(0)
            match step:
                case bytes():
                    yield Output("stdout", step)
                case float():
                    if timeout is not None and step >= timeout:
                        self.now += timeout
                        return
                    self.now += step
                case "end":
                    self.status = 0
                case _:
                    raise KeyboardInterrupt

    def wait(self, timeout: float | None = None) -> int | None:
        if self.status is None and timeout is not None:
            self.now += timeout
        return self.status

    def signal(self, signum: int) -> None:
        self.sent.append(signum)
        if signum not in self.deaf:
            self.status = 128 + signum


def run(script: Script) -> tuple[Ending, bytes]:
    out = b""

    def write(_: str, data: bytes) -> None:
        nonlocal out
        out += data

    return attend(script, write, clock=script.clock), out


def test_a_run_that_ends() -> None:
    assert run(Script(b"a", b"b", "end")) == (Ending(0), b"ab")


def test_an_interrupt_is_sigint() -> None:
    script = Script(b"a", KeyboardInterrupt, b"never")
    assert run(script) == (Ending(130, signal.SIGINT), b"a")
    assert script.sent == [signal.SIGINT]


def test_after_two_seconds_sigterm_then_sigkill(capsys: pytest.CaptureFixture[str]) -> None:
    script = Script(KeyboardInterrupt, b"x", 9.0, b"y", 9.0, deaf=(signal.SIGINT, signal.SIGTERM))
    ending, out = run(script)
    assert ending == Ending(137, signal.SIGKILL)
    assert script.sent == [signal.SIGINT, signal.SIGTERM, signal.SIGKILL]
    assert out == b"xy"
    assert script.now == pytest.approx(4.0)
    assert "still running after SIGINT: sending SIGTERM" in capsys.readouterr().err


def test_a_second_interrupt_hastens() -> None:
    script = Script(KeyboardInterrupt, 0.5, KeyboardInterrupt, deaf=(signal.SIGINT,))
    ending, _ = run(script)
    assert ending.sent == signal.SIGTERM
    assert script.now == pytest.approx(0.5)


def test_output_goes_on_between_the_signals() -> None:
    script = Script(KeyboardInterrupt, b"bye", 0.1, "end", deaf=(signal.SIGINT,))
    assert run(script) == (Ending(0, signal.SIGINT), b"bye")


def test_a_flood_does_not_put_off_the_next_signal() -> None:
    script = Script(KeyboardInterrupt, deaf=(signal.SIGINT,))
    tick: Callable[[str, bytes], None] = lambda stream, data: setattr(script, "now", script.now + 0.5)  # noqa: E731
    script.steps += [b"y"] * 100
    ending = attend(script, tick, clock=script.clock)
    assert ending.sent == signal.SIGTERM
    assert len(script.steps) == 96


def test_what_survives_sigkill_is_told() -> None:
    script = Script(KeyboardInterrupt, deaf=(signal.SIGINT, signal.SIGTERM, signal.SIGKILL))
    with pytest.raises(HostRefused, match="survived SIGKILL"):
        run(script)


def test_what_an_interrupted_exec_left_behind_is_ended_too() -> None:
    script = Script(KeyboardInterrupt)
    attend(script, lambda stream, data: None, shared=True, clock=script.clock)
    assert script.sent == [signal.SIGINT, signal.SIGTERM, signal.SIGKILL]
    script = Script("end")
    attend(script, lambda stream, data: None, shared=True, clock=script.clock)
    assert script.sent == []


def test_interrupts_after_sigkill_change_nothing() -> None:
    script = Script(*[KeyboardInterrupt] * 5, "end", deaf=(signal.SIGINT, signal.SIGTERM, signal.SIGKILL))
    ending, _ = run(script)
    assert ending == Ending(0, signal.SIGKILL)
    assert len(script.sent) == 3
