"""config-linux.md, "Seccomp": actions, arguments, architectures, flags, and the agent that is asked."""

import array
import fcntl
import json
import os
import platform
import signal
import socket
import struct
from collections.abc import Sequence
from typing import Any

import pytest

from tests.oci_cli.world import World

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.slow,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="its numbers are those of x86-64"),
]

SYSINFO, GETPPID, GETPGID = 99, 110, 121


def ask(world: World, *rules: dict[str, Any], code: str, **more: object) -> str:
    """What a program prints that runs below these rules, everything else being allowed."""
    world.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": list(rules), **more}
    # runc of Debian 12 panics without.
    world.process.setdefault("noNewPrivileges", world.runtime.name == "runc")
    begin = "import ctypes, os; libc = ctypes.CDLL(None, use_errno=True); "
    begin += "call = lambda *n: -ctypes.get_errno() if libc.syscall(*n) < 0 else 'done'\n"
    return world.output("/usr/bin/python3", "-ISc", begin + code).strip()


def rule(action: str, *names: str, **more: object) -> dict[str, Any]:
    """One entry of ``syscalls``."""
    return {"names": list(names), "action": f"SCMP_ACT_{action}", **more}


@pytest.mark.parametrize("no_new_privileges", [False, True])
def test_errno_and_its_number(world: World, no_new_privileges: bool) -> None:
    if world.runtime.name == "runc" and not no_new_privileges:
        pytest.skip("runc of Debian 12 panics")
    world.process["noNewPrivileges"] = no_new_privileges
    rules = [rule("ERRNO", "getppid"), rule("ERRNO", "sysinfo", errnoRet=77), rule("ERRNO", "no_such_call")]
    told = ask(world, *rules, code=f"print(call({GETPPID}), call({SYSINFO}, 0), call({GETPGID}, 0))")
    assert told == "-1 -77 done"


def test_conditions_on_arguments_must_all_hold(world: World) -> None:
    args = [
        {"index": 0, "value": 5, "op": "SCMP_CMP_GE"},
        {"index": 1, "value": 0xF0, "valueTwo": 0x10, "op": "SCMP_CMP_MASKED_EQ"},
    ]
    code = f"print(call({GETPPID}, 5, 0x1f), call({GETPPID}, 4, 0x1f), call({GETPPID}, 5, 0x2f))"
    assert ask(world, rule("ERRNO", "getppid", args=args), code=code) == "-1 done done"


def test_the_machines_own_calls_are_filtered_whatever_is_listed(world: World) -> None:
    architectures = ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    told = ask(world, rule("ERRNO", "getppid"), code=f"print(call({GETPPID}))", architectures=architectures)
    assert told == "-1"


def test_architectures_of_other_machines_are_valid(our_world: World) -> None:
    architectures = ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64", "SCMP_ARCH_S390X"]
    told = ask(
        our_world, rule("ERRNO", "getppid"), code=f"print(call({GETPPID}))", architectures=architectures
    )
    assert told == "-1"


@pytest.mark.parametrize(
    ("action", "number"), [("KILL_PROCESS", signal.SIGSYS), ("TRAP", signal.SIGSYS), ("KILL", signal.SIGSYS)]
)
def test_actions_that_end_the_program(world: World, action: str, number: int) -> None:
    world.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule(action, "sysinfo")]}
    code = f"import ctypes; ctypes.CDLL(None).syscall({SYSINFO}, 0)"
    world.write("/usr/bin/python3", "-ISc", code)
    world.run("run", "--bundle", str(world.bundle), "killed", status=128 + number)


def test_trace_without_a_tracer_and_log(world: World) -> None:
    rules = [rule("TRACE", "getppid", errnoRet=5), rule("LOG", "sysinfo")]
    assert ask(world, *rules, code=f"print(call({GETPPID}), call({SYSINFO}, 0))") == "-38 -14"


def test_a_list_of_what_is_allowed(our_world: World) -> None:
    # Nothing that the runtime itself needs while it waits: only the program's own calls.
    names = (
        "execve brk mmap munmap mprotect arch_prctl set_tid_address set_robust_list rseq prlimit64 getrandom "
    )
    names += "openat newfstatat fstat read pread64 write close access exit_group capset fadvise64"
    our_world.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 42,
        "syscalls": [rule("ALLOW", *names.split())],
    }
    assert our_world.output("cat", "/proc/sys/kernel/ostype") == "Linux\n"


def test_flags(our_world: World) -> None:
    flags = ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC"]
    told = ask(our_world, rule("ERRNO", "getppid"), code=f"print(call({GETPPID}))", flags=flags)
    assert told == "-1"


_RECEIVE, _SEND = 0xC0502100, 0xC0182101  # SECCOMP_IOCTL_NOTIF_…: seccomp_unotify(2)


@pytest.mark.parametrize("no_new_privileges", [False, True])
def test_notify_asks_the_agent(our_world: World, no_new_privileges: bool) -> None:
    place = our_world.folder / "agent"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(place))
    listener.listen()
    listener.settimeout(30)
    our_world.process["noNewPrivileges"] = no_new_privileges
    our_world.config["annotations"] = {"a": "b"}
    our_world.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": str(place),
        "listenerMetadata": 'some "data"\n',
        "syscalls": [rule("NOTIFY", "getppid")],
    }
    our_world.create("asks", "/usr/bin/python3", "-ISc", "import os; print('told', os.getppid())")
    channel, _ = listener.accept()
    our_world.run("start", "asks")
    message, (agent,) = _received(channel)
    assert (message["fds"], message["metadata"]) == (["seccompFd"], 'some "data"\n')
    assert message["pid"] == message["state"]["pid"]
    assert (message["ociVersion"], message["state"]["id"]) == ("1.0.2", "asks")
    asked = array.array("B", bytes(80))
    fcntl.ioctl(agent, _RECEIVE, asked)
    identifier, _, _, number = struct.unpack_from("QIIi", asked)
    assert number == GETPPID
    fcntl.ioctl(agent, _SEND, struct.pack("QqiI", identifier, 4711, 0, 0))
    our_world.until(lambda: "told 4711" in our_world.said())
    os.close(agent)
    listener.close()


def _received(channel: socket.socket) -> tuple[dict[str, Any], Sequence[int]]:
    """One message until the connection is closed, and its descriptors."""
    text, fds, _, _ = socket.recv_fds(channel, 65536, 4)
    while part := channel.recv(65536):
        text += part
    return json.loads(text), fds


def test_notify_without_a_listener_path_must_generate_an_error(our_world: World) -> None:
    rule = {"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}
    our_world.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    assert "needs a listenerPath" in our_world.create("unheard", "true", status=1)


def test_an_agent_that_is_not_there_must_fail(our_world: World) -> None:
    our_world.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": str(our_world.folder / "nobody"),
        "syscalls": [rule("NOTIFY", "getppid")],
    }
    assert "reach seccomp agent" in our_world.create("alone", "true", status=1)
