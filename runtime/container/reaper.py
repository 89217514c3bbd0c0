"""The first process of a container with ``--init``: it passes signals on, collects who was left by its
parent, and ends as its program does.

It is about two hundred bytes of machine code, so that nothing of the host's, least of all an
interpreter, stays in the container: see docs/decisions/0019. What it does, in C::

    void _start(char *pid)              // a decimal number, argv[1]
    {
        prctl(PR_SET_NAME, "init");
        sigprocmask(SIG_SETMASK, &every_signal, NULL);
        close_range(3, ~0U, 0);
    reap:
        while ((ended = waitpid(-1, &status, WNOHANG)) > 0)
            if (ended == pid)
                exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
        for (;;) {
            signum = sigwaitinfo(&every_signal, NULL);
            if (signum == SIGCHLD) goto reap;
            if (signum > 0) kill(pid, signum);
        }
    }

``reaper-x86_64.s`` and ``reaper-aarch64.s`` beside this file are the sources of the bytes below; a
test assembles them and compares. elf(5), pid_namespaces(7).
"""

import os
import select
import signal
import struct

from sandcell.runtime.container.program import sealed_memory
from sandcell.runtime.linux import process

_CODE = {
    "x86_64": bytes.fromhex(
        "488b5c241031ed0fb60384c0740c6bed0a8d6c05d048ffc3ebed488d35a3000000bf0f000000b89d0000000f056aff6a"
        "0031d2488d742408bf0200000041ba08000000b80e0000000f05bf03000000beffffffff31d2b8b40100000f05bfffff"
        "ffff4889e6ba010000004531d2b83d0000000f0539e8743085c07fe1488d7c240831f631d241ba08000000b880000000"
        "0f0583f81174c685c07ee189c689efb83e0000000f05ebd48b042489c783e77f75050fb6fceb0681c780000000b8e700"
        "00000f05696e697400"
    ),
    "aarch64": bytes.fromhex(
        "f40b40f91300805255018052801640388000003400c000517302151bfcffff17e00180d221060010e81480d2010000d4"
        "00008092ff03bfa9400080d2e1230091020080d2030180d2e81080d2010000d4600080d201008012020080d2883680d2"
        "010000d400008092e1030091220080d2030080d2882080d2010000d41f00136b400200541f000071ecfeff54e0230091"
        "010080d2020080d2030180d2281180d2010000d41f440071e0fdff541f000071edfeff54e103002ae003132a281080d2"
        "010000d4f2ffff17e10340b92018007261000054203c08530200001400000211c80b80d2010000d4696e697400"
    ),
}
_MACHINES = {"x86_64": 62, "aarch64": 183}
_BASE = 0x400000
_HEADERS = 64 + 2 * 56
_PATIENCE = 1000  # milliseconds; a filter of the user's own may keep the init from closing anything


def program(machine: str) -> bytes:
    """The executable for ``machine`` (uname(2)): one segment to read and execute, a stack to write.
    ``KeyError`` where we have none."""
    code = _CODE[machine]
    size = _HEADERS + len(code)
    ident = b"\x7fELF\2\1\1".ljust(16, b"\0")
    entry = _BASE + _HEADERS
    header = struct.pack("<HHIQQQIHHHHHH", 2, _MACHINES[machine], 1, entry, 64, 0, 0, 64, 56, 2, 64, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 4096)
    stack = struct.pack("<IIQQQQQQ", 0x6474E551, 6, 0, 0, 0, 0, 0, 16)
    return ident + header + load + stack + code


def open_program() -> int:
    """A descriptor of it for fexecve(3), in memory that nobody can change. The caller closes it."""
    return sealed_memory("init", program(os.uname().machine))


def begin() -> None:
    """Become the init of a child, which returns from here in our place. ``OSError``."""
    memory = open_program()
    # Also where the pid namespace is somebody else's: who loses a parent comes to us.
    process.prctl(process.PR_SET_CHILD_SUBREAPER, 1)
    # What comes before the init can wait for it waits there.
    signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
    # The init closes the other end when it is there: what it was before, the program never sees.
    there, held = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child:
        os.set_inheritable(held, True)
        os.execve(memory, ("sandcell-init", b"%d" % child), {})
    os.close(held)
    os.close(memory)
    waiting = select.poll()
    waiting.register(there, 0)
    waiting.poll(_PATIENCE)
    os.close(there)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
