"""config.md, "Root" and "Mounts"; config-linux.md, devices, masked and read-only paths, propagation."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.oci_cli.runtimes import Runtime
from tests.oci_cli.world import World

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

_PATHS = """
/dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty /dev/fd /dev/stdin /dev/stdout /dev/stderr
/dev/ptmx /dev/fuse-like /other/block /a.fifo /unbuffered /made/deep /noted /copied/dir /copied/file
/made/file /proc/version /proc/bus /proc/fs /proc/meminfo /etc /tmp
"""


def ask_for_everything(world: World) -> None:
    """All kinds of mounts and devices that the older runtimes know too."""
    things = world.folder / "things"
    (things / "below").mkdir(parents=True)
    (things / "file").write_text("bound")
    (world.root / "full").mkdir(mode=0o750)
    (world.root / "full" / "inside").write_text("copied")
    (world.root / "copied" / "dir").mkdir(parents=True)
    (world.root / "copied" / "file").write_text("copied")
    world.mount(things, "/made/deep", "bind", "ro", "nosuid", "nodev", "noexec")
    world.mount(things / "file", "/made/file", "bind", "rw")
    world.mount("tmpfs", "/copied", "tmpcopyup", kind="tmpfs")
    world.mount("tmpfs", "/noted", "noatime", "mode=711", "size=64k", kind="tmpfs")
    world.mount("tmpfs", "/first", kind="tmpfs")
    world.mount("tmpfs", "/first/second", "strictatime", kind="tmpfs")
    world.mount(things, "/travels", "rbind", "rshared")
    world.mount(things, "/stays", "rbind", "rprivate")
    world.linux["devices"] = [
        {
            "path": "/dev/fuse-like",
            "type": "c",
            "major": 10,
            "minor": 229,
            "fileMode": 0o640,
            "uid": 5,
            "gid": 6,
        },
        {"path": "/other/block", "type": "b", "major": 7, "minor": 99},
        {"path": "/unbuffered", "type": "u", "major": 1, "minor": 3},
        {"path": "/a.fifo", "type": "p", "fileMode": 0o600},
    ]
    world.linux["maskedPaths"] = ["/proc/version", "/proc/bus", "/not/there"]
    world.linux["readonlyPaths"] = ["/proc/fs", "/tmp", "/not/there"]


@pytest.fixture(scope="module")
def told(runtime: Runtime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What a container with all that sees."""
    world = World(tmp_path_factory.mktemp("f"), runtime)
    ask_for_everything(world)
    yield world.facts(*_PATHS.split())
    world.close()


def at(told: dict[str, Any], place: str) -> dict[str, Any]:
    """The topmost mount at ``place``."""
    found: dict[str, Any] = [mount for mount in told["mounts"] if mount["at"] == place][-1]
    return found


def test_default_devices_must_be_supplied(told: dict[str, Any]) -> None:
    numbers = {
        "null": [1, 3],
        "zero": [1, 5],
        "full": [1, 7],
        "random": [1, 8],
        "urandom": [1, 9],
        "tty": [5, 0],
    }
    for name, number in numbers.items():
        device = told["paths"][f"/dev/{name}"]
        assert (device["kind"], device["device"], device["mode"]) == ("c", number, 0o666), name


def test_default_links_of_dev(told: dict[str, Any]) -> None:
    links = {name: told["paths"][f"/dev/{name}"]["to"] for name in ("fd", "stdin", "stdout", "stderr")}
    assert links == {
        "fd": "/proc/self/fd",
        "stdin": "/proc/self/fd/0",
        "stdout": "/proc/self/fd/1",
        "stderr": "/proc/self/fd/2",
    }
    assert told["paths"]["/dev/ptmx"]["to"] in ("pts/ptmx", "/dev/pts/ptmx")


