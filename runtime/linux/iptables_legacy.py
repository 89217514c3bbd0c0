"""What the old iptables does with packets that pass through, which nftables does not show.

Its tables are read with ``getsockopt`` of a raw socket: ``linux/netfilter_ipv4/ip_tables.h``.
"""

import ctypes
import os
import socket
import struct

from sandcell.runtime.linux.syscall import libc

_NAMES = "/proc/net/ip_tables_names"
_GET_INFO, _GET_ENTRIES = 64, 65
_INFO = struct.Struct("=32s13I")
_FORWARD = 2
_HEAD = 40  # of struct ipt_get_entries, before the entries
_TARGET_OFFSET = 88  # in struct ipt_entry
_TARGET_HEAD = 32  # struct xt_entry_target
_DROP = -1  # the verdict of a standard target is -(verdict) - 1


def forward_drops() -> bool:
    """True when the policy of its FORWARD chain in this network namespace is to drop. False where it is
    not used, or may not be asked; asking loads no module."""
    try:
        with open(_NAMES, encoding="ascii") as file:
            if "filter" not in file.read().split():
                return False
        with socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_RAW) as raw:
            info = _ask(raw, _GET_INFO, b"filter".ljust(_INFO.size, b"\0"))
            _, _, *numbers = _INFO.unpack(info)
            underflow, size = numbers[5:10], numbers[11]
            wanted = struct.pack("=32sI", b"filter", size).ljust(_HEAD + size, b"\0")
            entries = _ask(raw, _GET_ENTRIES, wanted)[_HEAD:]
    except OSError:
        return False
    entry = underflow[_FORWARD]
    (offset,) = struct.unpack_from("=H", entries, entry + _TARGET_OFFSET)
    (verdict,) = struct.unpack_from("=i", entries, entry + offset + _TARGET_HEAD)
    return bool(verdict == _DROP)


def _ask(raw: socket.socket, option: int, data: bytes) -> bytes:
    buffer = ctypes.create_string_buffer(data, len(data))
    length = ctypes.c_uint32(len(data))
    if libc.getsockopt(raw.fileno(), socket.IPPROTO_IP, option, buffer, ctypes.byref(length)) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "getsockopt")
    return buffer.raw
