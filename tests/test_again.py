from tests.again import MOST, worth_it


def test_a_few_failures_get_a_second_look() -> None:
    assert worth_it(["tests/a.py::b"], [])
    assert worth_it(["x"] * MOST, [])


def test_many_or_leftovers_do_not() -> None:
    assert not worth_it([], [])  # what failed was no test
    assert not worth_it(["x"] * (MOST + 1), [])
    assert not worth_it(["x"], ["link: sandcell0"])
