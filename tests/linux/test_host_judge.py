"""Judging hosts that are made by hand: no kernel is asked."""

import errno
from collections.abc import Mapping

import msgspec
import pytest

from sandcell.runtime.errors import HostRefused, InvalidOption
from sandcell.runtime.linux.host_blame import blame, version
from sandcell.runtime.linux.host_judge import judge
from sandcell.runtime.linux.host_model import Facts, Groups, Host, Trial

ALL_CAPABILITIES = (1 << 41) - 1
NO_SYS_ADMIN = ALL_CAPABILITIES & ~(1 << 21)
EVERYWHERE: tuple[str, ...] = (
    "chroot",
    "pid namespace",
    "network namespace",
    "hostname namespace",
    "ipc namespace",
)
EVERYWHERE += ("cgroup namespace", "seccomp filter")
FULL = Groups("v2", ("memory", "cpu", "pids"))

ROOT = Facts(
    kernel="6.1.0-18-amd64",
    machine="x86_64",
    capabilities=ALL_CAPABILITIES,
    trials={
        name: Trial(own=True)
        for name in ("mount as root", "user namespace", "overlay", "pivot_root", "proc", *EVERYWHERE)
    },
    groups=FULL,
    store="/var/lib/sandcell",
    filesystem="ext4",
)
MOUNT_REFUSED = Trial(errno.EPERM, "make a mount namespace", "unshare", own=True)
USER = msgspec.structs.replace(
    ROOT,
    entry="user",
    uid=1000,
    capabilities=0,
    mapper="/usr/bin/newuidmap",
    ranges=((100000, 65536), (100000, 65536)),
    trials={"mount as root": MOUNT_REFUSED}
    | {
        name: Trial()
        for name in (
            "user namespace",
            "mount",
            "newuidmap",
            "newgidmap",
            "overlay",
            "pivot_root",
            "proc",
            *EVERYWHERE,
        )
    },
)


def but(facts: Facts, trials: Mapping[str, Trial | None] = {}, **changes: object) -> Facts:
    """``facts`` with other trials (``None``: not made) and other fields."""
    merged = {**facts.trials, **trials}
    kept = {name: trial for name, trial in merged.items() if trial is not None}
    return msgspec.structs.replace(facts, trials=kept, **changes)


def states(host: Host) -> dict[str, str]:
    return {facet.name: facet.state for facet in host.facets if facet.state != "real"}


def test_root_has_everything_but_users_of_its_own() -> None:
    host = judge(ROOT)
    assert host.rung == "root"
    assert states(host) == {"users": "shared"}
    assert host.refused == ()
    assert host.obstacle is None


def test_a_plain_user_has_everything() -> None:
    host = judge(USER)
    assert host.rung == "rootless"
    assert host.many_ids
    assert states(host) == {}
    assert host.refused == ()


NO_MOUNT = but(
    USER,
    {
        "mount": Trial(errno.EACCES, "mount a tmpfs", "mount"),
        "overlay": None,
        "pivot_root": None,
        "proc": None,
        "newuidmap": None,
        "newgidmap": None,
    },
    label="cri-containerd.apparmor.d (enforce)",
)


def test_user_namespace_without_mount() -> None:
    host = judge(NO_MOUNT)
    assert host.rung == "nomount"
    assert states(host) == {"files": "emulated", "processes": "emulated", "users": "emulated"}
    assert host.obstacle is None
    assert (host.copying, host.mounting) == (True, False)
    assert "cri-containerd.apparmor.d" in host.facet("files").reason


CHROOT = but(
    ROOT,
    {
        "mount as root": MOUNT_REFUSED,
        "user namespace": Trial(errno.EPERM, "make a user namespace", "unshare", filtered=True),
        "overlay": None,
        "pivot_root": None,
        "proc": None,
        **{
            f"{kind} namespace": Trial(errno.EPERM, f"make a {kind} namespace", "unshare", own=True)
            for kind in ("pid", "network", "hostname", "ipc", "cgroup")
        },
    },
    capabilities=NO_SYS_ADMIN,
    seccomp=2,
)


def test_real_root_without_sys_admin() -> None:
    host = judge(CHROOT)
    assert host.rung == "chroot"
    assert states(host) == {
        "files": "emulated",
        "processes": "shared",
        "network": "shared",
        "hostname": "shared",
        "ipc": "shared",
        "users": "shared",
    }
    assert host.obstacle is None
    assert (host.copying, host.mounting) == (True, False)
    assert "CAP_SYS_ADMIN" in host.facet("files").reason


