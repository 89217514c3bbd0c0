"""The inside steps that make a process what it shall be, as system calls: see ``compiled``. Pure."""

import errno
import os
import signal
import stat
import struct
from collections.abc import Callable, Sequence
from typing import Any

from sandcell.runtime.container import steps as s
from sandcell.runtime.container.calls import ANY, Beside, Calls, Label, Room, Slot
from sandcell.runtime.container.room import (
    BYTE,
    EXECUTING,
    PATH,
    PATH_SIZE,
    REFUSED,
    STATUS,
    STATX_BASIC,
    SYNC,
    A,
    expect_kind,
)
from sandcell.runtime.linux import capabilities, process
from sandcell.runtime.linux.mounts import AT_FDCWD
from sandcell.runtime.linux.seccomp_load import SECCOMP_SET_MODE_FILTER
from sandcell.runtime.linux.syscall import AT_EMPTY_PATH

_MSG_DONTWAIT, _MSG_PEEK = 0x40, 0x2
_AF_INET, _SOCK_DGRAM, _SOCK_CLOEXEC = 2, 2, 0o2000000
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1  # netdevice(7)
_TCGETS = 0x5401
_CAPABILITIES = 64
_MASK = (1 << 64) - 1


def _loopback(calls: Calls, step: s.Loopback) -> None:
    calls.call("socket", _AF_INET, _SOCK_DGRAM | _SOCK_CLOEXEC, 0, into=A)
    calls.call("ioctl", Slot(A), _SIOCSIFFLAGS, calls.data(struct.pack("16sH14x", b"lo", _IFF_UP)))
    calls.call("close", Slot(A))


def _hostname(calls: Calls, step: s.Hostname) -> None:
    for call, name in (("sethostname", step.name), ("setdomainname", step.domain)):
        if name:
            calls.call(call, calls.text(name), len(os.fsencode(name)))


def _sysctl(calls: Calls, step: s.Sysctl) -> None:
    path, value = calls.text("/proc/sys/" + step.name.replace(".", "/")), step.value.encode()
    calls.call("openat", AT_FDCWD, path, os.O_WRONLY | os.O_CLOEXEC, 0, into=A)
    calls.call("write", Slot(A), calls.data(value), len(value))
    calls.call("close", Slot(A))


def _limit(calls: Calls, step: s.ResourceLimit) -> None:
    limits = struct.pack("QQ", step.soft & _MASK, step.hard & _MASK)
    calls.call("prlimit64", 0, step.resource, calls.data(limits), 0)


def _session(calls: Calls, step: s.NewSession) -> None:
    calls.call("setsid")


