"""Answering system calls of other processes: the supervisor's side of a filter with NEW_LISTENER.

The caller stands still until its call is answered. What its pointers lead to may change meanwhile, and
its thread may be gone: ask ``alive`` after reading, act only within rights that the caller has too.
seccomp_unotify(2); ``linux/seccomp.h``.
"""

import errno
import fcntl
import os
import struct

import msgspec

_RECEIVE, _SEND, _ID_VALID = 0xC0502100, 0xC0182101, 0x40082102
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")
_RESPONSE = struct.Struct("=QqiI")
_ID = struct.Struct("=Q")
_CONTINUE = 1


class Notification(msgspec.Struct, frozen=True):
    """One call that waits. ``thread``: as our /proc names it; ``number``: of the system call;
    ``arguments``: six, as unsigned 64-bit numbers."""

    id: int
    thread: int
    number: int
    arguments: tuple[int, ...]


def receive(listener: int) -> Notification | None:
    """A call that waits, when poll(2) has told that there is one; ``None`` when its caller was killed,
    or heard a signal, before we looked."""
    buffer = bytearray(_NOTIFICATION.size)
    try:
        fcntl.ioctl(listener, _RECEIVE, buffer)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINTR):
            return None
        raise
    id, thread, _, number, _, _, *arguments = _NOTIFICATION.unpack(buffer)
    return Notification(id, thread, number, tuple(arguments))


def alive(listener: int, call: Notification) -> bool:
    """True while the caller still waits, so that its thread number was its own until now."""
    try:
        fcntl.ioctl(listener, _ID_VALID, _ID.pack(call.id))
    except OSError:
        return False
    return True


def answer(listener: int, call: Notification, value: int = 0, refusal: int = 0) -> None:
    """Let the call return ``value``, or fail with the errno ``refusal``."""
    _send(listener, _RESPONSE.pack(call.id, value, -refusal, 0))


def let_through(listener: int, call: Notification) -> None:
    """Let the kernel do the call. Since Linux 5.5."""
    _send(listener, _RESPONSE.pack(call.id, 0, 0, _CONTINUE))


def _send(listener: int, response: bytes) -> None:
    try:
        fcntl.ioctl(listener, _SEND, response)
    except OSError as error:
        if error.errno != errno.ENOENT:  # the caller has gone meanwhile
            raise


def text(memory: int, address: int, most: int = os.pathconf("/", "PC_PATH_MAX")) -> bytes:
    """The text at ``address`` of an open /proc/PID/mem, without its NUL. ``OSError``: EFAULT where
    nothing is mapped, ENAMETOOLONG without an end."""
    try:
        data = os.pread(memory, most, address)
    except OSError:
        data = b""
    found, end, _ = data.partition(b"\0")
    if not end:
        number = errno.ENAMETOOLONG if len(data) == most else errno.EFAULT
        raise OSError(number, os.strerror(number))
    return found
