"""The inside steps as system calls: what ``inside`` does with an interpreter, for a first process without.
Pure.

What the two do is the same, call by call, as far as anybody can see it; where a step leaves something open
that the next may use it lies in a slot. A plan with a step that is not here needs the interpreter.
"""

import errno
import os
import re
import signal
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any

import msgspec

from sandcell.runtime.container import compiled_files, compiled_process
from sandcell.runtime.container import steps as s
from sandcell.runtime.container.calls import Calls, Label, Room, Slot
from sandcell.runtime.container.processes import MARK
from sandcell.runtime.container.room import (
    AFTER_SYNC,
    BEFORE_SYNC,
    BYTE,
    CONTROL,
    JOIN,
    JOIN_LAST,
    LONGEST,
    MESSAGE,
    STREAMS,
    SYNC,
    TARGET,
    VECTOR,
    A,
)
from sandcell.runtime.linux import mounts, process
from sandcell.runtime.linux.mounts import AT_FDCWD
from sandcell.runtime.linux.syscall import CLONE_NEWCGROUP

_HEADER, _DESCRIPTORS = 16, 16  # of a control message: its length, and how many we take
_MSG_CMSG_CLOEXEC = 0x40000000
_FEW = 8
_WORD, _ACTION, _MASK = 8, 32, 8  # bytes of a sigaction and of a set of signals


def calls_of(steps: Sequence[s.Inside], machine: str = "") -> bytes | None:
    """The list of system calls that ``steps`` are; ``None`` where one of them, or this machine, or their
    length needs the interpreter."""
    parts: list[bytes] = []
    for step in steps:
        part = _compiled(step, machine)
        if part is None:
            return None
        parts.append(part)
    whole = b"".join(parts)
    return whole if len(whole) <= LONGEST else None


def step_at(steps: Sequence[s.Inside], offset: int, machine: str = "") -> int:
    """Which of ``steps`` the call belongs to that lies ``offset`` bytes from the beginning of their list."""
    for index, step in enumerate(steps):
        offset -= len(_compiled(step, machine) or b"")
        if offset < 0:
            return index
    return len(steps) - 1


def _compiled(step: s.Inside, machine: str) -> bytes | None:
    kind = type(step)
    if kind in _NAMES:
        real = [getattr(step, name) for name in _NAMES[kind]]
        return _like_another(
            step,
            machine,
            real,
            lambda holes: msgspec.structs.replace(step, **dict(zip(_NAMES[kind], holes, strict=True))),
        )
    if isinstance(step, s.Execute):
        return _like_another(step, machine, *_variables(step))
    return _kept(step, machine) if kind in COMPILE else None


def _like_another(
    step: s.Inside, machine: str, names: Sequence[str], with_names: Callable[[list[str]], s.Inside]
) -> bytes | None:
    """What names this one container is the same as for any other, but for the ``names``."""
    try:
        real = [os.fsencode(name) for name in names]
    except ValueError:
        return None
    holes = [bytes((number,)) * len(name) for number, name in enumerate(real, 1)]
    if len(real) > _FEW or any(len(name) < _WORD or _SPECIAL.search(name) for name in real):
        return _encoded(step, machine)
    kept = _kept(with_names([hole.decode() for hole in holes]), machine)
    for hole, name in zip(holes, real, strict=True):
        # Eight times the same byte is nowhere else in a list, unless somebody wrote that into a string.
        if kept is None or kept.count(hole) != 1:
            return _encoded(step, machine)
        kept = kept.replace(hole, name)
    return kept


def _variables(step: s.Execute) -> tuple[list[str], Callable[[list[str]], s.Inside]]:
    """The variables of a container's and an exec's own name, and the same step with others."""
    at = [number for number, entry in enumerate(step.environment) if entry.startswith(_OWN)]
    values = [step.environment[number].partition("=")[2] for number in at]

    def with_values(given: list[str]) -> s.Inside:
        entries = list(step.environment)
        for number, value in zip(at, given, strict=True):
            entries[number] = f"{entries[number].partition('=')[0]}={value}"
        return s.Execute(step.arguments, tuple(entries))

    return values, with_values


def _encoded(step: s.Inside, machine: str) -> bytes | None:
    try:
        calls = Calls(machine)
        COMPILE[type(step)](calls, step)
        return calls.encode()
    except (ValueError, OverflowError):
        return None  # a machine, or a size, that we do not know to write down


_kept = lru_cache(512)(_encoded)  # nearly all steps of a container are those of the one before


@cache
def awaited() -> bytes:
    """Wait for ``GO``, which comes with the standard streams."""
    calls = Calls()
    calls.call("dup3", 1, 2, 0)  # nowhere: who waits for the end of the client's output waits not for us
    _receive(calls)
    _expect_said(calls, s.GO)
    for number in range(3):
        calls.load(_descriptor(number), STREAMS + number)
    return calls.encode()


