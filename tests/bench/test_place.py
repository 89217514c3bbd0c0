"""The measuring process: what it runs, what it says, and that nothing of it stays."""

import pytest

from tests.bench.place import Place, Unavailable


def test_a_lap_has_a_time_and_what_was_printed() -> None:
    with Place(env={"WORD": "hello"}) as place:
        silent = place.lap(place.find("true"))
        loud = place.lap(place.find("sh"), "-c", "echo $WORD; cat", output=True)
    assert silent.run > 0
    assert silent.total == pytest.approx(silent.prepare + silent.run + silent.tidy)
    assert silent.output == ""
    assert loud.output == "hello\n"  # and its standard input was empty


def test_another_exit_status_is_told_with_the_last_line() -> None:
    with Place() as place, pytest.raises(Unavailable, match="exited with 3 and said: because"):
        place.lap(place.find("sh"), "-c", "echo first; echo because >&2; exit 3")


def test_the_process_answers_on_after_a_failure() -> None:
    with Place() as place:
        with pytest.raises(Unavailable, match="No such file"):
            place.lap("/no/such/program")
        assert place.lap(place.find("sh"), "-c", "exit 4", status=None).run > 0


def test_a_missing_program_is_named() -> None:
    with Place() as place, pytest.raises(Unavailable, match="no-such-program is not installed"):
        place.find("no-such-program")