def test_devices_must_be_available(told: dict[str, Any]) -> None:
    fuse, block = told["paths"]["/dev/fuse-like"], told["paths"]["/other/block"]
    assert (fuse["kind"], fuse["device"], fuse["mode"]) == ("c", [10, 229], 0o640)
    assert (fuse["uid"], fuse["gid"]) == (5, 6)
    assert (block["kind"], block["device"]) == ("b", [7, 99])
    assert (told["paths"]["/unbuffered"]["kind"], told["paths"]["/unbuffered"]["device"]) == ("c", [1, 3])
    assert (told["paths"]["/a.fifo"]["kind"], told["paths"]["/a.fifo"]["mode"]) == ("p", 0o600)


def test_mounts_must_be_made_in_the_listed_order(told: dict[str, Any]) -> None:
    places = [mount["at"] for mount in told["mounts"]]
    listed = [
        "/proc",
        "/dev",
        "/dev/pts",
        "/sys",
        "/usr",
        "/made/deep",
        "/made/file",
        "/first",
        "/first/second",
    ]
    order = [places.index(place) for place in [*listed, "/travels"]]
    assert order == sorted(order)


def test_a_missing_mount_point_is_made(told: dict[str, Any]) -> None:
    assert "file" in told["paths"]["/made/deep"]["holds"]
    assert told["paths"]["/made/file"]["text"] == "bound"


def test_bind_mounts_have_their_options(told: dict[str, Any]) -> None:
    assert {"ro", "nosuid", "nodev", "noexec"} <= set(at(told, "/made/deep")["options"])
    assert told["paths"]["/made/deep"]["writable"] == errno.EROFS
    assert told["paths"]["/made/file"]["writable"] is True


def test_file_systems_have_their_options(told: dict[str, Any]) -> None:
    assert "noatime" in at(told, "/noted")["options"]
    assert "relatime" not in at(told, "/first/second")["options"]
    assert told["paths"]["/noted"]["mode"] == 0o711
    assert "size=64k" in at(told, "/noted")["system"]


def test_a_relative_destination_must_be_relative_to_the_root(our_world: World) -> None:
    our_world.mount("tmpfs", "relative/place", kind="tmpfs")
    assert at(our_world.facts(), "/relative/place")["type"] == "tmpfs"


def test_the_source_of_a_bind_mount_is_relative_to_the_bundle(world: World) -> None:
    (world.bundle / "given").mkdir()
    (world.bundle / "given/file").write_text("from the bundle\n")
    world.mount("given", "/given", "rbind")
    assert world.output("cat", "/given/file") == "from the bundle\n"


def test_all_options_must_be_implemented(our_world: World) -> None:
    more = "defaults async loud nolazytime noiversion iversion diratime suid dev exec norelatime mand nomand"
    our_world.mount("tmpfs", "/first", *more.split(), "nostrictatime", "silent", "rw", kind="tmpfs")
    our_world.mount(
        "tmpfs", "/second", "sync", "dirsync", "lazytime", "nodiratime", "unbindable", kind="tmpfs"
    )
    our_world.mount("tmpfs", "/third", "nosymfollow", "rslave", "rro", kind="tmpfs")
    our_world.mount("tmpfs", "/third", "remount", "rw", "noexec", kind="tmpfs")
    told = our_world.facts()
    first, second, third = (at(told, f"/{name}") for name in ("first", "second", "third"))
    assert first["options"] == ["rw", "relatime"]
    assert "nodiratime" in second["options"] and second["peers"] == ["unbindable"]
    assert {"sync", "dirsync", "lazytime"} <= set(second["system"])
    assert {"rw", "noexec", "nosymfollow"} <= set(third["options"])


def test_tmpcopyup_begins_with_what_was_there(told: dict[str, Any]) -> None:
    assert told["paths"]["/copied/file"]["text"] == "copied"
    assert told["paths"]["/copied/dir"]["kind"] == "d"


def test_propagation_of_bind_mounts(runtime: Runtime, told: dict[str, Any]) -> None:
    if runtime.name == "crun":
        pytest.skip("crun of Debian 12 leaves them private")
    assert "shared" in at(told, "/travels")["peers"]
    assert at(told, "/stays")["peers"] == []


