"""``sandcell-oci``: the resources of config.json on version 2. runtime-spec config-linux.md."""

from pathlib import Path
from typing import Any

from tests.guest.holds_limits import group_of, table
from tests.guest.registry import Place, holds
from tests.oci_cli.world import World

_CGROUP = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]}


def _world(place: Place, name: str) -> World:
    folder = place.folder / name
    folder.mkdir()
    world = World(folder)
    world.config["mounts"].append(_CGROUP)
    return world


def _disk(number: int) -> dict[str, int]:
    major, minor = Path(f"/sys/class/block/nvme0n{number}/dev").read_text().split(":")
    return {"major": int(major), "minor": int(minor)}


@holds("root")
def resources_reach_the_files_of_version_2(place: Place) -> None:
    world = _world(place, "resources")
    data = _disk(3)
    place_of_data = f"{data['major']}:{data['minor']}"
    resources: dict[str, Any] = world.config["linux"].setdefault("resources", {})
    resources |= {
        "memory": {"limit": 64 << 20, "swap": 64 << 20, "reservation": 32 << 20},
        "cpu": {"shares": 2048, "quota": 50000, "period": 100000, "burst": 10000, "cpus": "1", "mems": "0"},
        "pids": {"limit": 33},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 4 << 20}],
        "blockIO": {
            "throttleWriteBpsDevice": [data | {"rate": 1 << 20}],
            "throttleReadIOPSDevice": [data | {"rate": 500}],
        },
        "unified": {"memory.high": str(48 << 20), "cgroup.max.descendants": "7"},
    }
    try:
        world.create("full", "sleep", "1000")
        pid = world.status("full")["pid"]
        group = group_of(pid)
        wanted = {
            "memory.max": str(64 << 20),
            "memory.low": str(32 << 20),
            "memory.high": str(48 << 20),
            "cpu.max": "50000 100000",
            "cpu.max.burst": "10000",
            "cpuset.cpus": "1",
            "cpuset.mems": "0",
            "pids.max": "33",
            "hugetlb.2MB.max": str(4 << 20),
            "io.max": f"{place_of_data} rbps=max wbps=1048576 riops=500 wiops=max",
            "cgroup.max.descendants": "7",
        }
        assert {name: (group / name).read_text().strip() for name in wanted} == wanted
        assert 100 < int((group / "cpu.weight").read_text()) < 300
        assert "Cpus_allowed_list:\t1\n" in Path(f"/proc/{pid}/status").read_text()
        world.run("start", "full")
        world.run("update", "--memory", str(80 << 20), "--pids-limit", "44", "full")
        assert (group / "pids.max").read_text() == "44\n"
        assert (group / "memory.max").read_text() == f"{80 << 20}\n"
        world.run("pause", "full")
        assert table(group / "cgroup.events")["frozen"] == 1
        assert world.status("full")["status"] == "paused"
        resources["unified"] = {"memory.nonsense": "1"}
        said = world.create("unknown", "true", status=1)
        assert "memory.nonsense" in said
        assert "Traceback" not in said
    finally:
        world.close()
    assert not list(group.parent.glob("*/"))


@holds("root")
def a_disk_is_written_slowly_and_another_not_at_all(place: Place) -> None:
    world = _world(place, "devices")
    data, other = _disk(3), _disk(1)
    world.config["linux"]["resources"] = {
        "blockIO": {"throttleWriteBpsDevice": [data | {"rate": 2 << 20}]},
        "devices": [{"allow": False, "access": "rwm"}, data | {"allow": True, "type": "b", "access": "r"}],
    }
    world.config["linux"]["devices"] = [
        data | {"path": "/dev/data", "type": "b", "fileMode": 0o666},
        other | {"path": "/dev/other", "type": "b", "fileMode": 0o666},
    ]
    world.config["mounts"].append(
        {"destination": "/disk", "type": "bind", "source": str(world.folder), "options": ["rbind", "rw"]}
    )
    script = (
        "head -c 1 /dev/data | wc -c; head -c 1 /dev/other 2>&1; (echo > /dev/data) 2>&1; "
        "dd if=/dev/zero of=/disk/file bs=1M count=3 oflag=direct 2>&1 | tail -1; cat /sys/fs/cgroup/io.stat"
    )
    try:
        said = world.output("sh", "-c", script)
    finally:
        world.close()
    assert said.startswith("1\n"), said
    assert said.count("Operation not permitted") == 2, said
    assert float(said.split(" s,")[0].rpartition(" ")[2]) > 0.9, said
    assert f"{data['major']}:{data['minor']} " in said, said
