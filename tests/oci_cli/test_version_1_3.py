"""``linux.netDevices`` and ``linux.memoryPolicy``, of version 1.3. config-linux.md."""

import os
from pathlib import Path

import pytest

from tests.oci_cli.runtimes import OURS, Runtime
from tests.oci_cli.world import World

# The devices are in a network namespace that ends with the command.
_APART = """
set -e
ip link add made0 type veth peer name far0
ip link set made0 up
ip address add 192.0.2.7/24 dev made0
ip address add 2001:db8::7/64 dev made0 nodad
ip link add made1 type veth peer name far1
exec "$@"
"""


@pytest.fixture
def apart(tmp_path: Path, ours: Runtime) -> World:
    argv = ("unshare", "--net", "sh", "-c", _APART, "sh", *OURS.argv)
    world = World(tmp_path, Runtime("sandcell-oci", argv))
    world.config["ociVersion"] = "1.3.0"
    return world


def _shown(world: World, *command: str) -> str:
    world.create("shown", *command, verb=("run",))
    return world.said()


def test_a_network_device_moves_in_with_its_permanent_addresses_and_is_up(apart: World) -> None:
    apart.linux["netDevices"] = {"made0": {"name": "inside0"}}
    lines = _shown(apart, "ip", "-oneline", "address", "show", "inside0").splitlines()
    told = [line.split()[2:4] for line in lines]
    assert ["inet", "192.0.2.7/24"] in told
    assert ["inet6", "2001:db8::7/64"] in told
    flags = _shown(apart, "ip", "-oneline", "link", "show", "inside0").split()[2]
    assert "UP" in flags.strip("<>").split(",")


def test_a_network_device_keeps_its_name_or_gets_a_free_number(apart: World) -> None:
    apart.linux["netDevices"] = {"made0": {}, "made1": {"name": "made%d"}}
    listed = _shown(apart, "ip", "-oneline", "link", "show", "type", "veth")
    first, second = sorted(line.split()[1].partition("@")[0] for line in listed.splitlines())
    assert first == "made0"
    assert second.removeprefix("made").isdecimal()


@pytest.mark.parametrize(
    ("devices", "said"),
    [
        ({"absent0": {}}, "absent0: as absent0: No such device"),
        ({"made0": {"name": "lo"}}, "made0: as lo: File exists"),
    ],
)
def test_a_network_device_that_cannot_move_is_an_error(
    apart: World, devices: dict[str, dict[str, str]], said: str
) -> None:
    apart.linux["netDevices"] = devices
    apart.create("not", "/bin/true", verb=("run",), status=1)
    assert said.lower() in apart.said().lower()
    assert not (apart.state / "not").exists()


def test_memory_comes_from_the_nodes_of_the_policy(our_world: World) -> None:
    if not os.path.exists("/proc/self/numa_maps"):
        pytest.skip("the kernel knows no memory policies")
    our_world.linux["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}
    assert "bind=static:0" in our_world.output("cat", "/proc/self/numa_maps")


def test_a_process_that_comes_later_has_the_policy_too(our_world: World) -> None:
    if not os.path.exists("/proc/self/numa_maps"):
        pytest.skip("the kernel knows no memory policies")
    our_world.linux["memoryPolicy"] = {"mode": "MPOL_INTERLEAVE", "nodes": "0"}
    our_world.create("later", "sleep", "60")
    our_world.run("start", "later")
    assert "interleave:0" in our_world.run("exec", "later", "cat", "/proc/self/numa_maps").stdout