@cache
def joining() -> bytes:
    """setns(2) into the namespaces of the pidfd ``TARGET``: first those that ``JOIN`` names, then its
    control group's."""
    calls = Calls()
    for flags in (JOIN, JOIN_LAST):
        some, done = Label(), Label()
        calls.expect(Slot(flags), 0, errno.EEXIST, after={errno.EEXIST: some}, then=done)
        calls.place(some)
        calls.call("setns", Slot(TARGET), Slot(flags))
        calls.place(done)
    return calls.encode()


@cache
def closing() -> bytes:
    """Nothing open but the standard streams and the socket."""
    calls = Calls()
    beyond = Label()
    calls.call("close_range", 3, Slot(BEFORE_SYNC), 0, after={errno.EINVAL: beyond})  # there is none between
    calls.place(beyond)
    calls.call("close_range", Slot(AFTER_SYNC), 0xFFFFFFFF, 0)
    return calls.encode()


@cache
def beginning() -> bytes:
    """The standard streams in their places, nothing else open but the socket, and signals as a shell
    leaves them."""
    calls = Calls()
    for number in range(3):
        calls.call("dup3", Slot(STREAMS + number), number, 0)
    nothing = calls.data(bytes(_ACTION))
    for number in process.IGNORED:
        calls.call("rt_sigaction", number, nothing, 0, _MASK)
    calls.call("rt_sigprocmask", signal.SIG_SETMASK, nothing, 0, _MASK)
    return calls.encode() + closing()


def _receive(calls: Calls) -> None:
    """A byte, and the descriptors that come with it: -1 where none came. recvmsg(2)"""
    for offset, value in ((16, VECTOR), (24, 1), (32, CONTROL), (40, _HEADER + 4 * _DESCRIPTORS)):
        calls.store(Room(MESSAGE.offset + offset), value)
    calls.store(VECTOR, BYTE)
    calls.store(Room(VECTOR.offset + 8), 1)
    calls.store(BYTE, 0)
    for number in range(0, _DESCRIPTORS, 2):
        calls.store(_descriptor(number), -1)
    calls.call("recvmsg", Slot(SYNC), MESSAGE, _MSG_CMSG_CLOEXEC)


def _descriptor(number: int) -> Room:
    return Room(CONTROL.offset + _HEADER + 4 * number)


def _wait_for(calls: Calls, wanted: bytes) -> None:
    calls.store(BYTE, 0)
    calls.call("recvfrom", Slot(SYNC), BYTE, 1, 0, 0, 0)
    _expect_said(calls, wanted)


def _expect_said(calls: Calls, wanted: bytes) -> None:
    # Anything else: the monitor gave up or died, and tells why itself.
    calls.load(BYTE, A)
    calls.expect(Slot(A), wanted[0], errno.EPROTO, mask=0xFF)


def _ids(calls: Calls, step: s.AwaitIds) -> None:
    _wait_for(calls, s.IDS_READY)
    calls.call("setresgid", step.gid, step.gid, step.gid)
    calls.call("setresuid", step.uid, step.uid, step.uid)


def _network(calls: Calls, step: s.AwaitNetwork) -> None:
    _wait_for(calls, s.CONNECTED)


def _join(calls: Calls, step: s.JoinNamespace) -> None:
    calls.call("openat", AT_FDCWD, calls.text(step.path), os.O_RDONLY | os.O_CLOEXEC, 0, into=A)
    calls.call("setns", Slot(A), 0)
    calls.call("close", Slot(A))


def _cgroup(calls: Calls, step: s.EnterCgroup) -> None:
    _receive(calls)
    _expect_said(calls, s.DOORS)
    inside, oneself = Label(), calls.data(b"0")
    for number in range(_DESCRIPTORS):
        calls.load(_descriptor(number), A, after={errno.EPERM: inside})  # -1: there are no more
        calls.call("write", Slot(A), oneself, 1)
        calls.call("close", Slot(A))
    calls.place(inside)
    if step.new_namespace:
        calls.call("unshare", CLONE_NEWCGROUP)


def _private(calls: Calls, step: s.PrivateMounts) -> None:
    calls.call("mount", 0, calls.text("/"), 0, mounts.MS_REC | step.flags, 0)


COMPILE: dict[type, Callable[[Calls, Any], None]] = {
    **compiled_files.COMPILE,
    **compiled_process.COMPILE,
    s.AwaitIds: _ids,
    s.AwaitNetwork: _network,
    s.JoinNamespace: _join,
    s.EnterCgroup: _cgroup,
    s.PrivateMounts: _private,
}

_NAMES: dict[type, Sequence[str]] = {
    s.OpenTree: ("source",),
    s.MountOverlay: ("upper", "work"),
    s.Hostname: ("name",),
}
_OWN = ("HOSTNAME=", f"{MARK}=")
_SPECIAL = re.compile(rb"[\0-\x1f\\:,]")  # what ends a string of C, or is quoted in options of an overlay
