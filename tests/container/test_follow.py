"""Following a log: what is there, what comes, over its turns, to the end."""

import threading
from pathlib import Path

from sandcell.runtime.container.follow import Reader, follow
from sandcell.runtime.container.output import NAME, Log


def _read(reader: Reader) -> list[bytes]:
    return [piece.data for piece in reader.read()]


def test_each_record_is_read_once(tmp_path: Path) -> None:
    reader = Reader(str(tmp_path))
    assert _read(reader) == []
    log = Log(str(tmp_path))
    log.write("stdout", b"one")
    log.write("stderr", b"two\n")
    assert _read(reader) == [b"one", b"two\n"]
    assert _read(reader) == []
    with open(tmp_path / NAME, "ab") as file:
        file.write(b"1.5 stdout 5\nhal")
    assert _read(reader) == []
    with open(tmp_path / NAME, "ab") as file:
        file.write(b"f!\n")
    assert _read(reader) == [b"half!"]
    log.close()
    reader.close()


def test_a_turn_between_two_reads_loses_nothing(tmp_path: Path) -> None:
    log = Log(str(tmp_path), limit=120)
    reader = Reader(str(tmp_path))
    seen: list[bytes] = []
    for number in range(40):
        log.write("stdout", b"%d" % number)
        if number % 3 == 0:
            seen += _read(reader)
    seen += _read(reader)
    assert seen == [b"%d" % number for number in range(40)]
    log.close()
    reader.close()


def test_two_turns_lose_the_middle_only(tmp_path: Path) -> None:
    log = Log(str(tmp_path), limit=60)
    reader = Reader(str(tmp_path))
    log.write("stdout", b"0")
    assert _read(reader) == [b"0"]
    for number in range(1, 12):
        log.write("stdout", b"%d" % number)
    numbers = [int(data) for data in _read(reader)]
    assert numbers == sorted(numbers)
    assert numbers[-1] == 11
    log.close()
    reader.close()


def test_it_ends_with_the_container_and_has_everything(tmp_path: Path) -> None:
    home, run = tmp_path / "home", tmp_path / "run"
    home.mkdir()
    run.mkdir()
    log = Log(str(home), limit=1000)
    log.write("stdout", b"before")
    reading = threading.Event()
    # Two turns while nobody reads would lose something: the writer is never that far ahead.
    ahead = threading.Semaphore(20)

    def write() -> None:
        reading.wait()
        for number in range(2000):
            ahead.acquire()
            log.write("stdout", b"%d" % number)
        (run / "ended").touch()

    writer = threading.Thread(target=write)
    writer.start()
    seen = []
    for piece in follow(str(home), str(run), lambda: (run / "ended").exists()):
        if piece is None:
            assert seen == [b"before"]
            reading.set()
        else:
            seen.append(piece.data)
            ahead.release()
    writer.join()
    log.close()
    assert seen == [b"before", *(b"%d" % number for number in range(2000))]
