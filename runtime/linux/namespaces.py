"""Namespaces by name, and what must be set up in a fresh one. namespaces(7)."""

import fcntl
import os
import socket
import struct

from sandcell.runtime.linux.syscall import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    libc,
)

# name in /proc/PID/ns → flag of clone(2)
FLAGS = {
    "cgroup": CLONE_NEWCGROUP,
    "ipc": CLONE_NEWIPC,
    "mnt": CLONE_NEWNS,
    "net": CLONE_NEWNET,
    "pid": CLONE_NEWPID,
    "user": CLONE_NEWUSER,
    "uts": CLONE_NEWUTS,
}

setdomainname = libc.setdomainname

_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1


def loopback_up() -> None:
    """Bring ``lo`` up in this network namespace (netdevice(7)); repeating it does no harm."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        fcntl.ioctl(channel, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))


def different(pid: int, name: str) -> bool:
    """True when process ``pid`` lives in another namespace of that kind than we do."""
    mine = os.stat(f"/proc/self/ns/{name}")
    theirs = os.stat(f"/proc/{pid}/ns/{name}")
    return (mine.st_dev, mine.st_ino) != (theirs.st_dev, theirs.st_ino)