def _identity(calls: Calls, step: s.Identity) -> None:
    if step.uid:
        _own_streams(calls, step.uid)
    dropped = Label()
    for bit in range(_CAPABILITIES):
        if not step.bounding >> bit & 1:
            calls.call(
                "prctl", capabilities.PR_CAPBSET_DROP, bit, 0, 0, 0, after={errno.EINVAL: dropped}
            )  # none from here on
    calls.place(dropped)
    if step.setgroups:
        calls.call(
            "setgroups", len(step.groups), calls.data(struct.pack(f"{len(step.groups)}I", *step.groups))
        )
    calls.call("prctl", process.PR_SET_KEEPCAPS, 1, 0, 0, 0)
    calls.call("setresgid", step.gid, step.gid, step.gid)
    calls.call("setresuid", step.uid, step.uid, step.uid)
    calls.call("prctl", process.PR_SET_KEEPCAPS, 0, 0, 0, 0)
    if step.no_new_privileges:
        calls.call("prctl", process.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    sets = capabilities.packed(step.effective, step.permitted, step.inheritable)
    calls.call("capset", calls.data(capabilities.HEADER), calls.data(sets))
    if step.inheritable:
        calls.call("prctl", capabilities.PR_CAP_AMBIENT, capabilities.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    for bit in range(_CAPABILITIES):
        if step.ambient >> bit & 1:
            calls.call("prctl", capabilities.PR_CAP_AMBIENT, capabilities.PR_CAP_AMBIENT_RAISE, bit, 0, 0)
    calls.call("umask", step.umask)


def _own_streams(calls: Calls, uid: int) -> None:
    nothing = calls.text("")
    for fd in range(3):
        other, ours, done = Label(), Label(), Label()
        calls.call("statx", fd, nothing, AT_EMPTY_PATH, STATX_BASIC, STATUS)
        expect_kind(calls, stat.S_IFIFO, other, then=ours)
        calls.place(other)
        calls.call("ioctl", fd, _TCGETS, PATH, after={ANY: done})
        calls.place(ours)
        # Where it is somebody else's it stays so.
        calls.call("fchownat", fd, nothing, uid, -1, AT_EMPTY_PATH, after={ANY: done})
        calls.place(done)


def _filter(calls: Calls, step: s.Filter) -> None:
    program = calls.data(step.program)
    described = calls.data(struct.pack("HxxxxxxQ", len(step.program) // 8, 0))
    calls.store(Beside(described.offset + 8), program)
    calls.call("seccomp", SECCOMP_SET_MODE_FILTER, step.flags, described, into=A)
    calls.expect(Slot(A), 0, errno.EBUSY)


def _cwd(calls: Calls, step: s.WorkingDirectory) -> None:
    calls.call("chdir", calls.text(step.path))
    calls.call("getcwd", PATH, PATH_SIZE)
    # The first byte of the path as the highest of a number, which is never negative so.
    calls.load(Room(PATH.offset - 3), A)
    calls.expect(
        Slot(A), ord("/") << 24, errno.ENOENT, mask=0xFF << 24
    )  # it lies outside of the root: getcwd(2)


def _execute(calls: Calls, step: s.Execute) -> None:
    there = Label()
    calls.call("prctl", process.PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    flags = _MSG_DONTWAIT | _MSG_PEEK
    calls.call("recvfrom", Slot(SYNC), BYTE, 1, flags, 0, 0, after={errno.EAGAIN: there})
    calls.expect(0, 1, errno.EPIPE)  # the monitor has gone
    calls.place(there)
    environment = dict(entry.partition("=")[::2] for entry in step.environment)
    arguments = _strings(calls, step.arguments)
    variables = _strings(calls, [f"{name}={value}" for name, value in environment.items()])
    calls.store(Room(8 * EXECUTING), 1)
    program = step.arguments[0]
    if "/" in program:
        calls.call("execve", calls.text(program), arguments, variables)
        return
    calls.load(calls.data(struct.pack("i", errno.ENOENT)), REFUSED)
    not_allowed = calls.data(struct.pack("i", errno.EACCES))
    for directory in environment.get("PATH", "/usr/local/bin:/usr/bin:/bin").split(":"):
        # As execvp(3): a program that may not be executed is remembered, the search goes on.
        further, refused = Label(), Label()
        after = {errno.ENOENT: further, errno.ENOTDIR: further, errno.EACCES: refused}
        calls.call("execve", calls.text(f"{directory or '.'}/{program}"), arguments, variables, after=after)
        calls.place(refused)
        calls.load(not_allowed, REFUSED)
        calls.place(further)
    calls.expect(0, 1, Slot(REFUSED))


def _strings(calls: Calls, words: Sequence[str]) -> Beside:
    array = calls.data(bytes(8 * (len(words) + 1)))
    for number, word in enumerate(words):
        calls.store(Beside(array.offset + 8 * number), calls.text(word))
    return array


COMPILE: dict[type, Callable[[Calls, Any], None]] = {
    s.Hostname: _hostname,
    s.Loopback: _loopback,
    s.Sysctl: _sysctl,
    s.ResourceLimit: _limit,
    s.NewSession: _session,
    s.Identity: _identity,
    s.Filter: _filter,
    s.WorkingDirectory: _cwd,
    s.Execute: _execute,
}
