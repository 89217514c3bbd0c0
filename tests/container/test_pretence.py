"""Who a process believes to be, by the rules of setuid(2), setreuid(2), setresuid(2), setgroups(2)."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandcell.runtime.container.pretence import SAME, Pretence
from tests.linux.child import in_child

USER = Pretence().after("setresuid", (7, 7, 7))
KEPT = Pretence().after("setresuid", (7, 7, 0))


def test_root_becomes_anybody_and_for_good() -> None:
    now = Pretence().with_groups((42,)).after("setgid", (42,)).after("setuid", (7,))
    assert now == Pretence((7, 7, 7), (42, 42, 42), (42,))
    assert (now.told("getuid"), now.told("getegid")) == (7, 42)
    for name, arguments in (("setuid", (0,)), ("setgid", (0,)), ("setresuid", (SAME, 0, SAME))):
        with pytest.raises(PermissionError):
            now.after(name, arguments)
    with pytest.raises(PermissionError):
        now.with_groups(())


def test_who_keeps_a_saved_id_comes_back() -> None:
    assert KEPT.after("setuid", (0,)).users == (7, 0, 0)
    assert KEPT.after("setreuid", (SAME, 0)).users[1] == 0
    assert Pretence().after("setresuid", (0, 0, 0)).plain
    assert not USER.plain


@given(
    st.sampled_from([Pretence(), USER, KEPT]),
    st.sampled_from(["setuid", "setreuid", "setresuid"]),
    st.lists(st.sampled_from([0, 7, 8, SAME]), min_size=3, max_size=3),
)
@pytest.mark.kernel
def test_the_kernel_agrees(start: Pretence, name: str, arguments: list[int]) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    count = {"setuid": 1, "setreuid": 2}.get(name, 3)
    ids = [-1 if value == SAME else value for value in arguments[:count]]
    if name == "setuid" and ids[0] == -1:
        return

    def real() -> list[int]:
        os.setresuid(*start.users)
        try:
            getattr(os, name)(*ids)
        except PermissionError:
            return []
        return list(os.getresuid())

    try:
        expected = list(start.after(name, arguments).users)
    except PermissionError:
        expected = []
    assert in_child(real) == expected
