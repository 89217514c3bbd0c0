"""config-linux.md, "Control groups", on a host of version 1; for version 2 see ``tests/linux``."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.oci_cli.runtimes import Runtime
from tests.oci_cli.world import World

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

TREES = Path("/sys/fs/cgroup")
RESOURCES = {
    "memory": {"limit": 64 << 20, "reservation": 32 << 20, "swap": 128 << 20, "swappiness": 20},
    "cpu": {"shares": 512, "quota": 40000, "period": 80000, "cpus": "0", "mems": "0"},
    "pids": {"limit": 77},
    "devices": [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"},
        {"allow": True, "type": "b", "major": 7, "access": "r"},
    ],
}


@pytest.fixture(scope="module")
def limited(runtime: Runtime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A container with limits, created."""
    if not (TREES / "memory" / "memory.limit_in_bytes").exists():
        pytest.skip("no control groups of version 1 here")
    world = World(tmp_path_factory.mktemp("l"), runtime)
    world.linux["cgroupsPath"] = f"/sandcell-test-{os.getpid()}/deep"
    world.linux["resources"] = RESOURCES
    world.create("limited", "sh", "-c", "sleep 100")
    yield world
    world.close()
    for tree in TREES.iterdir():
        if (tree / f"sandcell-test-{os.getpid()}").is_dir():
            (tree / f"sandcell-test-{os.getpid()}").rmdir()


def read(controller: str, name: str) -> str:
    """A file of the container's group."""
    return (TREES / controller / f"sandcell-test-{os.getpid()}" / "deep" / name).read_text().strip()


def test_cgroups_path_must_be_relative_to_the_mount_point(limited: World) -> None:
    pid = str(limited.status("limited")["pid"])
    for controller in ("memory", "cpu", "pids", "cpuset", "devices", "freezer"):
        assert read(controller, "cgroup.procs").split() == [pid], controller


def test_memory(limited: World) -> None:
    assert read("memory", "memory.limit_in_bytes") == str(64 << 20)
    assert read("memory", "memory.soft_limit_in_bytes") == str(32 << 20)
    assert read("memory", "memory.swappiness") == "20"
    if (TREES / "memory" / "memory.memsw.limit_in_bytes").exists():
        assert read("memory", "memory.memsw.limit_in_bytes") == str(128 << 20)


def test_cpu(limited: World) -> None:
    assert read("cpu", "cpu.shares") == "512"
    assert (read("cpu", "cpu.cfs_quota_us"), read("cpu", "cpu.cfs_period_us")) == ("40000", "80000")
    assert (read("cpuset", "cpuset.cpus"), read("cpuset", "cpuset.mems")) == ("0", "0")


def test_pids(limited: World) -> None:
    assert read("pids", "pids.max") == "77"


def test_device_rules_must_be_applied_in_order(limited: World) -> None:
    allowed = read("devices", "devices.list").splitlines()
    assert {"c 10:229 rw", "c 1:3 rwm", "c 5:0 rwm"} <= set(allowed)
    assert any(line in ("b 7:* r", "b 7:* rm") for line in allowed)
    assert "a *:* rwm" not in allowed


def test_update_changes_limits(limited: World) -> None:
    document = {"memory": {"limit": 48 << 20}, "pids": {"limit": 55}, "cpu": {"shares": 100}}
    limited.run("update", "--resources", "-", "limited", given=json.dumps(document))
    assert read("memory", "memory.limit_in_bytes") == str(48 << 20)
    assert (read("pids", "pids.max"), read("cpu", "cpu.shares")) == ("55", "100")
    limited.run("update", "--pids-limit", "66", "--cpu-quota", "20000", "limited")
    assert (read("pids", "pids.max"), read("cpu", "cpu.cfs_quota_us")) == ("66", "20000")
    limited.run("update", "--memory", str(40 << 20), "limited")
    assert read("memory", "memory.limit_in_bytes") == str(40 << 20)
    if limited.runtime.name == "crun":
        return  # it writes -1 where the kernel wants other words
    for option in ("--memory", "--memory-reservation", "--pids-limit", "--cpu-quota"):
        limited.run("update", option, "-1", "limited")
    assert int(read("memory", "memory.limit_in_bytes")) > 1 << 62
    assert int(read("memory", "memory.soft_limit_in_bytes")) > 1 << 62
    assert (read("pids", "pids.max"), read("cpu", "cpu.cfs_quota_us")) == ("max", "-1")


def test_a_device_that_is_not_allowed_cannot_be_opened(world: World) -> None:
    world.linux["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}
    world.linux["devices"] = [{"path": "/dev/refused", "type": "c", "major": 1, "minor": 11}]
    told = world.output(
        "sh", "-c", "cat < /dev/refused; head -c 1 /dev/zero | wc -c; echo x > /dev/null && echo ok"
    )
    assert told.split() == ["1", "ok"]


def test_a_relative_path_is_always_the_same_place(world: World) -> None:
    world.linux["cgroupsPath"] = f"sandcell-relative-{os.getpid()}"
    places = [world.output("cat", "/proc/self/cgroup") for _ in range(2)]
    assert places[0] == places[1] and f"sandcell-relative-{os.getpid()}" in places[0]


@pytest.mark.parametrize(
    "resources",
    [{"unified": {"memory.high": "1000000"}}, {"hugepageLimits": [{"pageSize": "3MB", "limit": 1}]}],
)
def test_what_this_host_does_not_have_must_fail(our_world: World, resources: dict[str, object]) -> None:
    if (TREES / "cgroup.controllers").exists():
        pytest.skip("this host has control groups of version 2")
    our_world.linux["resources"] = resources
    our_world.create("unlimited", "true", status=1)
    assert "does not exist" in our_world.refused("state", "unlimited")


def test_the_control_groups_of_the_container_are_mounted(world: World) -> None:
    if not (TREES / "memory" / "memory.limit_in_bytes").exists():
        pytest.skip("no control groups of version 1 here")
    world.linux["namespaces"].append({"type": "cgroup"})
    world.mount("cgroup", "/sys/fs/cgroup", "nosuid", "noexec", "nodev", "ro", kind="cgroup")
    told = world.facts("/sys/fs/cgroup/pids/pids.max")
    assert told["paths"]["/sys/fs/cgroup/pids/pids.max"]["text"].strip() == "max"
    if world.runtime.ours:
        (options,) = (mount["options"] for mount in told["mounts"] if mount["at"] == "/sys/fs/cgroup")
        assert "ro" in options
