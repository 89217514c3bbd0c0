"""Moving a network device into another network namespace with its addresses. rtnetlink(7)."""

import errno
import os
import socket
import struct

from sandcell.runtime.linux.netlink import (
    ACK,
    CREATE,
    DUMP,
    EXCLUSIVE,
    ROUTE,
    Message,
    Netlink,
    attribute,
    attributes,
)
from sandcell.runtime.linux.network import inside_of, link_header

_NEWLINK, _GETLINK, _NEWADDR, _GETADDR = 16, 18, 20, 22
_NAME, _PID = 3, 19
_UP = 1
_LABEL, _CACHE = 3, 6
_PERMANENT = 0x80
_UNIVERSE = 0


def move(name: str, pid: int, wanted: str) -> None:
    """Move ``name`` into the network namespace of process ``pid``, there as ``wanted`` (with ``%d`` for a
    free number), with its permanent addresses of global scope, up. ``OSError``: it stays where it is when
    it cannot be moved. Single-threaded processes only: for a moment the caller is in the other namespace.
    """
    try:
        index = socket.if_nametoindex(name)
    except OSError:  # without a number
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), name) from None
    with Netlink(ROUTE) as channel:
        listed = channel.dump(Message(_GETADDR, DUMP, bytes(8)))
        addresses = [body for kind, body in listed if _stays(kind, body, index)]
        with inside_of(pid) as inside:
            before = _links(inside)
            body = link_header(index) + attribute(_PID, pid) + attribute(_NAME, wanted)
            channel.batch(Message(_NEWLINK, ACK, body))
            (moved,) = _links(inside) - before
            for body in addresses:
                inside.batch(Message(_NEWADDR, ACK | CREATE | EXCLUSIVE, _again(body, moved)))
            inside.batch(Message(_NEWLINK, ACK, link_header(moved, _UP)))


def _links(channel: Netlink) -> set[int]:
    listed = channel.dump(Message(_GETLINK, DUMP, link_header()))
    return {struct.unpack_from("=i", body, 4)[0] for kind, body in listed if kind == _NEWLINK}


def _stays(kind: int, body: bytes, index: int) -> bool:
    _, _, flags, scope, of = struct.unpack_from("=BBBBI", body)
    return kind == _NEWADDR and of == index and bool(flags & _PERMANENT) and scope == _UNIVERSE


def _again(body: bytes, index: int) -> bytes:
    """The address as it was told, for the link of that number."""
    family, prefix, flags, scope, _ = struct.unpack_from("=BBBBI", body)
    # The label repeats the old name, the rest of the cache is lifetimes that have no end.
    kept = {kind: value for kind, value in attributes(body[8:]).items() if kind not in (_LABEL, _CACHE)}
    head = struct.pack("=BBBBI", family, prefix, flags & ~_PERMANENT, scope, index)
    return head + b"".join(attribute(kind, value) for kind, value in kept.items())
