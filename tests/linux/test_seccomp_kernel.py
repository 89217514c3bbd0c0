"""Filters that a real kernel holds a child to."""

import ctypes
import errno
import mmap
import os
import signal

import pytest

from sandcell.runtime.linux.process import PR_SET_NO_NEW_PRIVS, prctl
from sandcell.runtime.linux.seccomp import Action, Arg, Rule, compile_filter
from sandcell.runtime.linux.seccomp_load import FILTER_FLAGS, install
from sandcell.runtime.linux.syscall import MACHINE, libc
from sandcell.runtime.linux.syscalls_table import X32_BIT, numbers

from .child import Died, in_child

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(MACHINE not in ("x86_64", "aarch64"), reason=f"no table for {MACHINE}"),
]
FAMILIES = ("x86_64", "i386", "x32") if MACHINE == "x86_64" else ("aarch64", "arm")


def errno_of(number: int, *args: int) -> int:
    """Make the call; 0 when it succeeds."""
    ctypes.set_errno(0)
    given = [ctypes.c_ulong(arg) for arg in args]
    return ctypes.get_errno() if libc.syscall(ctypes.c_long(number), *given) == -1 else 0


def under(default: Action, rules: list[Rule], *calls: tuple[int, ...], flags: int = 0) -> list[int]:
    """The errno of each call made under the filter."""
    program = compile_filter(default, errno.EACCES, rules, FAMILIES)

    def attempt() -> list[int]:
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        install(program, flags)
        return [errno_of(*call) for call in calls]

    answer: list[int] = in_child(attempt)
    return answer


def nr(name: str) -> int:
    return numbers(MACHINE)[name]


ALL = tuple(numbers(MACHINE))


def test_calls_get_the_answers_of_the_rules() -> None:
    rules = [
        Rule(("mkdirat",), Action.ERRNO, errno.EPERM),
        Rule(("getppid",), Action.ERRNO, errno.ENOSYS),
        Rule(tuple(name for name in ALL if name != "acct"), Action.ALLOW),
    ]
    calls = [(nr(name),) for name in ("getpid", "mkdirat", "getppid", "acct")]
    got = under(Action.ERRNO, rules, *calls, (460 + 100,), (X32_BIT - 1,))
    assert got == [0, errno.EPERM, errno.ENOSYS, errno.EACCES, errno.ENOSYS, errno.ENOSYS]


def test_conditions_see_the_arguments() -> None:
    """dup of a descriptor above 2**31 or of exactly 1 is refused; F_GETFD passes only on even ones."""
    rules = [
        Rule(("dup",), Action.ERRNO, errno.ETXTBSY, (Arg(0, "GT", 0x7FFFFFFF),)),
        Rule(("dup",), Action.ERRNO, errno.ENOTTY, (Arg(0, "EQ", 1),)),
        Rule(("fcntl",), Action.ERRNO, errno.EDOM, (Arg(1, "EQ", 1), Arg(0, "MASKED_EQ", 1, 1))),
        Rule(ALL, Action.ALLOW),
    ]
    calls = [(nr("dup"), 0), (nr("dup"), 1), (nr("dup"), 1 << 40), (nr("fcntl"), 0, 1), (nr("fcntl"), 1, 1)]
    got = under(Action.ERRNO, rules, *calls, (nr("fcntl"), 1, 3))
    assert got == [0, errno.ENOTTY, errno.ETXTBSY, 0, errno.EDOM, 0]


@pytest.mark.parametrize(
    ("action", "signum"), [(Action.KILL_PROCESS, signal.SIGSYS), (Action.TRAP, signal.SIGSYS)]
)
def test_a_call_that_kills(action: Action, signum: int) -> None:
    rules = [Rule(("getppid",), action), Rule(ALL, Action.ALLOW)]
    with pytest.raises(Died) as died:
        under(Action.ERRNO, rules, (nr("getppid"),))
    assert died.value.status == -signum


def test_a_listener_comes_back_when_asked_for() -> None:
    program = compile_filter(Action.ALLOW, 0, [Rule(("chown",), Action.USER_NOTIF)], FAMILIES)

    def attempt() -> str:
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        return os.readlink(f"/proc/self/fd/{install(program, FILTER_FLAGS['NEW_LISTENER'])}")

    assert "seccomp notify" in in_child(attempt)


def test_a_bad_program_is_refused_and_nothing_installed() -> None:
    def attempt() -> list[int]:
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        try:
            install(b"\x20\x00\x00\x00\x04\x00\x00\x00")
        except OSError as error:
            return [error.errno or 0, errno_of(nr("getpid"))]
        return []

    assert in_child(attempt) == [errno.EINVAL, 0]


def test_the_largest_filter_the_kernel_takes() -> None:
    """Long jumps and all: every second call has its own answer and condition."""
    rules = [
        Rule((name,), Action.ERRNO, place + 1, (Arg(5, "GT", place << 30),))
        for place, name in enumerate(sorted(numbers(FAMILIES[1]))[::2])
    ]
    assert under(Action.ALLOW, rules, (nr("getpid"),)) == [0]


@pytest.mark.skipif(MACHINE != "x86_64", reason="the other entries of x86")
def test_the_32_bit_and_x32_entries_are_filtered_too() -> None:
    """mkdir and getpid through int 0x80, and with the x32 bit. The numbers mean other calls there."""
    refusing = [Rule(("mkdir",), Action.ERRNO, errno.EXDEV), Rule(ALL, Action.ALLOW)]
    program = compile_filter(Action.ERRNO, errno.EACCES, refusing, FAMILIES)
    i386 = numbers("i386")

    def attempt() -> list[int]:
        # push rbx; mov eax, edi; xor ebx, ebx; xor ecx, ecx; int 0x80; pop rbx; ret
        code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        code.write(bytes.fromhex("53 89f8 31db 31c9 cd80 5b c3"))
        address = ctypes.addressof(ctypes.c_char.from_buffer(code))
        enter = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(address)
        if enter(i386["getpid"]) != os.getpid():
            return []
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        install(program)
        x32 = errno_of(X32_BIT | numbers("x32")["mkdir"], 0)
        return [enter(i386["getpid"]) - os.getpid(), -enter(i386["mkdir"]), -enter(i386["waitpid"]), x32]

    try:
        got = in_child(attempt)
    except Died:
        got = []
    if not got:
        pytest.skip("this kernel has no 32-bit entry")
    assert got == [0, errno.EXDEV, errno.EACCES, errno.EXDEV]
