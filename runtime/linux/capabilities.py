"""Capabilities: the parts that root's power is cut into. capabilities(7).

Sets are bit masks throughout, bit 0 being CAP_CHOWN, so that a child that has entered a container
only hands numbers to the kernel. What a bounding set loses, no program executed later regains.
"""

import ctypes
import errno
import struct
from collections.abc import Iterable

import msgspec

from sandcell.runtime.errors import InvalidOption
from sandcell.runtime.linux.process import read_text
from sandcell.runtime.linux.syscall import call, fail, libc

_NAMES = """
CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT
SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL
SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""

# In the order of linux/capability.h: the place is the bit.
NAMES = tuple(f"CAP_{name}" for name in _NAMES.split())
_BITS = {name: 1 << bit for bit, name in enumerate(NAMES)}

_VERSION_3 = 0x20080522
PR_CAPBSET_DROP = 24
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
PR_CAP_AMBIENT_CLEAR_ALL = 4
_LOW_32 = 0xFFFFFFFF

# struct __user_cap_header_struct for the calling thread
HEADER = struct.pack("Ii", _VERSION_3, 0)
# Indexed, so that these argument types are ours alone.
_prctl = libc["prctl"]
_prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]


class Sets(msgspec.Struct, frozen=True):
    """The five sets of a process, as masks."""

    effective: int = 0
    permitted: int = 0
    inheritable: int = 0
    bounding: int = 0
    ambient: int = 0


def mask(names: Iterable[str]) -> int:
    """The mask of ``CAP_…`` names; ``InvalidOption`` for one that no kernel has."""
    result = 0
    for name in names:
        bit = _BITS.get(name)
        if bit is None:
            raise InvalidOption(
                "use", "a capability", f"there is no {name}", "see capabilities(7); names begin with CAP_"
            )
        result |= bit
    return result


def names(mask: int) -> tuple[str, ...]:
    """The names in a mask; bits that this table does not know are left out."""
    return tuple(name for bit, name in enumerate(NAMES) if mask >> bit & 1)


def last_cap() -> int:
    """The highest bit that the running kernel knows (/proc/sys/kernel/cap_last_cap)."""
    return int(read_text("/proc/sys/kernel/cap_last_cap"))


def current(pid: str = "self") -> Sets:
    """What a process holds; ``OSError`` when it has ended."""
    return parse_status(read_text(f"/proc/{pid}/status"))


def parse_status(text: str) -> Sets:
    """The sets in the text of /proc/PID/status; empty where an old kernel has no such line."""
    lines = dict(line.partition(":")[::2] for line in text.split("\n"))
    order = ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")
    return Sets(*(int(lines.get(name, "0").strip(), 16) for name in order))


def drop_bounding(keep: int, held: int | None = None) -> None:
    """Take everything but ``keep`` from the bounding set of this thread.

    ``held``: the set as it is now, where the caller knows it; only the difference is dropped, one
    system call a bit. Without it all bits are tried up to the first that the kernel does not know.
    Needs CAP_SETPCAP (``PermissionError``); what was dropped before a failure stays dropped.
    """
    remaining = (_LOW_32 << 32 | _LOW_32 if held is None else held) & ~keep
    bit = 0
    while remaining >> bit:
        if remaining >> bit & 1 and _prctl(PR_CAPBSET_DROP, bit, 0, 0, 0) < 0:
            if ctypes.get_errno() == errno.EINVAL:
                return  # the kernel knows none from here on
            fail("drop capabilities")
        bit += 1


def set_caps(effective: int, permitted: int, inheritable: int = 0, ambient: int = 0) -> None:
    """Make these the sets of this thread; at most the permitted set it has can be permitted.

    One system call, and with ambient or inheritable capabilities one more and one for each.
    ``ambient`` must be both permitted and inheritable. ``PermissionError`` for a set that may not
    be: the sets stay as they were, but ambient ones may be cleared.
    """
    hold(effective, permitted, inheritable)
    # The kernel takes from the ambient set what is no longer inheritable by itself.
    if inheritable and _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0:
        fail("clear ambient capabilities")
    bit = 0
    while ambient >> bit:
        if ambient >> bit & 1 and _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, bit, 0, 0) < 0:
            fail("raise an ambient capability")
        bit += 1


def hold(effective: int, permitted: int, inheritable: int) -> None:
    """Make these the three sets of this thread, and leave the ambient one alone: one system call."""
    call("capset", HEADER, packed(effective, permitted, inheritable))


def packed(effective: int, permitted: int, inheritable: int) -> bytes:
    """The sets as capset(2) takes them after ``HEADER``."""
    sets = (effective, permitted, inheritable)
    return struct.pack("6I", *(one & _LOW_32 for one in sets), *(one >> 32 for one in sets))