def test_masked_paths_cannot_be_read(told: dict[str, Any]) -> None:
    assert told["paths"]["/proc/bus"]["holds"] == []
    masked = told["paths"]["/proc/version"]
    assert (masked["kind"], masked["device"]) == ("c", [1, 3])
    assert told["paths"]["/proc/meminfo"]["text"]


def test_readonly_paths_cannot_be_written(told: dict[str, Any]) -> None:
    assert told["paths"]["/tmp"]["writable"] == errno.EROFS
    assert "ro" in at(told, "/proc/fs")["options"]
    assert told["paths"]["/etc"]["writable"] is True


def test_a_read_only_root_must_be_read_only(world: World) -> None:
    world.config["root"]["readonly"] = True
    for name in ("probe.py", "usr"):
        (world.root / name).touch(exist_ok=True)
    told = world.facts("/etc", "/dev")
    assert told["paths"]["/etc"]["writable"] == errno.EROFS
    assert told["paths"]["/dev"]["writable"] is True


@pytest.mark.parametrize("name", ["shared", "slave", "private", "unbindable"])
def test_rootfs_propagation(world: World, name: str) -> None:
    if (world.runtime.name, name) in (("crun", "unbindable"), ("runc", "unbindable"), ("runc", "shared")):
        pytest.skip(f"{world.runtime.name} of Debian 12 cannot do it")
    world.linux["rootfsPropagation"] = name
    root = at(world.facts(), "/")["peers"]
    assert ("shared" in root, "unbindable" in root) == (name == "shared", name == "unbindable")


def test_a_mount_point_behind_links_stays_in_the_root(world: World) -> None:
    if world.runtime.name == "crun":
        pytest.skip("crun of Debian 12 makes nothing behind a dangling link")
    outside = world.folder / "outside"
    outside.mkdir()
    (world.root / "trap").symlink_to(outside)
    (world.root / "up").symlink_to("../../../../../../../../tmp")
    world.mount("tmpfs", "/trap/made", "nosuid", kind="tmpfs")
    world.mount("tmpfs", "/up/there", "nosuid", kind="tmpfs")
    places = [mount["at"] for mount in world.facts()["mounts"]]
    assert list(outside.iterdir()) == []
    assert "/tmp/there" in places and str(outside / "made") in places


def test_a_file_that_is_not_the_requested_device_must_fail(our_world: World) -> None:
    (our_world.root / "taken").write_text("no device")
    our_world.linux["devices"] = [{"path": "/taken", "type": "c", "major": 1, "minor": 3}]
    assert "device /taken" in our_world.create("taken", "true", status=1)
    assert (our_world.root / "taken").read_text() == "no device"


def test_recursive_options_reach_the_mounts_below(our_world: World) -> None:
    things = our_world.folder / "tree"
    (things / "below").mkdir(parents=True)
    script = f'mount -t tmpfs tmpfs {things}/below && mkdir {things}/below/in && exec "$@"'
    our_world.mount(things, "/all", "rbind", "rro", "rnosuid", "rnoatime")
    our_world.mount(things, "/top", "rbind", "ro")
    told = _inside(our_world, script)
    for place in ("/all", "/all/below"):
        assert {"ro", "nosuid", "noatime"} <= set(at(told, place)["options"])
    assert ("ro" in at(told, "/top")["options"], "ro" in at(told, "/top/below")["options"]) == (True, False)


def _inside(world: World, script: str) -> dict[str, Any]:
    """The facts with our runtime called in a mount namespace of its own, after ``script``."""
    argv = ("unshare", "-m", "sh", "-c", script, "sh", *world.runtime.argv)
    world.runtime = world.runtime._replace(argv=argv)
    return world.facts()


