"""Scheduling of a process, set from outside: sched_setattr(2), ioprio_set(2), sched_setaffinity(2)."""

import ctypes
import os
import struct
from typing import Any

from sandcell.runtime.errors import HostRefused, InvalidDocument
from sandcell.runtime.linux.syscall import MACHINE, libc
from sandcell.runtime.oci.spec import Process

_ARM = MACHINE == "aarch64"
_SCHED_SETATTR, _IOPRIO_SET = (274, 30) if _ARM else (314, 251)
_POLICIES = {
    "SCHED_OTHER": 0,
    "SCHED_FIFO": 1,
    "SCHED_RR": 2,
    "SCHED_BATCH": 3,
    "SCHED_ISO": 4,
    "SCHED_IDLE": 5,
    "SCHED_DEADLINE": 6,
}
_FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 0x1,
    "SCHED_FLAG_RECLAIM": 0x2,
    "SCHED_FLAG_DL_OVERRUN": 0x4,
    "SCHED_FLAG_KEEP_POLICY": 0x8,
    "SCHED_FLAG_KEEP_PARAMS": 0x10,
    "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20,
    "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
}
_CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}


def prioritise(pid: int, process: Process) -> None:
    """Give process ``pid`` what ``process`` asks for. ``InvalidDocument`` for words that do not exist,
    ``HostRefused`` from the kernel."""
    if process.scheduler:
        _call("scheduler", _SCHED_SETATTR, pid, attributes(process.scheduler), 0)
    if process.io_priority:
        wanted = process.io_priority
        if wanted.class_ not in _CLASSES:
            raise InvalidDocument("set", "ioPriority", f"there is no class {wanted.class_}")
        _call("ioPriority", _IOPRIO_SET, 1, pid, _CLASSES[wanted.class_] << 13 | wanted.priority)


def attributes(wanted: dict[str, Any]) -> bytes:
    """``struct sched_attr`` of a ``scheduler`` object."""
    policy, flags = wanted.get("policy", ""), 0
    if policy not in _POLICIES:
        raise InvalidDocument("set", "scheduler", f"there is no policy {policy!r}")
    for name in wanted.get("flags", ()):
        if name not in _FLAGS:
            raise InvalidDocument("set", "scheduler", f"there is no flag {name!r}")
        flags |= _FLAGS[name]
    numbers = [int(wanted.get(name, 0)) for name in ("nice", "priority", "runtime", "deadline", "period")]
    return struct.pack("IIQiIQQQ", 48, _POLICIES[policy], flags, *numbers)


def processors(text: str) -> set[int]:
    """The numbers in a list as ``0-3,7``."""
    found: set[int] = set()
    try:
        for part in text.split(","):
            first, _, last = part.strip().partition("-")
            found |= set(range(int(first), int(last or first) + 1))
    except ValueError:
        raise InvalidDocument("set", "processors", f"{text!r} is no list of processors") from None
    return found


def _call(what: str, number: int, *arguments: int | bytes) -> None:
    given = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    if libc.syscall(ctypes.c_long(number), *given) < 0:
        raise HostRefused("set", what, os.strerror(ctypes.get_errno()))
