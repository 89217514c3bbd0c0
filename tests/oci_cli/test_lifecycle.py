"""runtime.md: states, operations and their errors, each MUST a test of its own."""

import json
import os
import re
import signal
import socket
from pathlib import Path

import pytest

from tests.oci.schemas import check
from tests.oci_cli.world import World

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

_MISSING = re.compile("does not exist|No such file")


def alive(pid: int) -> bool:
    """True while that process runs; one that has ended and was not yet collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_container_lives_through_its_states(world: World) -> None:
    world.config["annotations"] = {"who": "me"}
    pid_file = world.folder / "pid"
    world.create("life", "sleep", "100", options=("--pid-file", str(pid_file)))
    state = world.status("life")
    assert (state["status"], state["annotations"]["who"], state["id"]) == ("created", "me", "life")
    assert (state["bundle"], state["pid"]) == (str(world.bundle), int(pid_file.read_text()))
    assert Path(f"/proc/{state['pid']}").exists()
    world.run("start", "life")
    assert world.status("life")["status"] == "running"
    done = world.run("exec", "--pid-file", str(pid_file), "life", "sh", "-c", "echo in $$; exit 7", status=7)
    assert done.stdout.startswith("in ") and int(pid_file.read_text()) > 1
    world.run("pause", "life")
    assert world.status("life")["status"] == "paused"
    world.run("resume", "life")
    assert json.loads(world.run("ps", "--format", "json", "life").stdout) == [state["pid"]]
    assert world.run("list", "--quiet").stdout.split() == ["life"]
    assert [one["id"] for one in json.loads(world.run("list", "--format", "json").stdout)] == ["life"]
    world.end("life")
    assert world.status("life")["status"] == "stopped"
    world.run("delete", "life")
    assert not (world.state / "life").exists()


def test_state_must_fail_without_or_with_an_unknown_id(world: World) -> None:
    world.refused("state")
    assert _MISSING.search(world.refused("state", "nobody"))


def test_the_oci_version_is_that_of_the_document(our_world: World) -> None:
    our_world.create("old", "true")
    assert our_world.status("old")["ociVersion"] == "1.0.2"


def test_create_must_fail_without_an_id(world: World) -> None:
    world.write("true")
    world.refused("create", "--bundle", str(world.bundle))


def test_create_must_refuse_an_id_that_is_taken(world: World) -> None:
    world.create("twice", "true")
    pid = world.status("twice")["pid"]
    world.create("twice", "true", status=1)
    assert (world.status("twice")["status"], world.status("twice")["pid"]) == ("created", pid)


@pytest.mark.parametrize("name", ["a/b", "..", "", "sp ace"])
def test_create_must_refuse_an_id_that_is_not_valid(world: World, name: str) -> None:
    if world.runtime.name == "crun" and name == "sp ace":
        pytest.skip("crun takes it")
    world.create(name, "true", status=1)


def test_create_must_fail_without_a_bundle(world: World) -> None:
    world.refused("create", "--bundle", str(world.folder / "none"), "lost")
    assert _MISSING.search(world.refused("state", "lost"))


def test_a_failed_create_leaves_nothing(world: World) -> None:
    world.linux["cgroupsPath"] = f"/sandcell-test-{os.getpid()}"
    world.create("lost", "/no/such/program", status=None)
    world.run("delete", "--force", "lost", status=None)
    world.mount("/no/such/source", "/here", "bind")
    world.create("lost", "true", status=1)
    assert _MISSING.search(world.refused("state", "lost"))
    assert not Path(f"/sys/fs/cgroup/memory/sandcell-test-{os.getpid()}").exists()


def test_a_missing_program_fails_with_the_status_of_a_shell(our_world: World) -> None:
    name = f"lost-{os.getpid()}"  # its group has that name for everybody on this machine
    assert "No such file" in our_world.create(name, "/no/such/program", status=127)
    assert not (our_world.state / name).exists()
    assert not list(Path("/sys/fs/cgroup").glob(f"*/sandcell-oci/{name}"))


def test_user_code_must_not_run_before_start(world: World) -> None:
    world.mount(world.folder, "/out", "bind", "rw")
    world.create("late", "touch", "/out/ran")
    assert not (world.folder / "ran").exists()
    world.run("start", "late")
    world.gone(world.status("late")["pid"])
    assert (world.folder / "ran").exists()


def test_changes_of_the_document_after_create_must_have_no_effect(world: World) -> None:
    world.mount(world.folder, "/out", "bind", "rw")
    world.create("fixed", "sh", "-c", "echo first > /out/which")
    world.write("sh", "-c", "echo second > /out/which")
    world.run("start", "fixed")
    world.gone(world.status("fixed")["pid"])
    assert (world.folder / "which").read_text() == "first\n"


def test_start_must_fail_unless_created(world: World) -> None:
    world.refused("start")
    world.refused("start", "nobody")
    world.create("once", "sleep", "100")
    world.run("start", "once")
    pid = world.status("once")["pid"]
    world.refused("start", "once")
    assert (world.status("once")["status"], world.status("once")["pid"]) == ("running", pid)
    world.end("once")
    world.refused("start", "once")
    assert world.status("once")["status"] == "stopped"


def test_a_process_is_required_when_start_is_called(our_world: World) -> None:
    process = our_world.config.pop("process")
    our_world.create("empty")
    assert our_world.status("empty")["status"] == "created"
    assert "no process" in our_world.refused("start", "empty")
    our_world.end("empty")
    our_world.run("delete", "empty")
    our_world.config["process"] = process


def test_kill_must_send_the_signal(world: World) -> None:
    world.refused("kill")
    world.refused("kill", "nobody", "TERM")
    world.mount(world.folder, "/out", "bind", "rw")
    script = 'for s in USR1 HUP TERM; do trap "echo $s >> /out/got" $s; done; : > /out/ready; '
    script += "while :; do sleep 100 & wait; done"
    world.create("trapped", "sh", "-c", script)
    world.run("start", "trapped")
    got = world.folder / "got"
    world.until(lambda: (world.folder / "ready").exists())
    for word, name in (("USR1", "USR1"), ("SIGHUP", "HUP"), ("15", "TERM")):
        world.run("kill", "trapped", word)
        world.until(lambda name=name: got.exists() and name in got.read_text().split())
    world.end("trapped")


def test_kill_of_a_stopped_container_must_fail(world: World) -> None:
    world.create("dead", "true")
    pid = world.status("dead")["pid"]
    world.run("start", "dead")
    world.gone(pid)
    world.refused("kill", "dead", "TERM")
    assert world.status("dead")["status"] == "stopped"


def test_kill_of_a_created_container_ends_it(world: World) -> None:
    world.create("young", "true")
    world.end("young")
    assert world.status("young")["status"] == "stopped"


def test_kill_all_reaches_every_process(world: World) -> None:
    world.create("many", "sh", "-c", "sleep 100 & sleep 100 & wait")
    world.run("start", "many")
    world.until(lambda: len(json.loads(world.run("ps", "--format", "json", "many").stdout)) == 3)
    pid = world.status("many")["pid"]
    world.run("kill", "--all", "many", "KILL")
    world.gone(pid)
    assert world.status("many")["status"] == "stopped"


def test_delete_must_fail_unless_stopped(our_world: World) -> None:
    # Those of Debian delete what is created and was never started.
    our_world.refused("delete")
    our_world.refused("delete", "nobody")
    our_world.create("alive", "sleep", "100")
    pid = our_world.status("alive")["pid"]
    assert "is created, not stopped" in our_world.refused("delete", "alive")
    our_world.run("start", "alive")
    assert "is running, not stopped" in our_world.refused("delete", "alive")
    assert (our_world.status("alive")["status"], our_world.status("alive")["pid"]) == ("running", pid)


def test_delete_must_remove_what_create_made_and_nothing_else(world: World) -> None:
    path = f"/sandcell-test-{os.getpid()}"
    group = Path(f"/sys/fs/cgroup/memory{path}")
    if not group.parent.joinpath("memory.limit_in_bytes").exists():
        pytest.skip("no control groups of version 1 here")
    world.linux["cgroupsPath"] = path
    world.create("gone", "sleep", "100")
    pid = world.status("gone")["pid"]
    assert str(pid) in (group / "cgroup.procs").read_text().split()
    world.run("delete", "--force", "gone")
    assert not group.exists() and not alive(pid)
    world.create("gone", "true")  # its id can be used again
    assert world.root.is_dir() and world.status("gone")["status"] == "created"


def test_delete_force_of_nobody_is_no_error(world: World) -> None:
    if world.runtime.name == "crun":
        pytest.skip("crun of Debian 12 fails")
    world.run("delete", "--force", "nobody")


def test_a_group_that_stood_before_must_not_be_deleted(our_world: World) -> None:
    place = Path(f"/sys/fs/cgroup/pids/sandcell-test-{os.getpid()}")
    if not place.parent.is_dir():
        pytest.skip("no control groups of version 1 here")
    trees = [tree for tree in Path("/sys/fs/cgroup").iterdir() if (tree / "cgroup.procs").exists()]
    for tree in trees:
        if tree.name not in ("unified", "systemd", "cpuset"):
            (tree / place.name).mkdir()
    try:
        our_world.linux["cgroupsPath"] = place.name
        our_world.output("true")
        assert place.is_dir()
    finally:
        for tree in trees:
            if (tree / place.name).is_dir():
                (tree / place.name).rmdir()


def test_a_create_that_was_killed_can_be_deleted(our_world: World) -> None:
    path = f"/sandcell-killed-{os.getpid()}"
    our_world.linux["cgroupsPath"] = path
    our_world.config["hooks"] = {
        "createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", "kill -9 $PPID"]}]
    }
    our_world.create("cut", "true", status=1)
    assert our_world.status("cut")["status"] == "stopped"
    our_world.run("delete", "--force", "cut")
    assert not list(Path("/sys/fs/cgroup").glob(f"*{path}"))
    our_world.refused("state", "cut")


def test_exec_takes_a_process_document_and_options(world: World) -> None:
    world.create("host", "sleep", "100")
    world.run("start", "host")
    document = {
        "args": ["/bin/sh", "-c", "echo $A; id -u; pwd; cat"],
        "env": ["A=1", "PATH=/usr/bin"],
        "cwd": "/etc",
        "user": {"uid": 9, "gid": 9},
    }
    path = world.folder / "process.json"
    path.write_text(json.dumps(document))
    done = world.run("exec", "--process", str(path), "host", given="typed")
    assert done.stdout.split() == ["1", "9", "/etc", "typed"]
    words = (
        "--cwd",
        "/tmp",
        "--env",
        "B=2",
        "--user",
        "3:4",
        "host",
        "/bin/sh",
        "-c",
        "echo $B; id -u; id -g; pwd",
    )
    assert world.run("exec", *words).stdout.split() == ["2", "3", "4", "/tmp"]
    assert world.run("exec", "host", "sh", "-c", "kill -9 $$", status=128 + signal.SIGKILL).stdout == ""
    assert world.run("exec", "host", "/no/such", status=None).returncode != 0
    world.end("host")
    world.refused("exec", "host", "true")


def test_exec_of_what_does_not_exist_gives_the_status_of_a_shell(our_world: World) -> None:
    our_world.create("host", "sleep", "100")
    our_world.run("start", "host")
    our_world.run("exec", "host", "/no/such", status=127)
    our_world.run("exec", "host", "/etc", status=126)
    words = ("--cap", "CAP_KILL", "--no-new-privs", "host", "grep", "-E", "CapEff|NoNew", "/proc/self/status")
    assert our_world.run("exec", *words).stdout.split() == ["CapEff:", f"{1 << 5:016x}", "NoNewPrivs:", "1"]


def test_descriptors_are_preserved_when_asked_for(our_world: World) -> None:
    given = our_world.folder / "given"
    argv = ("sh", "-c", 'exec 3>"$0" 4>"$0.more"; exec "$@"', str(given), *our_world.runtime.argv)
    our_world.runtime = our_world.runtime._replace(argv=argv)
    our_world.write("sh", "-c", "echo through >&3; ls /proc/self/fd")
    done = our_world.run("run", "--preserve-fds", "1", "--bundle", str(our_world.bundle), "kept")
    assert given.read_text() == "through\n"
    assert "4" not in done.stdout.split()[:4] or done.stdout.split() == ["0", "1", "2", "3", "4"]


def test_run_detached_and_kept(our_world: World) -> None:
    our_world.create("away", "sleep", "100", verb=("run", "--detach"))
    assert our_world.status("away")["status"] == "running"
    our_world.write("sh", "-c", "exit 3")
    our_world.run("run", "--keep", "--bundle", str(our_world.bundle), "kept", status=3)
    assert our_world.status("kept")["status"] == "stopped"
    our_world.run("delete", "kept")


def test_namespaces_are_new_joined_or_the_runtimes(world: World) -> None:
    world.linux["namespaces"].append({"type": "cgroup"})
    world.create("other", "sleep", "100")
    pid = world.status("other")["pid"]
    for name in ("pid", "net", "ipc", "uts", "mnt", "cgroup"):
        assert os.readlink(f"/proc/{pid}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}"), name
    world.linux["namespaces"] = [
        {"type": "mount"},
        {"type": "network", "path": f"/proc/{pid}/ns/net"},
        {"type": "uts", "path": f"/proc/{pid}/ns/uts"},
        {"type": "ipc", "path": f"/proc/{pid}/ns/ipc"},
        {"type": "pid", "path": f"/proc/{pid}/ns/pid"},
    ]
    told = world.facts()["namespaces"]
    for name in ("net", "uts", "ipc", "pid"):
        assert told[name] == os.readlink(f"/proc/{pid}/ns/{name}"), name
    for name in ("cgroup", "user"):
        assert told[name] == os.readlink(f"/proc/self/ns/{name}"), name


def test_a_path_of_another_kind_of_namespace_must_fail(world: World) -> None:
    world.without("ipc")
    world.linux["namespaces"].append({"type": "ipc", "path": "/proc/self/ns/uts"})
    world.create("wrong", "true", status=1)


def test_a_time_namespace_has_its_offsets(our_world: World) -> None:
    our_world.config["ociVersion"] = "1.2.0"
    our_world.linux["namespaces"].append({"type": "time"})
    our_world.linux["timeOffsets"] = {"boottime": {"secs": 1000000}, "monotonic": {"secs": 5, "nanosecs": 6}}
    told = our_world.output("cat", "/proc/uptime", "/proc/self/timens_offsets").split()
    assert float(told[0]) > 1000000
    assert told[2:] == ["monotonic", "5", "6", "boottime", "1000000", "0"]


def test_documents_are_what_the_schemas_ask_for(our_world: World) -> None:
    our_world.create("documents", "sleep", "100")
    for status in ("created", "stopped"):
        state = our_world.status("documents")
        assert state["status"] == status
        check("runtime-spec", "state-schema.json", json.dumps(state).encode())
        our_world.run("kill", "documents", "KILL", status=None)
        our_world.gone(state["pid"])
    check("runtime-spec", "features-schema.json", our_world.run("features").stdout.encode())
    check("runtime-spec", "config-schema.json", json.dumps(our_world.config).encode())
    our_world.run("spec", "--rootless", "--bundle", str(our_world.folder))
    check("runtime-spec", "config-schema.json", (our_world.folder / "config.json").read_bytes())


def test_the_usual_global_options_are_understood(our_world: World) -> None:
    log = our_world.folder / "log.json"
    words = ("--debug", "--log", str(log), "--log-format", "json", "--rootless", "false")
    our_world.refused(*words, "--cgroup-manager", "cgroupfs", "state", "nobody")
    assert json.loads(log.read_text())["level"] == "error"
    assert "sandcell-oci version" in our_world.run("--version").stdout


def test_a_terminal_in_the_foreground_is_that_of_the_command(our_world: World) -> None:
    our_world.process["terminal"] = True
    told = our_world.output("sh", "-c", "tty; echo typed")
    assert told.split() == ["/dev/pts/0", "typed"]


def test_several_are_killed_and_deleted_by_a_pattern(our_world: World) -> None:
    for name in ("many-1", "many-2", "other"):
        our_world.create(name, "sleep", "1000")
    pids = [our_world.status(name)["pid"] for name in ("many-1", "many-2")]
    our_world.run("kill", "--regex", "^many-", "KILL")
    for pid in pids:
        our_world.gone(pid)
    our_world.run("delete", "--regex", "^many-")
    assert our_world.run("list", "--quiet").stdout.split() == ["other"]
    assert "--regex '('" in our_world.refused("delete", "--regex", "(")


def test_a_console_socket_that_nobody_listens_at_fails(world: World) -> None:
    world.process["terminal"] = True
    place = world.folder / "nobody"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(place))
    listener.close()
    world.create("alone", "true", status=1, options=("--console-socket", str(place)))


def test_a_created_container_that_is_paused_is_started_when_it_is_resumed(our_world: World) -> None:
    our_world.create("still", "sleep", "60")
    our_world.run("pause", "still")
    assert our_world.status("still")["status"] == "paused"
    assert "it is paused, not created" in our_world.refused("start", "still")
    our_world.run("resume", "still")
    assert our_world.status("still")["status"] == "created"
    our_world.run("start", "still")
    assert our_world.status("still")["status"] == "running"


@pytest.mark.parametrize("arguments", [("state", "one", "two"), ("kill", "one", "TERM", "two")])
def test_a_word_too_many_is_an_error(our_world: World, arguments: tuple[str, ...]) -> None:
    assert "there is no place for 'two'" in our_world.refused(*arguments)


def test_a_log_format_that_there_is_not_is_an_error(our_world: World) -> None:
    assert "--log-format xml" in our_world.refused("--log-format", "xml", "--log", "/dev/null", "list")