def test_rung_chroot_by_choice_has_no_namespaces_either() -> None:
    host = judge(ROOT, "chroot")
    shared = {name for name, state in states(host).items() if state == "shared"}
    assert shared == {"processes", "network", "hostname", "ipc", "users"}
    assert "was asked for" in host.facet("network").reason


def test_nothing_at_all() -> None:
    refused = Trial(errno.EPERM, "make a user namespace", "unshare", filtered=True)
    nothing = but(
        USER,
        dict.fromkeys(USER.trials) | {"user namespace": refused},
        entry="own",
    )
    host = judge(nothing)
    assert host.rung == "none"
    assert {facet.state for facet in host.facets} == {"shared"}
    assert len(host.facets) == 8


@pytest.mark.parametrize(
    ("kernel", "machine", "word"),
    [("5.10.0-28-amd64", "x86_64", "5.11"), ("6.1.0", "riscv64", "riscv64")],
)
def test_below_the_floor_no_container_runs(kernel: str, machine: str, word: str) -> None:
    host = judge(but(ROOT, kernel=kernel, machine=machine))
    assert host.rung == "none"
    assert host.obstacle is not None
    assert word in host.obstacle.detail


def test_a_probe_that_ended_early_gives_no_rung() -> None:
    host = judge(Facts(kernel="6.1.0", machine="x86_64", fault="the probe ended early: killed"))
    assert host.rung == "none"
    assert host.obstacle is not None
    assert "killed" in host.obstacle.detail


@pytest.mark.parametrize(
    ("facts", "forced"),
    [(ROOT, "root"), (ROOT, "none"), (ROOT, "chroot"), (USER, "rootless"), (USER, "nomount"), (USER, "none")],
)
def test_a_rung_within_reach_can_be_chosen(facts: Facts, forced: str) -> None:
    assert judge(facts, forced).rung == forced


@pytest.mark.parametrize(
    ("facts", "forced"),
    [(USER, "root"), (USER, "chroot"), (NO_MOUNT, "rootless"), (CHROOT, "root"), (CHROOT, "nomount")],
)
def test_a_rung_out_of_reach_is_refused(facts: Facts, forced: str) -> None:
    with pytest.raises(HostRefused, match=forced) as caught:
        judge(facts, forced)
    assert caught.value.hint


def test_a_rung_that_does_not_exist() -> None:
    with pytest.raises(InvalidOption, match="ladder"):
        judge(ROOT, "ladder")


def test_choosing_a_lower_rung_says_why_files_are_copied() -> None:
    assert "was asked for" in judge(USER, "nomount").facet("files").reason


@pytest.mark.parametrize(
    ("facts", "layer", "word"),
    [
        (but(USER, {"newuidmap": None, "newgidmap": None}, mapper=""), "tool", "not installed"),
        (but(USER, {"newuidmap": None, "newgidmap": None}, ranges=()), "id ranges", "uid 1000"),
        (but(USER, {"newuidmap": Trial(1, "said no")}, no_new_privs=True), "no_new_privs", "NoNewPrivs"),
        (but(USER, {"newuidmap": Trial(1, "write to uid_map failed")}), "id ranges", "uid_map failed"),
    ],
)
def test_why_there_is_one_user_only(facts: Facts, layer: str, word: str) -> None:
    host = judge(facts)
    check = host.check("id ranges")
    assert check is not None
    assert (host.rung, check.layer) == ("rootless", layer)
    assert word in check.detail
    assert states(host) == {"users": "emulated"}
    assert not host.many_ids
    assert host.obstacle is None


@pytest.mark.parametrize(
    ("facts", "state", "fix"),
    [
        (but(USER, groups=Groups("v2", ("memory", "pids"))), "emulated", "hand those controllers down"),
        (but(ROOT, groups=Groups("v1", (), "read-only", "mount it writable")), "shared", "mount it writable"),
    ],
)
def test_limits_that_are_missing(facts: Facts, state: str, fix: str) -> None:
    host = judge(facts)
    assert host.facet("limits").state == state
    assert fix in host.facet("limits").fix
    check = host.check("cgroups")
    assert check is not None
    assert check.layer == "delegation"


def test_where_an_overlay_is_refused_files_are_copied() -> None:
    host = judge(
        but(
            ROOT,
            {"overlay": Trial(errno.EINVAL, "mount an overlay", "mount", own=True)},
            filesystem="overlay",
        )
    )
    assert host.rung == "root"
    assert states(host) == {"users": "shared", "files": "emulated"}
    assert host.obstacle is None
    assert (host.copying, host.mounting) == (True, True)
    assert "SANDCELL_HOME" in host.facet("files").fix


