"""Lists of system calls, read again word by word."""

import errno
import struct

import pytest

from sandcell.runtime.container.calls import ANY, Beside, Calls, Label, Room, Slot

_WORD = 8


def words(encoded: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(encoded) // _WORD}Q", encoded)


def head(word: int) -> tuple[int, ...]:
    return struct.unpack("<HHBBH", struct.pack("<Q", word))


def test_a_call_has_its_number_the_kinds_of_its_operands_and_where_to_go_on() -> None:
    calls = Calls("x86_64")
    calls.call("write", Slot(3), calls.data(b"12345678"), -1, Room(64), into=7)
    got = words(calls.encode())
    number, kinds, into, verb, following = head(got[0])
    assert (number, into, verb) == (1, 7, 0)
    assert kinds >> 12 == 4
    assert [kinds >> 2 * place & 3 for place in range(4)] == [2, 1, 0, 3]
    assert got[1:5] == (3, 5 * _WORD, (1 << 64) - 1, 64), "the second is the distance to what follows"
    assert got[5] == int.from_bytes(b"12345678", "little")
    assert following == 6, "after the last call comes what follows the list"
    assert head(words(_one("write", "aarch64"))[0])[0] == 64


def _one(name: str, machine: str) -> bytes:
    calls = Calls(machine)
    calls.call(name)
    return calls.encode()


def test_errors_lead_on_to_labels() -> None:
    calls, there = Calls("x86_64"), Label()
    calls.call("close", 9, after={errno.EBADF: there, ANY: Label()})
    calls.call("setsid")
    calls.place(there)
    calls.call("setsid")
    got = words(calls.encode())
    assert head(got[0])[3] == 128
    errors = struct.unpack("<HHHHHHxxxx", struct.pack("<2Q", *got[1:3]))
    assert errors == (errno.EBADF, 5, ANY, 6, 0, 0), "a label that is nowhere is the end"
    assert head(got[0])[4] == 4


def test_where_to_go_on_may_be_told() -> None:
    calls, end = Calls("x86_64"), Label()
    calls.call("setsid", then=end)
    calls.call("setsid")
    calls.place(end)
    assert head(words(calls.encode())[0])[4] == 2


def test_lists_may_be_joined_and_hold_together() -> None:
    calls = Calls("x86_64")
    calls.call("chdir", calls.text("/a"))
    one = calls.encode()
    assert len(one) % _WORD == 0
    got = words(one + one)
    assert got[: len(got) // 2] == got[len(got) // 2 :], "distances, no addresses"
    assert head(got[0])[4] == len(one) // _WORD


def test_what_no_list_can_hold() -> None:
    calls = Calls("x86_64")
    with pytest.raises(ValueError, match="NUL"):
        calls.text("a\0b")
    calls.call("write", 1, calls.data(bytes(1 << 20)), 1)
    with pytest.raises(OverflowError):
        calls.encode()
    with pytest.raises(ValueError, match="riscv64"):
        Calls("riscv64")


def test_each_piece_of_data_begins_at_a_whole_word() -> None:
    calls = Calls("x86_64")
    assert [calls.data(b"1"), calls.data(b"123456789"), calls.text("")] == [Beside(0), Beside(8), Beside(24)]
