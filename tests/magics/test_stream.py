"""Output on its way to the notebook: characters whole, floods bounded, streams apart."""

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandcell.magics.stream import HEAD, KEPT, TAIL, Screen


def test_streams_stay_apart(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    screen.write("stdout", b"one\n")
    screen.write("stderr", b"two\n")
    screen.close()
    assert capsys.readouterr() == ("one\n", "two\n")


def test_it_shows_a_piece_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    Screen().write("stdout", b"no newline")
    assert capsys.readouterr().out == "no newline"


@given(st.text(), st.lists(st.integers(1, 5), min_size=1))
def test_characters_are_whole_however_they_arrive(text: str, sizes: list[int]) -> None:
    data = text.encode("utf-8", "surrogatepass")
    before, sys.stdout = sys.stdout, io.StringIO()
    try:
        screen = Screen()
        at = 0
        for size in sizes * (len(data) + 1):
            if at >= len(data):
                break
            screen.write("stdout", data[at : at + size])
            at += size
        screen.close()
        assert sys.stdout.getvalue() == data.decode("utf-8", "replace")
    finally:
        sys.stdout = before


def test_a_cut_character_is_shown_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    screen.write("stdout", "ä".encode()[:1])
    assert capsys.readouterr().out == ""
    screen.close()
    assert capsys.readouterr().out == "�"


def test_carriage_returns_and_ansi_pass(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    screen.write("stdout", b"10%\r20%\r\x1b[32mdone\x1b[0m\r\n")
    assert capsys.readouterr().out == "10%\r20%\r\x1b[32mdone\x1b[0m\r\n"


def test_a_flood_shows_its_head_and_its_tail(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen("%container logs web")
    line = b"x" * 99 + b"\n"
    total = 50_000
    for number in range(total):
        screen.write("stdout", b"%099d\n" % number if number in (0, total - 1) else line)
    screen.close()
    out, err = capsys.readouterr()
    assert len(out) == HEAD + TAIL
    assert out.startswith("0" * 99 + "\n")
    assert out.endswith(f"{total - 1:099d}\n")
    assert f"{total * 100 - HEAD - TAIL:,} bytes left out; all of it: %container logs web" in err


def test_just_over_the_head_nothing_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    screen.write("stdout", b"a" * HEAD)
    screen.write("stdout", b"b" * TAIL)
    screen.close()
    out, err = capsys.readouterr()
    assert out == "a" * HEAD + "b" * TAIL
    assert err == ""


def test_the_tail_begins_with_a_whole_character(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    screen.write("stdout", b"a" * HEAD)
    screen.write("stdout", "ä".encode() * TAIL)
    screen.write("stdout", b"!")
    screen.close()
    assert "�" not in capsys.readouterr().out


def test_one_huge_piece_is_bounded(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    screen.write("stdout", b"z" * 20_000_000)
    screen.close()
    assert len(capsys.readouterr().out) == HEAD + TAIL


def test_what_is_kept_is_bytes_and_bounded() -> None:
    before, sys.stdout = sys.stdout, io.StringIO()
    try:
        screen = Screen(keep=True)
        screen.write("stdout", b"\xff\x00")
        assert (screen.kept("stdout"), screen.kept("stderr"), screen.cut) == (b"\xff\x00", b"", False)
        screen.write("stdout", b"x" * KEPT)
        assert (len(screen.kept("stdout")), screen.cut) == (KEPT, True)
    finally:
        sys.stdout = before


def test_it_writes_to_the_stdout_of_the_moment() -> None:
    screen = Screen()
    before, sys.stdout = sys.stdout, io.StringIO()
    try:
        screen.write("stdout", b"captured")
        assert sys.stdout.getvalue() == "captured"
    finally:
        sys.stdout = before
