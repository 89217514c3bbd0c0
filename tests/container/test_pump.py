"""The pump with pipes in place of a container: who ends first, who reads slowly, who never stops."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandcell.runtime.container.output import Log, read_log
from sandcell.runtime.container.pump import Pump


class Pipes:
    """A source to write to, a client to read from, and an end to declare."""

    def __init__(self) -> None:
        self.source, self.writer = os.pipe()
        self.client, self.sink = os.pipe()
        self.ended, self.end = os.pipe()
        self.control, self.hung_up = os.pipe()
        self.open = {self.writer, self.client, self.ended, self.end, self.control, self.hung_up}

    def close(self, *fds: int) -> None:
        for fd in fds:
            os.close(fd)
            self.open.discard(fd)


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    made = Pipes()
    yield made
    made.close(*list(made.open))


def test_who_writes_on_after_the_end_does_not_keep_the_pump(pipes: Pipes) -> None:
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            try:
                os.write(pipes.writer, b"y\n" * 4096)
            except BrokenPipeError:
                return

    def read() -> None:
        while os.read(pipes.client, 1 << 20):
            pass

    threads = [threading.Thread(target=write), threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    pipes.close(pipes.end)
    pump = Pump([("stdout", pipes.source, pipes.sink)], None)
    pump.run(pipes.ended, -1, lambda: False)
    pump.finish()
    pump.hand_over()
    stop.set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def test_a_client_that_does_not_read_gets_all_of_it_later(pipes: Pipes) -> None:
    pump = Pump([("stdout", pipes.source, pipes.sink)], None)
    feed = os.urandom(1_500_000)

    def write() -> None:
        with open(pipes.writer, "wb", closefd=False) as file:
            file.write(feed)
        pipes.close(pipes.writer, pipes.end)

    writing = threading.Thread(target=write)
    writing.start()
    pump.run(pipes.ended, -1, lambda: False)
    pump.finish()
    writing.join(30)
    handing = threading.Thread(target=pump.hand_over)
    handing.start()
    received = b""
    while piece := os.read(pipes.client, 1 << 16):
        received += piece
    handing.join(30)
    assert not handing.is_alive()
    assert received == feed


def test_a_client_that_goes_away_while_it_is_waited_for_is_forgotten(pipes: Pipes) -> None:
    pump = Pump([("stdout", pipes.source, pipes.sink)], None)
    os.set_blocking(pipes.writer, False)
    written = 0
    try:
        while True:
            written += os.write(pipes.writer, b"x" * 4096)
    except BlockingIOError:
        pipes.close(pipes.end)
    pump.run(pipes.ended, -1, lambda: False)
    pump.finish()
    os.set_blocking(pipes.writer, True)
    pipes.close(pipes.client)
    pump.hand_over()
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(pipes.sink)


def test_a_slow_client_slows_the_source_down_and_loses_nothing(pipes: Pipes, tmp_path: Path) -> None:
    log = Log(str(tmp_path))
    pump = Pump([("stdout", pipes.source, pipes.sink)], log)
    total = 12 << 20
    blocked_at = [0]

    def write() -> None:
        written = 0
        while written < total:
            written += os.write(pipes.writer, b"z" * 65536)
            blocked_at[:] = [written]
        pipes.close(pipes.writer)

    writing = threading.Thread(target=write)
    writing.start()
    pumping = threading.Thread(target=pump.run, args=(pipes.ended, -1, lambda: False))
    pumping.start()
    writing.join(0.2)
    # The backlog and what two pipes hold: the writer waits, nothing piles up without end.
    assert writing.is_alive()
    assert blocked_at[0] < 6 << 20
    received = 0
    while received < total:
        received += len(os.read(pipes.client, 1 << 20))
    writing.join(30)
    pipes.close(pipes.end)
    pumping.join(30)
    pump.finish()
    pump.hand_over()
    log.close()
    assert received == total
    assert sum(len(piece.data) for piece in read_log(str(tmp_path))) == total


def test_both_streams_end_apart(pipes: Pipes) -> None:
    other, other_writer = os.pipe()
    client, sink = os.pipe()
    pump = Pump([("stdout", pipes.source, pipes.sink), ("stderr", other, sink)], None)
    pumping = threading.Thread(target=pump.run, args=(pipes.ended, -1, lambda: False))
    pumping.start()
    pipes.close(pipes.writer)
    assert os.read(pipes.client, 1) == b""  # stdout is at its end
    os.write(other_writer, b"still here")
    assert os.read(client, 100) == b"still here"
    os.close(other_writer)
    assert os.read(client, 1) == b""
    pipes.close(pipes.end)
    pumping.join(30)
    assert not pumping.is_alive()
    os.close(client)


def test_hanging_up_is_told_once_and_the_pump_goes_on(pipes: Pipes) -> None:
    told: list[bool] = []
    pump = Pump([("stdout", pipes.source, pipes.sink)], None)
    pipes.close(pipes.hung_up)
    pumping = threading.Thread(target=pump.run, args=(pipes.ended, pipes.control, lambda: told.append(True)))
    pumping.start()
    os.write(pipes.writer, b"on")
    assert os.read(pipes.client, 10) == b"on"
    pipes.close(pipes.end)
    pumping.join(30)
    assert told == [True]