UBUNTU = {"kernel.apparmor_restrict_unprivileged_userns": 1}
MAP = Trial(errno.EPERM, "map the user into the user namespace", "write")
NEW_USER = Trial(errno.EPERM, "make a user namespace", "unshare")
PROC = Trial(errno.EPERM, "mount /proc for the new pid namespace", "mount")
TMPFS = Trial(errno.EPERM, "mount a tmpfs", "mount")
FILTERED = Trial(errno.EPERM, "make a user namespace", "unshare", filtered=True)
NO_CHROOT = Trial(errno.EPERM, "change the root with chroot", "chroot", own=True)
OVERLAY = "mount an overlay"
MARKS = Trial(errno.EPERM, OVERLAY, "mount", own=True)


@pytest.mark.parametrize(
    ("trial", "changes", "layer", "word"),
    [
        (NEW_USER, {"sysctls": {"kernel.unprivileged_userns_clone": 0}}, "sysctl", "userns_clone is 0"),
        (
            Trial(errno.ENOSPC, "make a user namespace", "unshare"),
            {"sysctls": {"user.max_user_namespaces": 0}},
            "sysctl",
            "max_user_namespaces is 0",
        ),
        (
            Trial(errno.ENOSPC, "make a network namespace", "unshare"),
            {"sysctls": {"user.max_net_namespaces": 9}},
            "sysctl",
            "all are in use",
        ),
        (MAP, {"sysctls": UBUNTU}, "AppArmor", "restrict_unprivileged_userns is 1"),
        (TMPFS, {"sysctls": UBUNTU}, "AppArmor", "restrict_unprivileged_userns is 1"),
        (NEW_USER, {"label": "docker-default (enforce)"}, "AppArmor", "docker-default"),
        (
            Trial(errno.EACCES, "mount a tmpfs", "mount"),
            {"label": "system_u:system_r:container_t:s0:c1,c2"},
            "SELinux",
            "container_t",
        ),
        (NEW_USER, {"chrooted": True}, "kernel", "chroot"),
        (MAP, {"uid": 0, "capabilities": NO_SYS_ADMIN & ~(1 << 31)}, "capabilities", "CAP_SETFCAP"),
        (PROC, {"masked": ("/proc/kcore",)}, "masked /proc", "/proc/kcore"),
        (Trial(errno.ENODEV, OVERLAY, "mount"), {}, "kernel", "no overlay"),
        (Trial(errno.EPERM, OVERLAY, "mount"), {"kernel": "5.4.0-1"}, "kernel", "since 5.11"),
        (Trial(errno.EINVAL, OVERLAY, "mount"), {"filesystem": "fuse.gcsfuse"}, "file system", "gcsfuse"),
        (Trial(errno.EACCES, "make directories in the store"), {}, "file system", "cannot be written"),
        (MARKS, {"nested": True, "capabilities": -1}, "kernel", "nested"),
        (Trial(errno.ENOSYS, "mount a tmpfs", "mount"), {"seccomp": 2}, "seccomp", "filter is on"),
        (Trial(errno.EINVAL, "make a user namespace", "unshare"), {}, "kernel", "built without"),
        (NEW_USER, {"seccomp": 2}, "seccomp", "no other layer"),
        (FILTERED, {"seccomp": 2}, "seccomp", "even with arguments"),
        (NEW_USER, {}, "kernel", "nothing else"),
        (NO_CHROOT, {}, "capabilities", "SYS_CHROOT"),
    ],
)  # fmt: skip
def test_the_layer_that_refused(trial: Trial, changes: dict[str, object], layer: str, word: str) -> None:
    found = blame(trial, msgspec.structs.replace(USER, **changes))
    assert (found.layer, word in found.detail) == (layer, True), found
    assert trial.step in found.detail
    assert errno.errorcode[trial.errno] in found.detail


def test_complaining_profiles_refuse_nothing() -> None:
    assert blame(NEW_USER, but(USER, label="snap.jupyter (complain)")).layer == "kernel"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("6.1.0-18-amd64", (6, 1)),
        ("5.15-rc1", (5, 15)),
        ("7", (0, 0)),
        ("x.y", (0, 0)),
        ("6.18.44-fc", (6, 18)),
    ],
)
def test_kernel_versions(text: str, expected: tuple[int, int]) -> None:
    assert version(text) == expected
