"""A first process of a few instructions: its bytes are what the sources say, and play what they are given."""

import errno
import os
import signal
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandcell.runtime.container import bare, compiled, room
from sandcell.runtime.container import steps as s
from sandcell.runtime.container.calls import ANY, Calls, Label, Room, Slot
from tests.container.assembled import assembled, program

_A, _B = room.A, room.B
_NOTHING = Room(room.PATH.offset)


@pytest.mark.peer("x86_64-linux-gnu-as")
def test_x86_64_is_what_its_source_says(tmp_path: Path) -> None:
    assert bare.code("x86_64") == assembled("bare", "x86_64", tmp_path)


@pytest.mark.peer("aarch64-linux-gnu-as")
def test_aarch64_is_what_its_source_says(tmp_path: Path) -> None:
    assert bare.code("aarch64") == assembled("bare", "aarch64", tmp_path)


class Player:
    """A child of ours that plays a list, and what came of it."""

    def __init__(self, calls: Calls) -> None:
        self.stage = bare.Stage()
        self.stage.add_plan(calls.encode())
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            pid, pidfd = self.stage.start(0, theirs.fileno())
            self.status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            os.close(pidfd)

    def slot(self, number: int) -> int:
        return self.stage.take(number)

    @property
    def failed(self) -> tuple[int, int] | None:
        return self.stage.failed(lambda: (s.NewSession(),))


def ending(calls: Calls) -> None:
    """Let the list end with an error that nobody expects."""
    calls.expect(0, 1, errno.EXFULL)


def test_results_lie_in_slots_and_operands_are_what_they_say() -> None:
    read, write = os.pipe()
    calls = Calls()
    calls.call("write", write, calls.text("hello"), 5, into=_A)
    calls.store(_NOTHING, Slot(_A))
    calls.load(_NOTHING, _B)
    calls.store(Room(_NOTHING.offset + 8), calls.data(struct.pack("<i", 77)))
    ending(calls)
    done = Player(calls)
    assert os.read(read, 9) == b"hello"
    assert (done.status, done.failed) == (125, (0, errno.EXFULL))
    assert (done.slot(_A), done.slot(_B)) == (5, 5)
    for fd in (read, write):
        os.close(fd)
    done.stage.close()


def test_expected_errors_go_on_elsewhere_and_others_end_it() -> None:
    calls, one, two, three = Calls(), Label(), Label(), Label()
    calls.call("close", 999, into=_A, after={errno.ENOENT: three, errno.EBADF: one})
    ending(calls)
    calls.place(one)
    calls.call("chdir", calls.text("/nowhere"), after={ANY: two})
    ending(calls)
    calls.place(two)
    calls.expect(Slot(_A), 1, errno.EPROTO, after={errno.EPROTO: three})
    ending(calls)
    calls.place(three)
    calls.call("chdir", calls.text("/nowhere"), after={errno.EACCES: Label()})
    done = Player(calls)
    assert (done.status, done.failed) == (125, (0, errno.ENOENT))
    assert done.slot(_A) == 0, "a call that failed leaves its slot alone"
    done.stage.close()


def test_bits_are_compared_and_a_negative_number_is_an_error() -> None:
    calls, fits, end = Calls(), Label(), Label()
    calls.expect(0x12345678, 0x12 << 24, errno.EPROTO, mask=0xFF << 24, then=fits)
    ending(calls)
    calls.place(fits)
    calls.load(calls.data(struct.pack("<i", -1)), _A, after={errno.EPERM: end})
    ending(calls)
    calls.place(end)
    calls.load(calls.data(struct.pack("<i", 1 << 30)), _A)
    calls.expect(0, 1, Slot(_A), after={ANY: (last := Label())})
    calls.place(last)
    calls.load(calls.data(struct.pack("<i", errno.EDOM)), _A)
    calls.expect(0, 1, Slot(_A))
    done = Player(calls)
    assert done.failed == (0, errno.EDOM)
    done.stage.close()


def test_our_own_memory_and_handlers_are_as_they_were() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: heard.append(number))
    try:
        calls = Calls()
        ending(calls)
        for _ in range(50):
            Player(calls).stage.close()
        os.kill(os.getpid(), signal.SIGUSR1)
        assert heard == [signal.SIGUSR1]
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_there_is_an_end_to_the_room() -> None:
    stage = bare.Stage()
    with pytest.raises(OverflowError):
        stage.add(bytes(room.LONGEST + 8))
    stage.close()
    assert bare.stage(bytes(8), bytes(room.LONGEST)) is None, "then the interpreter plays it"


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    for name, mode in (("good", 0o755), ("shut", 0o644)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "program").write_text("#!/bin/sh\nls /proc/self/fd; kill -TERM $$\n")
        (tmp_path / name / "program").chmod(mode)
    yield tmp_path


