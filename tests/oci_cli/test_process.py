"""config.md, "Process": one container asks for everything, and each MUST looks at its part."""

import resource
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.oci_cli.runtimes import Runtime
from tests.oci_cli.world import World

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

CHOWN, KILL, BIND, ADMIN = 1 << 0, 1 << 5, 1 << 10, 1 << 21
ENTRIES = ("CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE")


def ask_for_everything(world: World) -> None:
    """The fullest process that all runtimes can make."""
    world.config["hostname"] = "called"
    world.process.update(
        {
            "cwd": "/tmp/made/here",
            "env": ["PATH=/usr/bin:/bin", "ONE=1", "EMPTY=", "SAYS=a=b c"],
            "user": {"uid": 5, "gid": 6, "additionalGids": [7, 8], "umask": 0o27},
            "capabilities": {
                "bounding": [*ENTRIES, "CAP_SYS_ADMIN"],
                "permitted": list(ENTRIES),
                "effective": ["CAP_CHOWN", "CAP_KILL"],
                "inheritable": list(ENTRIES),
                "ambient": ["CAP_KILL", "CAP_NET_BIND_SERVICE"],
            },
            "rlimits": [
                {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
                {"type": "RLIMIT_CORE", "soft": 0, "hard": 1 << 20},
                {"type": "RLIMIT_MSGQUEUE", "soft": 1000, "hard": 2000},
                {"type": "RLIMIT_FSIZE", "soft": (1 << 64) - 1, "hard": (1 << 64) - 1},
            ],
            "oomScoreAdj": 123,
            "noNewPrivileges": True,
        }
    )
    world.linux["sysctl"] = {"net.ipv4.ip_forward": "1", "kernel.shmmni": "1234"}


@pytest.fixture(scope="module")
def told(runtime: Runtime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the process of that container says of itself."""
    world = World(tmp_path_factory.mktemp("p"), runtime)
    ask_for_everything(world)
    yield world.facts("net.ipv4.ip_forward", "kernel.shmmni", "and an argument", "")
    world.close()


def test_args_are_those_of_execvp(told: dict[str, Any]) -> None:
    assert told["args"] == ["net.ipv4.ip_forward", "kernel.shmmni", "and an argument", ""]


def test_cwd_must_be_the_working_directory_and_is_made(told: dict[str, Any]) -> None:
    assert told["cwd"] == "/tmp/made/here"


def test_env_has_the_semantics_of_environ(told: dict[str, Any]) -> None:
    env = {"PATH": "/usr/bin:/bin", "ONE": "1", "EMPTY": "", "SAYS": "a=b c"}
    assert {name: told["env"].get(name) for name in env} == env


def test_user_group_and_additional_groups(told: dict[str, Any]) -> None:
    uid, gid, groups = told["ids"]
    assert (uid, gid, {7, 8} <= set(groups) <= {6, 7, 8}) == (5, 6, True)


def test_umask(told: dict[str, Any]) -> None:
    assert told["umask"] == 0o27


def test_capabilities_of_each_set(told: dict[str, Any]) -> None:
    # Another user's program keeps what is ambient; permitted and effective are made of it by execve.
    assert told["caps"] == {
        "Bnd": CHOWN | KILL | BIND | ADMIN,
        "Inh": CHOWN | KILL | BIND,
        "Prm": KILL | BIND,
        "Eff": KILL | BIND,
        "Amb": KILL | BIND,
    }


def test_rlimits_must_match(told: dict[str, Any]) -> None:
    assert told["rlimits"]["RLIMIT_NOFILE"] == [100, 200]
    assert told["rlimits"]["RLIMIT_CORE"] == [0, 1 << 20]
    assert told["rlimits"]["RLIMIT_MSGQUEUE"] == [1000, 2000]
    assert told["rlimits"]["RLIMIT_FSIZE"] == [resource.RLIM_INFINITY] * 2


def test_oom_score_adj_must_be_set(told: dict[str, Any]) -> None:
    assert told["oom"] == "123"


def test_no_new_privileges(told: dict[str, Any]) -> None:
    assert told["no_new_privs"] == "1"


def test_hostname(told: dict[str, Any]) -> None:
    assert told["names"][0] == "called"


def test_sysctl(told: dict[str, Any]) -> None:
    assert told["sysctl"] == {"net.ipv4.ip_forward": ["1"], "kernel.shmmni": ["1234"]}


def test_no_descriptor_of_the_runtime_is_left_open(told: dict[str, Any]) -> None:
    assert told["fds"] == [0, 1, 2]


def test_the_first_process_is_pid_1(told: dict[str, Any]) -> None:
    assert told["pid"] == 1


def test_what_is_not_asked_for_stays_as_it_was(world: World) -> None:
    told = world.facts()
    own = Path("/proc/self/oom_score_adj").read_text().strip()
    assert (told["oom"], told["no_new_privs"], told["terminal"]) == (own, "0", [False] * 3)
    assert told["caps"] == dict.fromkeys(("Inh", "Prm", "Eff", "Bnd", "Amb"), 0)


def test_an_unknown_rlimit_must_generate_an_error(world: World) -> None:
    world.process["rlimits"] = [{"type": "RLIMIT_OF_MINE", "soft": 1, "hard": 1}]
    world.create("limited", "true", status=1)
    if world.runtime.name != "crun":  # that of Debian 12 leaves it
        assert "does not exist" in world.refused("state", "limited")


def test_an_unknown_personality_must_generate_an_error(world: World) -> None:
    if world.runtime.name == "runc":
        pytest.skip("runc of Debian 12 knows none")
    world.linux["personality"] = {"domain": "PLAN9"}
    world.create("other", "true", status=1)


def test_capabilities_that_cannot_be_granted_are_warned_of_and_do_not_fail(our_world: World) -> None:
    log = our_world.folder / "log"
    our_world.config["ociVersion"] = "1.1.0"
    our_world.process["capabilities"] = {
        "bounding": ["CAP_KILL", "CAP_NOBODY_HAS"],
        "permitted": ["CAP_KILL"],
        "effective": ["CAP_KILL", "CAP_CHOWN"],
        "ambient": ["CAP_KILL"],
    }
    our_world.write("true")
    our_world.run("--log", str(log), "--log-format=json", "run", "--bundle", str(our_world.bundle), "few")
    text = log.read_text()
    for words in ("bounding capabilities, as unknown: CAP_NOBODY_HAS", "not permitted: CAP_CHOWN"):
        assert words in text
    assert '"level":"warning"' in text and "not inheritable: CAP_KILL" in text


def test_the_newer_properties_of_a_process(our_world: World) -> None:
    our_world.config["ociVersion"] = "1.3.0"
    our_world.config["domainname"] = "of.the.host"
    our_world.process["scheduler"] = {"policy": "SCHED_BATCH", "nice": 5}
    our_world.process["ioPriority"] = {"class": "IOPRIO_CLASS_BE", "priority": 6}
    our_world.process["execCPUAffinity"] = {"initial": "0", "final": "0"}
    our_world.linux["personality"] = {"domain": "LINUX32"}
    told = our_world.facts()
    assert told["names"][1:] == ["of.the.host", "i686" if told["names"][2] != "armv8l" else "armv8l"]
    assert told["scheduler"] == [3, 5]
    assert told["ioprio"] == 2 << 13 | 6


def test_exec_has_the_affinity_that_is_asked_for(our_world: World) -> None:
    our_world.create("bound", "sleep", "100")
    our_world.run("start", "bound")
    process = '{"args": ["cat", "/proc/self/status"], "cwd": "/", "user": {"uid": 0, "gid": 0}, '
    process += '"env": ["PATH=/usr/bin"], "execCPUAffinity": {"initial": "0", "final": "0"}}'
    (our_world.folder / "process").write_text(process)
    told = our_world.run("exec", "--process", str(our_world.folder / "process"), "bound").stdout
    assert "Cpus_allowed_list:\t0\n" in told


def test_a_terminal_is_attached_and_given_to_the_console_socket(world: World) -> None:
    world.process["terminal"] = True
    world.process["consoleSize"] = {"height": 11, "width": 22}
    place = world.folder / "console"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(place))
    listener.listen()
    script = "test -t 0 -a -t 1 -a -t 2 -a -c /dev/console && stty size && tty"
    world.create("tty", "sh", "-c", script, options=("--console-socket", str(place)))
    listener.settimeout(30)
    channel, _ = listener.accept()
    _, fds, _, _ = socket.recv_fds(channel, 4096, 1)
    world.run("start", "tty")
    with open(fds[0], "rb", buffering=0) as terminal:
        text = b""
        while b"/dev/" not in text or not text.endswith(b"\n"):
            text += terminal.read(1000) or b""
    assert text.split()[:3] == [b"11", b"22", b"/dev/pts/0"]
