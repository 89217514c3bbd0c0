"""Which layout a host has, from texts of /proc alone."""

from collections.abc import Callable

import pytest

from sandcell.runtime.linux.cgroups_layout import (
    LEAF,
    CgroupLayout,
    Process,
    decide,
    parse_membership,
    parse_mounts,
)

DEBIAN_V2 = "35 24 0:30 / /sys/fs/cgroup rw,nosuid,nodev shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
IN_DOCKER_V2 = "640 639 0:30 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw,nsdelegate\n"
V1 = """\
30 25 0:26 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755
31 30 0:27 / /sys/fs/cgroup/systemd rw,nosuid shared:11 - cgroup cgroup rw,xattr,name=systemd
32 30 0:28 / /sys/fs/cgroup/memory rw,nosuid shared:12 - cgroup cgroup rw,memory
33 30 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:13 - cgroup cgroup rw,cpu,cpuacct
34 30 0:30 / /sys/fs/cgroup/freezer rw,nosuid shared:14 - cgroup cgroup rw,freezer
35 30 0:31 / /sys/fs/cgroup/pids rw,nosuid shared:15 - cgroup cgroup rw,pids
"""
HYBRID = V1 + "36 30 0:32 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
USER_V2 = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/jupyter.scope\n"
SCOPE = "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/jupyter.scope"


def everything(path: str) -> bool:
    return True


def nothing(path: str) -> bool:
    return False


def look(
    mounts: str,
    membership: str = "0::/\n",
    *,
    uid: int = 0,
    systemd: bool = True,
    writable: Callable[[str], bool] = everything,
    delegated: Callable[[str], bool] = nothing,
) -> CgroupLayout:
    process = Process(
        uid=uid,
        groups=parse_membership(membership),
        systemd=systemd,
        writable=writable,
        delegated=delegated,
    )
    return decide(parse_mounts(mounts), process)


def test_root_on_v1_makes_groups_at_the_top_of_every_tree() -> None:
    found = look(V1, "4:memory:/user.slice\n3:cpu,cpuacct:/\n1:name=systemd:/x\n")
    assert (found.version, found.writable, found.refused) == ("v1", True, "")
    assert found.bases == {
        "memory": "/sys/fs/cgroup/memory",
        "cpu": "/sys/fs/cgroup/cpu,cpuacct",
        "cpuacct": "/sys/fs/cgroup/cpu,cpuacct",
        "freezer": "/sys/fs/cgroup/freezer",
        "pids": "/sys/fs/cgroup/pids",
    }
    assert found.mounts == (
        ("memory", "cgroup", "memory"),
        ("pids", "cgroup", "pids"),
        ("cpu,cpuacct", "cgroup", "cpu,cpuacct"),
        ("freezer", "cgroup", "freezer"),
    )


def test_hybrid_uses_v1_and_says_so() -> None:
    found = look(HYBRID)
    assert (found.version, found.writable, found.unified) == ("hybrid", True, False)
    assert "v2 tree" in found.note


def test_a_named_tree_alone_does_not_make_it_v1() -> None:
    named = "31 30 0:27 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n"
    assert look(named + DEBIAN_V2).version == "v2"


def test_a_user_on_v1_has_none_of_its_own() -> None:
    found = look(V1, "4:memory:/user.slice\n", uid=1000, writable=nothing)
    assert not found.writable
    assert "does not belong to uid 1000" in found.refused
    assert found.fix


def test_a_user_on_v1_whose_group_was_given_to_it() -> None:
    groups = "4:memory:/jupyter/alice\n3:cpu,cpuacct:/\n2:freezer:/jupyter/alice\n1:pids:/\n"
    found = look(V1, groups, uid=1000, writable=lambda path: path.endswith("/alice"))
    assert found.writable
    assert found.bases == {
        "memory": "/sys/fs/cgroup/memory/jupyter/alice",
        "freezer": "/sys/fs/cgroup/freezer/jupyter/alice",
    }


def test_read_only_v1_trees_are_refused() -> None:
    found = look(V1.replace("rw,nosuid", "ro,nosuid"))
    assert not found.writable
    assert "cannot be written" in found.refused


def test_root_on_v2_makes_groups_at_the_top() -> None:
    found = look(DEBIAN_V2, "0::/user.slice/user-0.slice/session-1.scope\n")
    assert (found.version, found.base, found.unified) == ("v2", "/sys/fs/cgroup", True)
    assert "systemd writes" in found.note
    assert found.mounts == (("", "cgroup2", ""),)
    assert look(DEBIAN_V2, systemd=False).note == ""


def test_root_stays_in_a_group_that_was_delegated_to_it() -> None:
    found = look(DEBIAN_V2, "0::/system.slice/jupyter.service\n", delegated=everything)
    assert found.base == "/sys/fs/cgroup/system.slice/jupyter.service"
    assert found.note == ""


def test_a_user_makes_groups_below_its_own() -> None:
    found = look(DEBIAN_V2, USER_V2, uid=1000, writable=lambda path: path.startswith(SCOPE))
    assert (found.writable, found.base) == (True, SCOPE)


def test_a_process_moved_aside_finds_the_same_base() -> None:
    moved = USER_V2.rstrip() + f"/{LEAF}\n"
    assert look(DEBIAN_V2, moved, uid=1000).base == SCOPE


def test_a_user_without_delegation_is_told_the_command() -> None:
    session = "0::/user.slice/user-1000.slice/session-2.scope\n"
    found = look(DEBIAN_V2, session, uid=1000, writable=nothing)
    assert not found.writable
    assert "systemd manages" in found.refused
    assert "has not delegated it to uid 1000" in found.refused
    assert "Delegate=yes" in found.fix
    bare = look(DEBIAN_V2, session, uid=1000, writable=nothing, systemd=False)
    assert "may not write" in bare.refused


@pytest.mark.parametrize("missing", ["", "/cgroup.procs", "/cgroup.subtree_control"])
def test_all_three_parts_of_a_group_must_be_writable(missing: str) -> None:
    found = look(DEBIAN_V2, USER_V2, uid=1000, writable=lambda path: path != SCOPE + missing)
    assert not found.writable


def test_a_container_with_a_read_only_tree() -> None:
    found = look(IN_DOCKER_V2)
    assert not found.writable
    assert "read-only" in found.refused


def test_a_writable_mount_is_preferred() -> None:
    second = "700 1 0:30 / /run/cgroup2 rw - cgroup2 cgroup2 rw\n"
    assert look(IN_DOCKER_V2 + second).base == "/run/cgroup2"


def test_a_mount_that_shows_only_a_part() -> None:
    """Inside a container without a cgroup namespace: paths are the host's, the mount begins lower."""
    part = "9 8 0:30 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw\n"
    inner = look(part, "0::/docker/abc/sub\n", uid=1000)
    assert inner.base == "/sys/fs/cgroup/sub"
    assert not look(part, "0::/elsewhere\n", uid=1000).writable
    assert not look(DEBIAN_V2, "0::/../other\n", uid=1000).writable


def test_no_tree_at_all() -> None:
    found = look("22 1 0:20 / /proc rw - proc proc rw\n")
    assert (found.version, found.writable, found.mounts) == ("none", False, ())
    assert "mount -t cgroup2" in found.fix


def test_places_with_blanks() -> None:
    (tree,) = parse_mounts("9 8 0:30 /a\\040b /sys/fs/c\\134d rw - cgroup2 cgroup rw\n")
    assert (tree.place, tree.root) == ("/sys/fs/c\\d", "/a b")