def test_an_idmapped_mount_shows_other_owners(our_world: World) -> None:
    things = our_world.folder / "owned"
    things.mkdir()
    (things / "file").write_text("")
    os.chown(things / "file", 1, 2)
    our_world.mount(things, "/mapped", "rbind", "idmap")
    our_world.mount(things, "/other", "bind")
    mapping = [{"containerID": 0, "hostID": 1000, "size": 10}]
    our_world.config["mounts"][-2].update(uidMappings=mapping, gidMappings=mapping)
    paths = our_world.facts("/mapped/file", "/other/file")["paths"]
    assert (paths["/mapped/file"]["uid"], paths["/mapped/file"]["gid"]) == (1001, 1002)
    assert (paths["/other/file"]["uid"], paths["/other/file"]["gid"]) == (1, 2)


def test_ridmap_reaches_the_mounts_below(our_world: World) -> None:
    things = our_world.folder / "tree"
    (things / "below").mkdir(parents=True)
    script = f'mount -t tmpfs tmpfs {things}/below && touch {things}/below/file && exec "$@"'
    mapping = [{"containerID": 0, "hostID": 1000, "size": 10}]
    for place, how in (("/whole", "ridmap"), ("/top", "idmap")):
        our_world.mount(things, place, "rbind", how)
        our_world.config["mounts"][-1].update(uidMappings=mapping, gidMappings=mapping)
    argv = ("unshare", "-m", "sh", "-c", script, "sh", *our_world.runtime.argv)
    our_world.runtime = our_world.runtime._replace(argv=argv)
    paths = our_world.facts("/whole/below/file", "/top/below/file")["paths"]
    assert [paths[f"/{name}/below/file"]["uid"] for name in ("whole", "top")] == [1000, 0]


def test_idmap_without_mappings_takes_those_of_the_user_namespace(
    session_folder: Path, ours: Runtime
) -> None:
    # Root of a user namespace is somebody else to the host, who must find the bundle.
    session_folder.chmod(0o711)
    folder = session_folder / "oci-user"
    folder.mkdir(mode=0o755)
    world = World(folder, ours)
    os.chown(world.root, 100000, 100000)
    world.linux["namespaces"].append({"type": "user"})
    for name in ("uidMappings", "gidMappings"):
        world.linux[name] = [{"containerID": 0, "hostID": 100000, "size": 1000}]
    things = folder / "things"
    things.mkdir()
    (things / "file").write_text("")
    world.mount(things, "/mapped", "bind", "idmap")
    world.mount(things, "/other", "bind")
    told = world.facts("/mapped/file", "/other/file", "/dev/null")
    assert told["maps"] == [["0", "100000", "1000"]] * 2
    assert [told["paths"][f"/{name}/file"]["uid"] for name in ("mapped", "other")] == [0, 65534]
    assert told["paths"]["/dev/null"]["device"] == [1, 3]


def test_without_a_mount_namespace_the_mounts_go_with_the_container(our_world: World) -> None:
    our_world.without("mount")
    our_world.mount("tmpfs", "/made", kind="tmpfs")
    our_world.create("shared", "sleep", "100")
    our_world.run("start", "shared")
    pid = our_world.status("shared")["pid"]
    assert os.readlink(f"/proc/{pid}/ns/mnt") == os.readlink("/proc/self/ns/mnt")
    assert os.path.ismount(our_world.root / "made")
    assert os.readlink(f"/proc/{pid}/root") == str(our_world.root)
    our_world.run("delete", "--force", "shared")
    mounted = subprocess.run(["cat", "/proc/mounts"], capture_output=True, text=True, check=True).stdout
    assert str(our_world.root) not in mounted


def test_a_mount_label_of_a_host_without_selinux_is_warned_of(our_world: World) -> None:
    if Path("/sys/fs/selinux/enforce").exists():
        pytest.skip("this host has SELinux")
    our_world.linux["mountLabel"] = "system_u:object_r:container_file_t:s0:c1,c2"
    our_world.write("true")
    log = our_world.folder / "log"
    our_world.run("--log", str(log), "run", "--bundle", str(our_world.bundle), "labelled")
    assert "mountLabel system_u" in log.read_text()
