"""A first process without an interpreter: a few instructions that play a list of system calls.

The process shares the memory of its monitor (CLONE_VM) until it executes its program, so nothing is copied
to make it, and execve(2) lets nothing go. It has a stack of its own, runs none of Python, and writes to
nothing but its ``Stage``. The list is what ``compiled`` made of a plan. In C::

    long begin(struct clone_args *args, size_t size, struct call *first)
    {
        long pid = clone3(args, size);
        if (pid) return pid;
        for (struct call *call = first;;) {
            for (i = 0; i < 6; i++)
                operand[i] = number, address or slot;
            switch (call->what) {
            case 0: result = syscall(call->number, operand...); break;
            case 1: result = *(int *)operand[0]; break;
            case 2: result = (operand[0] & operand[1]) == operand[2] ? 0 : -operand[3]; break;
            case 3: *(long *)operand[0] = operand[1]; result = 0; break;
            }
            if (result >= 0) {
                slot[call->into] = result;
                call += call->next;
            } else if (the call expects this error)
                call += where to go on;
            else {
                slot[0] = -result; slot[1] = call;
                exit_group(125);
            }
        }
    }

``bare-x86_64.s`` and ``bare-aarch64.s`` beside this file are the sources of the bytes below; a test
assembles them and compares. clone(2), clone3(2).
"""

import ctypes
import errno
import mmap
import os
import signal
import struct
from collections.abc import Callable, Sequence

from sandcell.runtime.container import compiled, room
from sandcell.runtime.container.program import sealed_memory
from sandcell.runtime.container.steps import Inside
from sandcell.runtime.linux.process import PR_SET_DUMPABLE, prctl
from sandcell.runtime.linux.syscall import (
    AT_EMPTY_PATH,
    CLONE_INTO_CGROUP,
    CLONE_NEWUSER,
    CLONE_PIDFD,
    call,
    mount_setattr,
)

_CODE = {
    "x86_64": bytes.fromhex(
        "b8b30100000f054885c07401c34889d34889e5488d7308807b050079044883c610440fb743024489c7c1ef0c31c939f9"
        "7330488b04ce4489c241c1e80283e2037417ffca7409ffca740a4801e8eb0a4801d8eb05488b44c500488944ccd0ffc1"
        "ebcc488b7c24d0488b7424d8488b5424e04c8b5424e84c8b4424f04c8b4c24f80fb64b0583e17fffc97826740bffc974"
        "0c48893731c0eb1e486307eb194821f74c89d048f7d831c94839d7480f44c1eb050fb7030f05483d01f0ffff73160fb6"
        "4b04488944cd000fb74b06488d1ccbe93ffffffff7d831c9807b050079180fb7548b0839c2742381faffff0000741bff"
        "c183f90372e84889450048895d08bf7d000000b8e70000000f050fb74c8b0a488d1ccbe9fbfeffff"
    ),
    "aarch64": bytes.fromhex(
        "683680d2010000d4400000b4c0035fd6f30302aaf40300916c22009169164039490038368c410091690640792f7d0c53"
        "0a0080d28bc200d15f010feb020200548d796af82e050012297d02532e010034df09007183000054a0000054ad01148b"
        "04000014ad01138b020000148d7a6df86d792af84a050091f0ffff17600540a9620d41a9641542a96916403929190012"
        "c90100343f090071a3000054c0000054010000f9000080d20a000014000080b9080000140000018ae30303cb1f0002eb"
        "e003839a0300001468024079010000d41ffc3fb1c200005469124039807a29f8690e4079730e098bccffff17e00300cb"
        "6a2200916b520091edff9f526916403949013836490140794c0540793f01006b400100543f010d6b000100544a110091"
        "5f010beb03ffff54804e00a9a00f80d2c80b80d2010000d4730e0c8bb7ffff17"
    ),
}
_CLONE_VM = 0x00000100
_CLONE_CLEAR_SIGHAND = 0x100000000
_NO_DESCRIPTOR = 0xFFFFFFFF
_MASK = 8  # bytes of a set of signals
_STACK = 1024
_SIZE = _STACK + room.CALLS + room.LONGEST
_CLONE_ARGS = struct.Struct("11Q")
_SLOT = struct.Struct("<Q")


def code(machine: str) -> bytes:
    """The instructions for ``machine`` (uname(2)); ``KeyError`` where we have none."""
    return _CODE[machine]