def execute(*path: Path) -> tuple[int, tuple[int, int] | None, str]:
    """The exit status of ``program`` looked for in ``path``, which step failed and how, and what was said."""
    stage, null = bare.Stage(), os.open("/dev/null", os.O_RDWR)
    read, write = os.pipe()
    directories = ":".join(map(str, path))
    plan = (s.NewSession(), s.Execute(("program",), (f"PATH={directories}:/bin:/usr/bin", "A=b")))
    stage.add(compiled.beginning())
    stage.add_plan(compiled.calls_of(plan) or b"")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid, pidfd = stage.start(0, theirs.fileno(), streams=(null, write, null))
    for fd in (write, null, pidfd):
        os.close(fd)
    theirs.close()
    assert ours.recv(1) == b"", "the socket is closed by execve or by the end"
    with open(read, encoding="utf-8") as said:
        text = said.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert stage.executing
    failed = stage.failed(lambda: plan)
    stage.close()
    ours.close()
    return status, failed, text


def test_a_program_is_found_and_has_nothing_of_ours(tree: Path) -> None:
    status, failed, said = execute(tree / "none", tree / "shut", tree / "good")
    assert (status, failed) == (-signal.SIGTERM, None), "signals are as a shell leaves them"
    # One is sh's own of the script, one that of the listing.
    assert len(said.split()) <= 5
    assert said.split()[:3] == ["0", "1", "2"]


def test_what_may_not_be_executed_is_told_only_when_nothing_else_is_there(tree: Path) -> None:
    if os.geteuid() == 0:
        assert execute(tree / "shut")[:2] == (125, (1, errno.EACCES)), "root executes only what somebody may"
    assert execute(tree / "none", tree / "good/program")[:2] == (125, (1, errno.ENOENT))


def test_where_a_failure_was() -> None:
    plan = (s.NewSession(), s.Directory("/proc/nowhere/x"), s.WorkingDirectory("/"))
    whole = compiled.calls_of(plan)
    assert whole is not None
    parts = [len(compiled.calls_of((step,)) or b"") for step in plan]
    assert sum(parts) == len(whole)
    places = (0, parts[0] - 8, parts[0], sum(parts[:2]), len(whole) - 8)
    assert [compiled.step_at(plan, place) for place in places] == [0, 0, 1, 2, 2]


def test_a_plan_with_a_step_that_is_not_here_needs_the_interpreter() -> None:
    for step in (s.Console(), s.Reaper(), s.OomScore(5), s.RecordOwners(b"")):
        assert compiled.calls_of((s.NewSession(), step)) is None
    assert compiled.calls_of((s.NewSession(),), "riscv64") is None
    assert compiled.calls_of((s.WorkingDirectory("/a\0b"),)) is None
    assert compiled.calls_of((s.Execute(("x",), ("A=" + "b" * room.LONGEST,)),)) is None
    assert compiled.calls_of((s.OpenTree(room.TREES, "/x"),)) is None


