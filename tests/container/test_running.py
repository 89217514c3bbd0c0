"""What a client hears of a process may be left at any moment, and nothing is lost."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import cast

import pytest

from sandcell.runtime.container import running as running_module
from sandcell.runtime.container.launcher import Control
from sandcell.runtime.container.output import Output
from sandcell.runtime.container.running import Running


class Interrupted(Exception):
    """Stands in for KeyboardInterrupt."""


@contextmanager
def interruptions(seconds: float) -> Iterator[None]:
    """Raise ``Interrupted`` every so many seconds, wherever ``Running`` is just then in this thread, and
    nowhere else: not in the lines of a test that catch it."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        if frame is not None and frame.f_code.co_filename == running_module.__file__:
            raise Interrupted

    old = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


class Nobody:
    """A control socket that is never asked."""

    def close(self) -> None:
        """Nothing to hang up."""


@pytest.fixture
def streams() -> Iterator[tuple[Running, int, int]]:
    """A process and the write ends of what it says."""
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    running = Running(cast(Control, Nobody()), 1, {out_read: "stdout", err_read: "stderr"}, list, "it")
    yield running, out_write, err_write
    running.close()


def test_pieces_come_until_both_streams_end(streams: tuple[Running, int, int]) -> None:
    running, out, err = streams
    os.write(out, b"one")
    os.write(err, b"two")
    os.close(out)
    os.close(err)
    assert {(piece.stream, piece.data) for piece in running.output()} == {
        ("stdout", b"one"),
        ("stderr", b"two"),
    }
    assert list(running.output()) == []


def test_a_timeout_ends_the_asking_and_not_the_stream(streams: tuple[Running, int, int]) -> None:
    running, out, err = streams
    assert list(running.output(0)) == []
    os.write(out, b"later")
    assert [piece.data for piece in running.output(0.01)] == [b"later"]
    os.close(out)
    os.close(err)
    assert list(running.output()) == []


def test_leaving_after_a_piece_keeps_the_others(streams: tuple[Running, int, int]) -> None:
    running, out, err = streams
    os.write(out, b"a")
    os.write(err, b"b")
    seen = []
    for piece in running.output():
        seen.append(piece.data)
        break
    os.close(out)
    os.close(err)
    seen += [piece.data for piece in running.output()]
    assert sorted(seen) == [b"a", b"b"]


def test_interruptions_at_any_moment_lose_and_repeat_nothing(streams: tuple[Running, int, int]) -> None:
    running, out, err = streams
    written: dict[int, bytes] = {}
    enough = threading.Event()

    def write(fd: int) -> None:
        text = bytearray()
        with open(fd, "wb") as file:
            while not enough.is_set():
                lines = b"".join(b"%07d\n" % number for number in range(len(text), len(text) + 1000))
                text += lines
                file.write(lines)
        written[fd] = bytes(text)

    threads = [threading.Thread(target=write, args=(fd,)) for fd in (out, err)]
    pieces: list[Output] = []
    interrupted = 0
    for thread in threads:
        thread.start()
    with interruptions(0.0005):
        ended = False
        while not ended:
            try:
                # Extending a list by a generator is one step for the interpreter, but for the
                # generator's own: so it is only there that we are interrupted.
                pieces.extend(running.output())
                ended = True
            except Interrupted:
                interrupted += 1
                if interrupted == 20:
                    enough.set()
    for thread in threads:
        thread.join(10)
    for stream, fd in (("stdout", out), ("stderr", err)):
        assert b"".join(piece.data for piece in pieces if piece.stream == stream) == written[fd]
