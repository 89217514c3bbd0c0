"""The tables against the kernel's own headers, where a machine has them."""

import re
from pathlib import Path

import pytest

from sandcell.runtime.linux.syscall import MACHINE, NR
from sandcell.runtime.linux.syscalls_table import ARCHITECTURES, newest, numbers

X86 = [Path("/usr/include/x86_64-linux-gnu/asm"), Path("/usr/include/asm")]
ARM64 = [Path("/usr/include/aarch64-linux-gnu/asm"), Path("/usr/aarch64-linux-gnu/include/asm")]
ARM = [Path("/usr/include/arm-linux-gnueabihf/asm"), Path("/usr/arm-linux-gnueabihf/include/asm")]


def header(places: list[Path], name: str) -> dict[str, int]:
    """``#define __NR_name number`` of an installed header; the bases of x32 and ARM count as 0."""
    for place in places:
        if (place / name).is_file():
            break
    else:
        pytest.skip(f"no {name} here (Debian: linux-libc-dev or a -cross package of it)")
    pattern = r"#define\s+__NR_(\w+)\s+(?:\(\s*__\w+\s*\+\s*)?(\d+)\)?\s*$"
    return {name: int(number) for name, number in re.findall(pattern, (place / name).read_text(), re.M)}


@pytest.mark.parametrize(
    ("architecture", "places", "name"),
    [
        ("x86_64", X86, "unistd_64.h"),
        ("i386", X86, "unistd_32.h"),
        ("x32", X86, "unistd_x32.h"),
        ("aarch64", ARM64, "unistd_64.h"),
        ("arm", ARM, "unistd-eabi.h"),
    ],
)
def test_the_installed_header_says_the_same(architecture: str, places: list[Path], name: str) -> None:
    """Every call of the header is in the table, and none of the table contradicts it."""
    told = header(places, name)
    assert len(told) > 250
    newer = {name for name, number in told.items() if newest() < number < 0xF0000}
    mine = numbers(architecture)
    assert {name: mine.get(name) for name in told if name not in newer} == {
        name: number for name, number in told.items() if name not in newer
    }
    spoken_for = {number: name for name, number in told.items()}
    strangers = {name: number for name, number in mine.items() if name not in told}
    clashes = {n: spoken_for[i] for n, i in strangers.items() if i in spoken_for}
    assert clashes in ({}, {"sync_file_range2": "arm_sync_file_range"})


def test_the_generic_header_gives_the_numbers_of_aarch64() -> None:
    """asm-generic is what aarch64 uses; names with 3264 in it stand for two calls."""
    told = header([Path("/usr/include/asm-generic")], "unistd.h")
    mine = numbers("aarch64")
    shared = [name for name in told if name in mine]
    assert len(shared) > 250
    assert [name for name in shared if mine[name] != told[name]] == []


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_numbers_are_plausible(architecture: str) -> None:
    table = numbers(architecture)
    assert table["openat2"] == 437
    assert table["clone3"] == 435
    assert newest() in table.values()
    assert all(number <= newest() or 512 <= number <= 547 or number > 0xF0000 for number in table.values())
    twice = len(table) - len(set(table.values()))
    assert twice == (1 if architecture == "arm" else 0)


def test_the_two_tables_of_this_room_agree() -> None:
    table = numbers(MACHINE)
    assert {name: table[name] for name in NR} == NR
