"""``sandcell-oci --cgroup-manager systemd``: systemd makes the group, keeps the limits, forgets the scope."""

import os
import signal
import subprocess
from pathlib import Path

from tests.guest.holds_limits import group_of
from tests.guest.registry import Place, holds
from tests.oci_cli.runtimes import OURS
from tests.oci_cli.world import World

_TREE = Path("/sys/fs/cgroup")
_CGROUP = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]}


def _world(place: Place, name: str) -> World:
    folder = place.folder / f"{place.setting}-{name}"
    folder.mkdir()
    world = World(folder, OURS._replace(argv=(*OURS.argv, "--systemd-cgroup")))
    if os.geteuid():
        for key, number in (("uidMappings", os.geteuid()), ("gidMappings", os.getegid())):
            world.linux[key] = [{"containerID": 0, "hostID": number, "size": 1}]
        world.linux["namespaces"].append({"type": "user"})
    return world


def _properties(unit: str, *names: str) -> dict[str, str]:
    whose = ["--user"] if os.geteuid() else []
    argv = ["systemctl", *whose, "show", unit, *(f"--property={name}" for name in names)]
    said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    return dict(line.split("=", 1) for line in said.splitlines())


@holds("system", "session")
def systemd_makes_the_group_keeps_the_limits_and_forgets_the_scope(place: Place) -> None:
    world = _world(place, "unit")
    world.linux["cgroupsPath"] = "part-of.slice:app:a+b"
    unit = "app-a\\x2bb.scope"
    world.linux["namespaces"].append({"type": "cgroup"})
    world.config["mounts"].append(_CGROUP)
    world.linux["resources"] = {
        "memory": {"limit": 64 << 20, "swap": 64 << 20, "reservation": 32 << 20},
        "pids": {"limit": 33},
        "unified": {"memory.high": str(48 << 20)},
        "devices": [{"allow": False, "access": "rwm"}],
    }
    files = {
        "memory.max": str(64 << 20),
        "memory.low": str(32 << 20),
        "memory.high": str(48 << 20),
        "memory.swap.max": "0",
        "pids.max": "33",
    }
    told = {"Delegate": "yes", "MemoryMax": str(64 << 20), "TasksMax": "33"}
    taken = {"MemoryMax": "infinity", "TasksMax": "infinity"}
    if place.setting == "system":  # Debian's systemd gives users memory and pids alone
        world.linux["resources"]["cpu"] = {"shares": 2048, "quota": 50000, "period": 100000, "cpus": "1"}
        files |= {"cpu.max": "50000 100000", "cpuset.cpus": "1"}
        told |= {"CPUQuotaPerSecUSec": "500ms", "AllowedCPUs": "1"}
        taken |= {"CPUQuotaPerSecUSec": "infinity"}
    try:
        world.create("a+b", "sleep", "1000")
        pid = world.status("a+b")["pid"]
        group = group_of(pid)
        assert group.parts[-3:] == ("part.slice", "part-of.slice", unit), group
        assert (group / "cgroup.procs").read_text() == f"{pid}\n"

        def limits() -> dict[str, str]:
            return {name: (group / name).read_text().strip() for name in files}

        assert limits() == files
        assert _properties(unit, *told) == told
        world.run("start", "a+b")
        # What systemd believes holds is what it writes again when it is reloaded.
        subprocess.run(["systemctl", *(["--user"] if os.geteuid() else []), "daemon-reload"], check=True)
        assert limits() == files
        world.run("update", "--memory", str(80 << 20), "--memory-swap", "-1", "--pids-limit", "44", "a+b")
        assert _properties(unit, "MemoryMax", "TasksMax") == {"MemoryMax": str(80 << 20), "TasksMax": "44"}
        assert (group / "memory.swap.max").read_text() == "max\n"
        quota = ("--cpu-quota", "-1") if "cpu.max" in files else ()
        world.run("update", "--memory", "-1", "--pids-limit", "-1", *quota, "a+b")
        assert _properties(unit, *taken) == taken
        assert not quota or (group / "cpu.max").read_text() == "max 100000\n"
        assert world.run("exec", "a+b", "cat", "/proc/self/cgroup").stdout == "0::/\n"
        world.run("pause", "a+b")
        assert world.status("a+b")["status"] == "paused"
        world.run("resume", "a+b")
        world.end("a+b")
        world.run("delete", "a+b")
        assert not group.exists()
        world.create("a+b", "sleep", "1000")
        world.run("delete", "--force", "a+b")
        assert not group.exists()
        assert _properties(unit, "LoadState") == {"LoadState": "not-found"}
    finally:
        world.close()


@holds("scope")
def one_process_is_enough_and_a_failed_create_leaves_no_scope(place: Place) -> None:
    world = _world(place, "one")
    world.linux["resources"] = {"pids": {"limit": 1}}
    try:
        assert world.output("sh", "-c", "echo once; echo more") == "once\nmore\n"
        said = world.create("none", "/not/there", status=1)
        assert "Traceback" not in said
        world.linux["cgroupsPath"] = "/a/path"
        assert "SLICE:PREFIX:NAME" in world.create("path", "true", status=1)
        world.linux["cgroupsPath"] = "no--slice.slice:a:b"
        assert "no name of a slice" in world.create("slice", "true", status=1)
        del world.linux["cgroupsPath"]
        world.create("killed", "sleep", "1000")
        usual = "user.slice" if os.geteuid() else "system.slice"
        group = group_of(world.status("killed")["pid"])
        assert group.parts[-2:] == (usual, "sandcell-oci-killed.scope")
        assert not list(group.parent.glob("sandcell-oci-none*"))
        os.kill(world.status("killed")["pid"], signal.SIGKILL)
        world.until(lambda: not group.exists())
        world.run("delete", "killed")
    finally:
        world.close()


@holds("session")
def who_has_no_systemd_of_their_own_is_told_so(place: Place) -> None:
    world = _world(place, "nobody")
    kept = {name: os.environ.pop(name, "") for name in ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")}
    try:
        said = world.create("nobody", "true", status=1)
        assert "user's systemd" in said and "--cgroup-manager cgroupfs" in said, said
    finally:
        os.environ.update({name: text for name, text in kept.items() if text})
        world.close()
