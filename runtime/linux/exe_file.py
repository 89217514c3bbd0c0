"""What /proc/PID/exe leads to, changed in a process that goes on running.

The kernel lets a process name another file only when nothing of the old one is mapped any more, so
its pages are first replaced, where they are, by copies in memory. prctl(2), PR_SET_MM_MAP; mremap(2).
"""

import ctypes
import os
import struct

from sandcell.runtime.linux.alive import read_text
from sandcell.runtime.linux.syscall import call, fail, libc

_PR_SET_MM, _PR_SET_MM_MAP = 35, 14
_READ, _WRITE, _EXECUTE = 1, 2, 4
_PRIVATE_ANONYMOUS = 0x22
_MAYMOVE_FIXED = 1 | 2
# /proc/PID/stat, as struct prctl_mm_map orders them: code, data and start of the heap.
_BEFORE_BREAK = (26, 27, 45, 46, 47)
# The stack, the arguments, the environment.
_AFTER_BREAK = (28, 48, 49, 50, 51)


def replace(program: int) -> None:
    """Let the file of the descriptor ``program``, which nobody has open for writing, be this process's
    executable. ``OSError``: nothing has changed. It takes CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN.

    Nothing of the old file may change while it is copied: it must be no more than the small start of an
    interpreter whose data are in a shared library.
    """
    for start, end, protection in _mapped(os.readlink("/proc/self/exe")):
        size = end - start
        copy = call("mmap", 0, size, _READ | _WRITE, _PRIVATE_ANONYMOUS, -1, 0)
        ctypes.memmove(copy, start, size)
        call("mprotect", copy, size, protection)
        call("mremap", copy, size, size, _MAYMOVE_FIXED, start)
    # The name in parentheses may hold anything, a closing parenthesis too.
    fields = read_text("/proc/self/stat").rpartition(")")[2].split()
    before, after = ([int(fields[n - 3]) for n in wanted] for wanted in (_BEFORE_BREAK, _AFTER_BREAK))
    layout = struct.pack("=12Q2I", *before, call("brk", 0), *after, 0, 0, program)
    address = ctypes.cast(ctypes.c_char_p(layout), ctypes.c_void_p).value or 0
    arguments = (ctypes.c_ulong(number) for number in (_PR_SET_MM_MAP, address, len(layout), 0))
    if libc.prctl(_PR_SET_MM, *arguments) < 0:
        fail("prctl")


def _mapped(path: str) -> list[tuple[int, int, int]]:
    """(start, end, protection) of what is mapped of the file."""
    found = []
    for line in read_text("/proc/self/maps").splitlines():
        fields = line.split(None, 5)
        if len(fields) < 6 or fields[5] != path:
            continue
        start, _, end = fields[0].partition("-")
        may = zip("rwx", (_READ, _WRITE, _EXECUTE), strict=True)
        found.append((int(start, 16), int(end, 16), sum(bit for sign, bit in may if sign in fields[1])))
    return found
