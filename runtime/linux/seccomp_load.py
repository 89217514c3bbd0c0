"""Handing a compiled system call filter to the kernel: all that a container's first process needs of
``seccomp``, without the compiler and its tables. seccomp(2)."""

import ctypes
import errno
import struct

from sandcell.runtime.linux.syscall import call

SECCOMP_SET_MODE_FILTER = 1
FILTER_FLAGS = {
    "TSYNC": 1,
    "LOG": 2,
    "SPEC_ALLOW": 4,
    "NEW_LISTENER": 8,
    "TSYNC_ESRCH": 16,
    "WAIT_KILLABLE_RECV": 32,
}


def install(program: bytes, flags: int = 0) -> int:
    """Filter the calling thread from now on, and whatever it starts. One system call.

    Needs no_new_privs or CAP_SYS_ADMIN in the user namespace (EACCES otherwise). ``flags``: sum of
    ``FILTER_FLAGS``. Gives the listener's descriptor with NEW_LISTENER, else 0. ``OSError`` from
    the kernel: nothing was installed. A second filter adds to the first; the stricter answer wins.
    """
    instructions = ctypes.create_string_buffer(program, len(program))
    fprog = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(instructions))
    result = call("seccomp", SECCOMP_SET_MODE_FILTER, flags, fprog)
    if result > 0 and not flags & FILTER_FLAGS["NEW_LISTENER"]:
        raise OSError(errno.EBUSY, f"thread {result} has a filter of its own", "seccomp")
    return result