def test_every_step_can_be_written_down_for_either_machine() -> None:
    plain: dict[type, s.Inside] = {
        s.AwaitIds: s.AwaitIds(0, 0),
        s.JoinNamespace: s.JoinNamespace("/proc/self/ns/net"),
        s.EnterCgroup: s.EnterCgroup(new_namespace=True),
        s.PrivateMounts: s.PrivateMounts(1 << 19),
        s.OpenTree: s.OpenTree(0, "/x", 6, recursive=True),
        s.OpenKernel: s.OpenKernel(1, "proc", "proc", 14, "hidepid=2,x"),
        s.MountOverlay: s.MountOverlay("/t", ("/" + "a" * 3000, "/" + "b" * 3000), "/u", "/w", False, False),
        s.BindRoot: s.BindRoot("/a", "/a"),
        s.PivotRoot: s.PivotRoot("/a"),
        s.Directory: s.Directory("/a/b/c"),
        s.Mount: s.Mount("tmpfs", "/a", "tmpfs", 0, "mode=755"),
        s.AttachTree: s.AttachTree(0, "/a/b"),
        s.Node: s.Node("/dev/null", 0o20666, 1, 3),
        s.Symlink: s.Symlink("a", "b"),
        s.Mask: s.Mask(("/a", "/b")),
        s.ReadOnly: s.ReadOnly(("/", "/b")),
        s.Hostname: s.Hostname("a", "b"),
        s.Sysctl: s.Sysctl("net.ipv4.ip_forward", "1"),
        s.ResourceLimit: s.ResourceLimit(7, 1, -1),
        s.Identity: s.Identity(5, 6, (7, 8), 0o22, 1 << 40, 1, 1, 1, 1, True, True),
        s.Filter: s.Filter(bytes(16), 4),
        s.WorkingDirectory: s.WorkingDirectory("/"),
        s.Execute: s.Execute(("a", "b"), ("PATH=/a:/b",)),
    }
    for kind in compiled.COMPILE:
        step = plain.get(kind) or kind()
        for machine in ("x86_64", "aarch64"):
            assert compiled.calls_of((step,), machine), (kind, machine)


def test_what_names_one_container_is_put_into_what_all_have_in_common() -> None:
    id = "ab" * 32
    for step in (
        s.OpenTree(3, f"/store/{id}/hosts", 6),
        s.MountOverlay("/t", ("/l,1", "/l:2"), f"/store/{id}/upper", f"/store/{id}/work", True, False),
        s.Hostname(id[:12], "domain"),
        s.Hostname("short"),
        s.Execute(("ls", id), (f"HOSTNAME={id[:12]}", "A=b", f"SANDCELL_EXEC={id}", "PATH=/a")),
        s.Execute(("ls",), ("HOSTNAME=x", "HOSTNAME=", "A")),
        s.Execute(("ls", "\1" * 12, "\1" * 40), (f"HOSTNAME={id[:12]}", f"HOSTNAME={id}")),
        s.Execute(("ls",), tuple(f"HOSTNAME={number:09}" for number in range(40))),
        s.OpenTree(3, "/with\\special:ones,", 6),
        s.OpenTree(3, "/ümläute", 6),
    ):
        direct = compiled._encoded(step, "")
        assert direct is not None
        for _ in range(2):
            assert compiled.calls_of((step,)) == direct
    assert compiled.calls_of((s.OpenTree(3, "/zero\0zero"),)) is None
    assert compiled.calls_of((s.OpenTree(3, "/no-bytes-\ud800-at-all"),)) is None


# Where the list lies in the emulated program: after the code, the stack and the slots.
_STUB = """
        .globl  _start
_start: ldr     x2, =slots
        mov     sp, x2
        ldr     x2, =list
        b       code + 16
code:   .incbin "{code}"
        .balign 4096
        .skip   1024
slots:  .skip   {calls}
list:   .incbin "{list}"
"""


@pytest.mark.slow
@pytest.mark.peer("qemu-aarch64")
@pytest.mark.peer("aarch64-linux-gnu-as")
def test_aarch64_does_the_same_where_it_can_be_emulated(tmp_path: Path) -> None:
    calls, first, second, end = Calls("aarch64"), Label(), Label(), Label()
    calls.call("write", 1, calls.text("one\n"), 4, into=_A)
    calls.expect(Slot(_A), 4, 1, mask=0xFF, then=first)
    calls.place(first)
    calls.call("close", 99, after={1: end, 2: end, errno.EBADF: second})
    calls.place(second)
    calls.store(_NOTHING, calls.data(b"two\n"))
    calls.load(_NOTHING, _B)
    calls.call("write", 1, _NOTHING, 8, into=_B)
    calls.load(calls.data(struct.pack("<i", -1)), _B, after={errno.EPERM: end})
    calls.call("write", 1, calls.text("never"), 5)
    calls.place(end)
    calls.call("execve", calls.text("/nowhere"), 0, 0)
    (tmp_path / "list").write_bytes(calls.encode())
    (tmp_path / "code").write_bytes(bare.code("aarch64"))
    source = _STUB.format(calls=room.CALLS, code=tmp_path / "code", list=tmp_path / "list")
    made = program(source, "aarch64", tmp_path)
    done = subprocess.run(["qemu-aarch64", made], capture_output=True, timeout=60)
    assert done.returncode == 125, done
    assert done.stdout.startswith(b"one\n")
    assert len(done.stdout) == 12
