"""Names and masks, and what a child can still do after it gave capabilities up."""

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandcell.runtime.errors import InvalidOption
from sandcell.runtime.linux import capabilities as caps
from sandcell.runtime.linux.process import PR_SET_KEEPCAPS, prctl

from .child import in_child

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root has capabilities to give up")
KEEP = caps.mask(["CAP_CHOWN", "CAP_SETUID", "CAP_SETPCAP", "CAP_SYS_CHROOT"])


def bits(sets: caps.Sets) -> list[int]:
    return [sets.effective, sets.permitted, sets.inheritable, sets.bounding, sets.ambient]


def test_the_names_are_those_of_the_header() -> None:
    header = Path("/usr/include/linux/capability.h")
    if not header.is_file():
        pytest.skip("no linux/capability.h here (Debian: linux-libc-dev)")
    told = re.findall(r"^#define (CAP_\w+)\s+(\d+)$", header.read_text(), re.M)
    assert {name: int(bit) for name, bit in told} == {name: bit for bit, name in enumerate(caps.NAMES)}


def test_there_are_41() -> None:
    assert len(caps.NAMES) == len(set(caps.NAMES)) == 41
    assert (caps.NAMES[0], caps.NAMES[21], caps.NAMES[-1]) == (
        "CAP_CHOWN",
        "CAP_SYS_ADMIN",
        "CAP_CHECKPOINT_RESTORE",
    )
    assert 37 <= caps.last_cap() < 64


@given(st.sets(st.sampled_from(caps.NAMES)))
def test_masks_and_names_are_the_same_thing(chosen: set[str]) -> None:
    assert set(caps.names(caps.mask(chosen))) == chosen
    assert caps.mask(chosen) == sum(1 << caps.NAMES.index(name) for name in chosen)


def test_unknown_names_are_refused_and_unknown_bits_nameless() -> None:
    with pytest.raises(InvalidOption, match="there is no CAP_FLY"):
        caps.mask(["CAP_FLY"])
    assert caps.names(1 << 60 | 1) == ("CAP_CHOWN",)


def test_the_status_of_a_process() -> None:
    text = "Name:\tx\nCapInh:\t0000000000000002\nCapPrm:\t00000000a80425fb\nCapEff:\t0000000000000001\n"
    text += "CapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000004\nNoNewPrivs:\t0\n"
    assert caps.parse_status(text) == caps.Sets(1, 0xA80425FB, 2, 0x1FFFFFFFFFF, 4)
    assert caps.parse_status("Name:\tx\n") == caps.Sets()


@needs_root
@pytest.mark.parametrize("told", [True, False])
def test_dropping_from_the_bounding_set(told: bool) -> None:
    def drop() -> list[int]:
        caps.drop_bounding(KEEP, caps.current().bounding if told else None)
        return bits(caps.current())

    before = caps.current()
    after = in_child(drop)
    assert after[3] == before.bounding & KEEP
    assert after[1] == before.permitted


@needs_root
def test_all_sets_at_once() -> None:
    def become() -> list[int]:
        caps.drop_bounding(KEEP)
        caps.set_caps(KEEP & 1, KEEP, KEEP, KEEP & ~1)
        first = bits(caps.current())
        caps.set_caps(KEEP & 1, KEEP & 1, 0, 0)
        return first + bits(caps.current())

    got = in_child(become)
    assert got == [1, KEEP, KEEP, KEEP, KEEP & ~1, 1, 1, 0, KEEP, 0]


@needs_root
def test_another_user_keeps_what_is_set_after_the_change() -> None:
    def become() -> list[int]:
        caps.drop_bounding(KEEP)
        prctl(PR_SET_KEEPCAPS, 1)
        os.setresgid(1234, 1234, 1234)
        os.setresuid(1234, 1234, 1234)
        prctl(PR_SET_KEEPCAPS, 0)
        caps.set_caps(KEEP, KEEP)
        os.chown("/proc/self/fd/0", -1, -1)
        return [os.getuid(), *bits(caps.current())]

    assert in_child(become) == [1234, KEEP, KEEP, 0, KEEP, 0]


@needs_root
def test_what_was_given_up_does_not_come_back() -> None:
    def attempt() -> list[int]:
        caps.set_caps(0, KEEP)
        caps.set_caps(KEEP, KEEP)
        caps.set_caps(0, 0)
        failures = []
        acts: list[Callable[[], None]] = [
            lambda: caps.set_caps(1, 1),
            lambda: caps.drop_bounding(0),
            lambda: os.chroot("/"),
        ]
        for act in acts:
            try:
                act()
            except OSError as error:
                failures.append(error.errno or 0)
        return failures

    assert in_child(attempt) == [errno.EPERM] * 3


@needs_root
def test_ambient_needs_permitted_and_inheritable() -> None:
    def attempt() -> int:
        try:
            caps.set_caps(KEEP, KEEP, 0, 1)
        except OSError as error:
            return error.errno or 0
        return 0

    assert in_child(attempt) == errno.EPERM