class Stage:
    """Memory in which one first process plays. ``OSError`` where this kernel or machine does not allow it,
    and the interpreter has to do."""

    __slots__ = ("_begun", "_end", "_memory", "_slots")

    def __init__(self) -> None:
        _entry()
        self._memory = mmap.mmap(-1, _SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._slots = ctypes.addressof(ctypes.c_char.from_buffer(self._memory)) + _STACK
        self._end = room.CALLS
        self._begun = -1

    def give(self, slot: int, value: int) -> None:
        """Put a number into a slot."""
        _SLOT.pack_into(self._memory, _STACK + 8 * slot, value)

    def take(self, slot: int) -> int:
        """What is in a slot."""
        number: int = _SLOT.unpack_from(self._memory, _STACK + 8 * slot)[0]
        return number

    def add(self, calls: bytes) -> None:
        """Let ``calls`` follow those that are here; ``OverflowError`` when there is no room for them."""
        begin = _STACK + self._end
        if begin + len(calls) > _SIZE:
            raise OverflowError("these calls are too many")
        self._memory[begin : begin + len(calls)] = calls
        self._end += len(calls)

    def add_plan(self, calls: bytes) -> None:
        """As ``add``: those of a plan's steps."""
        self._begun = self._end
        self.add(calls)

    def start(
        self, flags: int, sync: int, cgroup: int = -1, streams: tuple[int, ...] = ()
    ) -> tuple[int, int]:
        """Make the process, in new namespaces as ``flags`` say and, if given, in the v2 group ``cgroup``, and
        let it play: its pid, and a pidfd. ``sync``: its socket to us, which it keeps open; ``streams``: its
        standard streams. ``OSError``."""
        for slot, value in (
            (room.SYNC, sync),
            (room.BEFORE_SYNC, sync - 1),
            (room.AFTER_SYNC, sync + 1),
        ):
            self.give(slot, value)
        for number, fd in enumerate(streams):
            self.give(room.STREAMS + number, fd)
        if flags & CLONE_NEWUSER:
            # Where a child before this one changed its ids the kernel marked our common memory, and we
            # could not write the maps of this one. proc_pid(5)
            prctl(PR_SET_DUMPABLE, 1)
        pidfd = ctypes.c_int(-1)
        flags |= _CLONE_VM | _CLONE_CLEAR_SIGHAND | CLONE_PIDFD | (CLONE_INTO_CGROUP if cgroup >= 0 else 0)
        stack = (self._slots - _STACK, _STACK)
        into = max(cgroup, 0)
        args = _CLONE_ARGS.pack(flags, ctypes.addressof(pidfd), 0, 0, signal.SIGCHLD, *stack, 0, 0, 0, into)
        # A signal that Python handles would be handled in our memory, by another process.
        # (Python's pthread_sigmask would make objects of all their numbers.)
        before = ctypes.create_string_buffer(_MASK)
        call("rt_sigprocmask", signal.SIG_SETMASK, b"\xff" * _MASK, before, _MASK)
        try:
            result = _entry()(args, len(args), self._slots + room.CALLS)
        finally:
            call("rt_sigprocmask", signal.SIG_SETMASK, before, None, _MASK)
        if result < 0:
            raise OSError(-result, os.strerror(-result), "clone3")
        return result, pidfd.value

    @property
    def executing(self) -> bool:
        """True when all was done but to execute the program."""
        return bool(self.take(room.EXECUTING))

    def failed(self, steps: Callable[[], Sequence[Inside]]) -> tuple[int, int] | None:
        """Which of the plan's ``steps`` failed, -1 for what comes before them, and the errno; ``None`` when
        none has. To be asked when the process has ended."""
        number = self.take(room.FAILED)
        if not number:
            return None
        offset = self.take(room.WHERE) - self._slots - self._begun
        return (compiled.step_at(steps(), offset) if offset >= 0 else -1), number

    def close(self) -> None:
        """Let the memory go, when the process has ended or executes its program."""
        self._memory.close()


def stage(before: bytes, plan: bytes | None = None) -> Stage | None:
    """One with the calls ``before`` a plan and, if it is there already, those of the ``plan``; ``None`` where
    there can be none, or has no room for them."""
    try:
        made = Stage()
    except OSError:
        return None
    try:
        made.add(before)
        if plan is not None:
            made.add_plan(plan)
    except OverflowError:
        made.close()
        return None
    return made


def _entry() -> "ctypes._FuncPointer":
    global _begin
    if _begin is None:
        _begin = _mapped()
    return _begin


_begin: "ctypes._FuncPointer | None" = None


def _mapped() -> "ctypes._FuncPointer":
    """``begin`` of this machine; from sealed memory, for some hosts execute nothing that was written to."""
    machine = os.uname().machine
    if machine not in _CODE:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    # What has a fall-back in Python, and none here: Linux 5.12 has both. Neither call does anything.
    mount_setattr(-1, b"", AT_EMPTY_PATH)
    call("close_range", _NO_DESCRIPTOR, _NO_DESCRIPTOR, 0)
    memory = sealed_memory("begin", code(machine))
    try:
        address = call("mmap", 0, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC, mmap.MAP_PRIVATE, memory, 0)
    finally:
        os.close(memory)
    return ctypes.PYFUNCTYPE(ctypes.c_long, ctypes.c_char_p, ctypes.c_long, ctypes.c_void_p)(address)
