import threading

import pytest

from sandcell.runtime.errors import StoreFull
from sandcell.runtime.layer.beside import Ahead, Behind
from sandcell.runtime.layer.pack import pack_entries
from sandcell.runtime.layer.tree import Entry


def test_pieces_are_worked_on_in_their_order_in_one_thread():
    seen, threads = [], set()

    def work(data: bytes) -> None:
        seen.append(data)
        threads.add(threading.get_ident())

    behind = Behind(work)
    pieces = [b"%d" % number for number in range(100)]
    for piece in pieces:
        behind.put(piece)
    behind.close()
    behind.close()
    assert seen == pieces
    assert len(threads - {threading.get_ident()}) == 1


def test_one_piece_starts_no_thread():
    threads = []
    behind = Behind(lambda _: threads.append(threading.get_ident()))
    behind.put(b"x")
    behind.close()
    assert threads == [threading.get_ident()]


def test_an_error_is_told_once_and_ends_the_work():
    seen = []

    def work(data: bytes) -> None:
        seen.append(data)
        if data == b"1":
            raise StoreFull("write", "blob", "the disk is full")

    behind = Behind(work)
    with pytest.raises(StoreFull):
        for number in range(100):
            behind.put(b"%d" % number)
    with pytest.raises(StoreFull):
        behind.close()
    assert seen == [b"0", b"1"]
    last = Behind(work)
    last.put(b"0")
    last.put(b"1")
    with pytest.raises(StoreFull):
        last.close()
    last.close()


def alone() -> bool:
    return not [thread for thread in threading.enumerate() if thread.name == "layer"]


def test_what_is_read_ahead_comes_in_its_order():
    waiting = [b"%d" % number for number in range(100)]
    threads = set()

    def read() -> bytes:
        threads.add(threading.get_ident())
        return waiting.pop(0) if waiting else b""

    ahead = Ahead(read)
    seen = [ahead.next() for _ in range(102)]
    ahead.close()
    assert seen == [b"%d" % number for number in range(100)] + [b"", b""]
    assert len(threads) == 2
    assert alone()


def test_an_error_comes_where_it_happened_and_again():
    waiting: list[bytes] = [b"0", b"1", b"2", b"3"]

    def read() -> bytes:
        if not waiting:
            raise StoreFull("read", "blob", "it is gone")
        return waiting.pop(0)

    ahead = Ahead(read)
    assert [ahead.next() for _ in range(4)] == [b"0", b"1", b"2", b"3"]
    for _ in range(2):
        with pytest.raises(StoreFull):
            ahead.next()
    ahead.close()
    assert alone()


@pytest.mark.parametrize("taken", [0, 1, 2, 3, 9])
def test_who_stops_early_leaves_nobody(taken):
    ahead = Ahead(lambda: b"x")
    for _ in range(taken):
        ahead.next()
    ahead.close()
    assert alone()


class Full:
    """A disk that takes so many writes."""

    def __init__(self, most: int) -> None:
        self.left = most

    def write(self, _: bytes) -> None:
        self.left -= 1
        if self.left < 0:
            raise StoreFull("write", "blob", "the disk is full")


@pytest.mark.parametrize("most", [0, 1, 2, 5])
def test_packing_onto_a_full_disk(most):
    data = bytes(1 << 20)
    entries = [(Entry(f"f{number}", "file", 0o644, size=len(data)), data) for number in range(8)]
    with pytest.raises(StoreFull):
        pack_entries(entries, Full(most))
    assert alone()
