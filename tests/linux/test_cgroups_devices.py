"""The device program against the plain meaning of its rules, on a small eBPF machine."""

import struct
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandcell.runtime.errors import InvalidOption
from sandcell.runtime.linux.cgroups_devices import program

KINDS = {"b": 1, "c": 2}
ACCESS = {"m": 1, "r": 2, "w": 4}

places = st.sampled_from(["*", "0", "1", "5", "136"])
rules = st.lists(
    st.tuples(
        st.booleans(),
        st.builds(
            lambda kind, major, minor, access: f"{kind} {major}:{minor} {access}",
            st.sampled_from(["a", "b", "c"]),
            places,
            places,
            st.sampled_from(["rwm", "r", "w", "m", "rw", "rm"]),
        ),
    ),
    max_size=6,
)


def run(code: bytes, kind: int, access: int, major: int, minor: int) -> int:
    context = {0: access << 16 | kind, 4: major, 8: minor}
    registers = [0] * 11
    instructions = list(struct.iter_unpack("BBhi", code))
    at = 0
    while True:
        operation, both, offset, number = instructions[at]
        target, source = both & 15, both >> 4
        at += 1
        if operation == 0x61:
            assert source == 1
            registers[target] = context[offset]
        elif operation == 0xBF:
            registers[target] = registers[source]
        elif operation == 0xB7:
            registers[target] = number
        elif operation == 0x77:
            registers[target] >>= number
        elif operation == 0x57:
            registers[target] &= number
        elif operation == 0x15:
            at += offset if registers[target] == number else 0
        elif operation == 0x55:
            at += offset if registers[target] != number else 0
        else:
            assert operation == 0x95
            return registers[0]


def meaning(given_rules: Sequence[tuple[bool, str]], kind: int, access: int, major: int, minor: int) -> int:
    for allow, text in reversed(given_rules):
        name, place, letters = text.split(" ")
        numbers = place.split(":")
        bits = sum(ACCESS[letter] for letter in letters)
        fits = name == "a" or KINDS[name] == kind
        fits = fits and numbers[0] in ("*", str(major)) and numbers[1] in ("*", str(minor))
        if fits and (access & ~bits == 0 if allow else access & bits):
            return int(allow)
    return 1


@given(
    rules,
    st.sampled_from([1, 2]),
    st.integers(1, 7),
    st.sampled_from([0, 1, 5, 7, 136]),
    st.sampled_from([0, 1, 5, 7]),
)
def test_the_program_means_the_rules(
    given_rules: list[tuple[bool, str]], kind: int, access: int, major: int, minor: int
) -> None:
    asked = (kind, access, major, minor)
    assert run(program(given_rules), *asked) == meaning(given_rules, *asked)


@pytest.mark.parametrize("text", ["", "c 1:3", "x 1:3 rwm", "c 1 rwm", "c a:b r", "c 1:3 q", "c 1:2:3 r"])
def test_rules_that_cannot_be_read(text: str) -> None:
    with pytest.raises(InvalidOption, match="no rule for devices"):
        program([(True, text)])
