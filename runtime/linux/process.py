"""Processes: who is who, messages with descriptors between them, and their last set-up.

A pid alone names nobody: it may have been given to another process since. A process is named by
pid, start time and boot id together; signals go through a pidfd opened before the check.
"""

import array
import ctypes
import os
import signal
import socket
import struct

import msgspec

from sandcell.runtime.linux.alive import boot_id, read_text, start_time
from sandcell.runtime.linux.syscall import call, close_range, libc, pidfd_open, pidfd_send_signal

__all__ = ["Identity", "alive", "boot_id", "identify", "read_text", "start_time"]

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_SECUREBITS = 28
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

_LENGTH = struct.Struct("!I")


class Identity(msgspec.Struct, frozen=True):
    """One process of one boot. ``start``: clock ticks since boot, /proc/PID/stat field 22."""

    pid: int
    start: int
    boot: str


def identify(pid: int, *, ended: bool = False) -> Identity | None:
    """The identity of a living process, or ``None``; with ``ended`` also of a child of ours that
    has ended and was not yet waited for."""
    start = start_time(pid, ended=ended)
    return None if start is None else Identity(pid, start, boot_id())


def alive(identity: Identity) -> bool:
    """True while that very process lives (a zombie does not)."""
    return identity.boot == boot_id() and start_time(identity.pid) == identity.start


def rules_the_machine() -> bool:
    """True for root, unless it is root of a user namespace only. user_namespaces(7)."""
    return os.geteuid() == 0 and read_text("/proc/self/uid_map").split() == ["0", "0", "4294967295"]


def send_signal(identity: Identity, signum: int) -> bool:
    """Signal that very process; False when it has ended."""
    try:
        pidfd = pidfd_open(identity.pid)
    except ProcessLookupError:
        return False
    try:
        if not alive(identity):
            return False
        pidfd_send_signal(pidfd, signum)
    except ProcessLookupError:
        return False
    finally:
        os.close(pidfd)
    return True


def prctl(option: int, value: int) -> None:
    """prctl(2) with one value."""
    if libc.prctl(option, value, 0, 0, 0) < 0:
        raise OSError(0, f"prctl {option}")


def end_with(parent: int) -> None:
    """Be killed when ``parent``, who forked us, ends; at once when it has ended already. prctl(2).

    To be called again after every change of ids, which takes that back.
    """
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(125)


def keep_only(wanted: set[int]) -> None:
    """Close every descriptor but ``wanted`` and the three standard ones."""
    first = 3
    for fd in sorted(wanted):
        if fd > first:
            close_range(first, fd - 1)
        first = fd + 1
    close_range(first)


# What an interpreter or its parent may ignore.
IGNORED = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP)


def default_signals() -> None:
    """Forget Python's handlers and masks, so that a program starts as a shell would start it."""
    for signum in IGNORED:
        signal.signal(signum, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def default_threads_signals() -> None:
    """Signals 32 and 33 as they are at first: posix_spawn(3) leaves its child with both ignored, libc
    lets nobody else set them (nptl(7)), and what is ignored is so after execve(2) too."""
    action = ctypes.create_string_buffer(32)  # all zero: SIG_DFL, no flags, an empty mask
    for number in (32, 33):
        call("rt_sigaction", number, action, 0, 8)


def send(channel: socket.socket, data: bytes, fds: tuple[int, ...] = ()) -> None:
    """Send one length-prefixed message over a stream socket, descriptors with its first byte."""
    header = _LENGTH.pack(len(data))
    if fds:
        channel.sendmsg([header], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
        channel.sendall(data)
    else:
        channel.sendall(header + data)


def receive(channel: socket.socket, max_fds: int = 0) -> tuple[bytes, list[int]] | None:
    """The next message and its descriptors (close-on-exec), or ``None`` at the end."""
    fds: list[int] = []
    header = b""
    while len(header) < _LENGTH.size:
        part, ancillary, _, _ = channel.recvmsg(
            _LENGTH.size - len(header),
            socket.CMSG_SPACE(4 * max_fds) if max_fds else 0,
            socket.MSG_CMSG_CLOEXEC,
        )
        fds += _descriptors(ancillary)
        if not part:
            return None
        header += part
    (length,) = _LENGTH.unpack(header)
    data = bytearray()
    while len(data) < length:
        part = channel.recv(min(length - len(data), 1 << 20))
        if not part:
            return None
        data += part
    return bytes(data), fds


def receive_descriptors(
    channel: socket.socket, most: int, size: int = 4096, flags: int = 0
) -> tuple[bytes, list[int]]:
    """One packet of a SOCK_SEQPACKET socket with up to ``most`` descriptors; ``(b"", [])`` at the end.
    ``flags``: more of recv(2)."""
    room = socket.CMSG_SPACE(4 * most)
    data, ancillary, _, _ = channel.recvmsg(size, room, socket.MSG_CMSG_CLOEXEC | flags)
    return data, _descriptors(ancillary)


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    fds: list[int] = []
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers = array.array("i")
            numbers.frombytes(payload[: len(payload) - len(payload) % numbers.itemsize])
            fds += numbers
    return fds
