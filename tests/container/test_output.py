"""The log keeps every byte, its stream and its time; the pump moves them without losing one."""

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandcell.runtime.container.output import Log, Output, read_log, tail
from sandcell.runtime.container.pump import Pump
from tests import full_disk
from tests.linux.child import in_child

PIECES = st.lists(
    st.tuples(st.sampled_from(["stdout", "stderr"]), st.text("a\n\r", min_size=1).map(str.encode))
)


@given(PIECES)
def test_what_is_written_is_read_again(tmp_path_factory, pieces) -> None:
    directory = str(tmp_path_factory.mktemp("log"))
    log = Log(directory)
    for stream, data in pieces:
        log.write(stream, data)
    log.close()
    assert [(piece.stream, piece.data) for piece in read_log(directory)] == pieces


def test_a_record_that_is_still_being_written_ends_the_reading(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"1.0 stdout 2\nhi\n2.0 stdout 100\nhal")
    assert list(read_log(str(tmp_path))) == [Output("stdout", b"hi", 1.0)]


def test_a_log_that_grows_too_long_keeps_the_newest(tmp_path: Path) -> None:
    log = Log(str(tmp_path), limit=200)
    for number in range(40):
        log.write("stdout", b"%03d\n" % number)
    log.close()
    kept = b"".join(piece.data for piece in read_log(str(tmp_path)))
    assert kept.endswith(b"039\n")
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 400


@given(PIECES, st.integers(0, 10))
def test_tail_gives_the_last_lines_of_everything(pieces, lines: int) -> None:
    records = [Output(stream, data) for stream, data in pieces]
    whole = b"".join(data for _, data in pieces)
    expected = whole.split(b"\n")
    expected = [line + b"\n" for line in expected[:-1]] + ([expected[-1]] if expected[-1] else [])
    got = b"".join(piece.data for piece in tail(iter(records), lines))
    assert got == b"".join(expected[-lines:] if lines else [])


def _pump(tmp_path: Path, feed: bytes, read_from_client: bool) -> tuple[bytes, bytes]:
    source, writer = os.pipe()
    client, sink = os.pipe()
    ended, end = os.pipe()
    log = Log(str(tmp_path))
    received = bytearray()

    def write() -> None:
        with open(writer, "wb") as file:
            file.write(feed)
        os.close(end)

    def read() -> None:
        with open(client, "rb") as file:
            received.extend(file.read())

    threads = [threading.Thread(target=write)]
    if read_from_client:
        threads.append(threading.Thread(target=read))
    else:
        os.close(client)
    for thread in threads:
        thread.start()
    pump = Pump([("stdout", source, sink)], log)
    pump.run(ended, -1, lambda: None)
    pump.finish()
    pump.hand_over()
    for thread in threads:
        thread.join(10)
    log.close()
    os.close(ended)
    return b"".join(piece.data for piece in read_log(str(tmp_path))), bytes(received)


def test_the_pump_gives_every_byte_to_the_log_and_to_the_client(tmp_path: Path) -> None:
    feed = os.urandom(3_000_000)
    logged, received = _pump(tmp_path, feed, read_from_client=True)
    assert logged == feed
    assert received == feed


def test_a_client_that_went_away_does_not_stop_the_log(tmp_path: Path) -> None:
    feed = os.urandom(3_000_000)
    logged, _ = _pump(tmp_path, feed, read_from_client=False)
    assert logged == feed


def test_the_pump_tells_once_when_the_client_hangs_up() -> None:
    source, writer = os.pipe()
    ended, end = os.pipe()
    listening, client = os.pipe()
    told: list[bool] = []

    def hang_up() -> None:
        told.append(True)
        os.close(end)

    os.close(client)
    Pump([("stdout", source, -1)], None).run(ended, listening, hang_up)
    assert told == [True]
    for fd in (source, writer, ended, listening):
        os.close(fd)


@pytest.mark.kernel
def test_a_full_disk_loses_pieces_but_what_follows_is_readable(tmp_path: Path) -> None:
    in_child(_log_on_a_full_disk, str(tmp_path), 1 << 20)


@pytest.mark.kernel
def test_a_log_that_cannot_be_turned_over_goes_on_when_there_is_room(tmp_path: Path) -> None:
    in_child(_log_on_a_full_disk, str(tmp_path), 5000)


def _log_on_a_full_disk(place: str, limit: int) -> None:
    full_disk.mount(place, "64k,nr_inodes=4")
    log = Log(place, limit)
    log.write("stdout", b"before\n")
    full_disk.fill(place, 8192)
    for _ in range(20):
        log.write("stdout", b"lost\n" * 400)  # somewhere in it the disk is full
    full_disk.free(place)
    log.write("stdout", b"after\n")
    log.close()
    text = b"".join(piece.data for piece in read_log(place))
    assert text.replace(b"lost\n", b"").endswith(b"after\n")
    assert set(text.replace(b"\n", b" ").split()) <= {b"before", b"lost", b"after"}
