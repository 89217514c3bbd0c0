"""The operations of runtime.md, each MUST a test of its own, through the command line."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.oci.schemas import check
from tests.oci_cli.world import World

pytestmark = [pytest.mark.kernel, pytest.mark.slow]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    if os.geteuid() != 0:
        pytest.skip("makes control groups and device nodes: root only")
    world = World(tmp_path)
    yield world
    world.close()


def test_a_container_lives_through_its_states(world: World) -> None:
    world.config["annotations"] = {"who": "me"}
    pid_file = world.folder / "pid"
    world.create("life", "sleep", "100")
    state = world.status("life")
    assert (state["status"], state["annotations"], state["ociVersion"]) == ("created", {"who": "me"}, "1.2.0")
    assert state["bundle"] == str(world.bundle)
    assert Path(f"/proc/{state['pid']}").exists()
    assert "is created, not stopped" in world.run("delete", "life", status=1).stderr
    world.run("start", "life")
    assert world.status("life")["status"] == "running"
    assert "is running" in world.run("start", "life", status=1).stderr
    done = world.run("exec", "--pid-file", str(pid_file), "life", "sh", "-c", "echo in $$; exit 7", status=7)
    assert done.stdout.startswith("in ") and int(pid_file.read_text()) > 1
    world.run("pause", "life")
    assert world.status("life")["status"] == "paused"
    world.run("resume", "life")
    assert str(state["pid"]) in world.run("ps", "life").stdout
    world.run("kill", "life", "KILL")
    assert world.status("life")["status"] == "stopped"
    assert "is stopped" in world.run("kill", "life", "KILL", status=1).stderr
    world.run("delete", "life")
    assert "does not exist" in world.run("state", "life", status=1).stderr
    assert not (world.state / "life").exists()


def test_create_must_refuse_an_id_that_is_taken(world: World) -> None:
    world.create("twice", "true")
    assert "already" in world.create("twice", "true", status=1)
    assert world.status("twice")["status"] == "created"


def test_a_failed_create_leaves_nothing(world: World) -> None:
    assert "No such file" in world.create("lost", "/no/such/program", status=127)
    assert not (world.state / "lost").exists()


def test_user_code_must_not_run_before_start(world: World) -> None:
    world.config["mounts"].append(
        {"destination": "/out", "type": "bind", "source": str(world.folder), "options": ["bind", "rw"]}
    )
    world.create("late", "touch", "/out/ran")
    assert not (world.folder / "ran").exists()
    world.run("delete", "--force", "late")


def test_hooks_must_be_called_in_order_with_the_state(world: World) -> None:
    log = world.folder / "hooks"
    moments = ("prestart", "createRuntime", "createContainer", "poststart", "poststop")
    world.config["hooks"] = {
        moment: [{"path": "/bin/sh", "args": ["sh", "-c", f"(echo {moment}; cat; echo) >> {log}"]}]
        for moment in moments
    }
    world.create("hooked", "true")
    world.run("start", "hooked")
    world.run("delete", "--force", "hooked")
    lines = log.read_text().splitlines()
    assert lines[::2] == list(moments)
    states = [json.loads(line) for line in lines[1::2]]
    assert [state["status"] for state in states][:3] == ["creating"] * 3
    assert {state["id"] for state in states} == {"hooked"}


def test_a_failing_hook_must_fail_the_creation(world: World) -> None:
    world.config["hooks"] = {"createRuntime": [{"path": "/bin/false"}]}
    assert "createRuntime hook /bin/false" in world.create("unlucky", "true", status=1)
    assert not (world.state / "unlucky").exists()


def test_the_process_is_as_written(world: World) -> None:
    process = world.config["process"]
    process["user"] = {"uid": 5, "gid": 6, "additionalGids": [7, 8], "umask": 0o27}
    process["oomScoreAdj"] = 100
    process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]
    process["cwd"] = "/tmp"
    world.config["hostname"] = "called"
    world.config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}
    script = "id -u; id -g; id -G; umask; cat /proc/self/oom_score_adj /proc/sys/net/ipv4/ip_forward; "
    script += "ulimit -Sn; ulimit -Hn; pwd; hostname"
    told = world.output("sh", "-c", script).split("\n")
    assert told[:-1] == ["5", "6", "6 7 8", "0027", "100", "1", "100", "200", "/tmp", "called"]


def test_a_link_in_the_image_does_not_lead_a_mount_out(world: World) -> None:
    outside = world.folder / "outside"
    outside.mkdir()
    (world.bundle / "rootfs" / "trap").symlink_to(outside)
    world.config["mounts"].append(
        {"destination": "/trap/made", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid"]}
    )
    world.output("true")
    assert list(outside.iterdir()) == []


def test_namespaces_are_new_joined_or_the_hosts(world: World) -> None:
    world.create("other", "sleep", "100")
    pid = world.status("other")["pid"]
    world.config["linux"]["namespaces"] = [
        {"type": "mount"},
        {"type": "pid"},
        {"type": "network", "path": f"/proc/{pid}/ns/net"},
        {"type": "uts", "path": f"/proc/{pid}/ns/uts"},
    ]
    del world.config["hostname"]
    told = world.output("sh", "-c", "readlink /proc/self/ns/net /proc/self/ns/uts /proc/self/ns/ipc").split()
    names = [
        os.readlink(f"/proc/{who}/ns/{kind}") for who, kind in ((pid, "net"), (pid, "uts"), ("self", "ipc"))
    ]
    assert told == names


def test_ids_are_mapped_in_a_user_namespace(session_folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("maps ids of others: root only")
    # Root of a user namespace is somebody else to the host, who must find the bundle.
    session_folder.chmod(0o711)
    folder = session_folder / "oci-user"
    folder.mkdir(mode=0o755)
    world = World(folder)
    os.chown(world.bundle / "rootfs", 100000, 100000)
    world.config["linux"]["namespaces"].append({"type": "user"})
    for name in ("uidMappings", "gidMappings"):
        world.config["linux"][name] = [{"containerID": 0, "hostID": 100000, "size": 1000}]
    assert world.output("cat", "/proc/self/uid_map").split() == ["0", "100000", "1000"]


def test_intel_rdt_is_refused(world: World) -> None:
    world.config["linux"]["intelRdt"] = {"closID": "x"}
    assert "linux.intelRdt: sandcell-oci does not support it" in world.create("rdt", "true", status=1)


def test_documents_are_what_the_schemas_ask_for(world: World) -> None:
    world.create("documents", "sleep", "100")
    for status in ("created", "stopped"):
        state = world.status("documents")
        assert state["status"] == status
        check("runtime-spec", "state-schema.json", json.dumps(state).encode())
        world.run("kill", "documents", "KILL", status=None)
        world.gone(state["pid"])
    check("runtime-spec", "features-schema.json", world.run("features").stdout.encode())
    check("runtime-spec", "config-schema.json", json.dumps(world.config).encode())
