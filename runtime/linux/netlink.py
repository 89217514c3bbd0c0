"""Messages to the kernel's networking: a small builder and a raw socket. netlink(7), rtnetlink(7).

A request is sent as a batch: several messages in one ``send``, each answered by an acknowledgement.
So a link is made and set up with one system call and one reply to read.
"""

import os
import socket
import struct
from collections.abc import Iterable, Iterator

ROUTE = 0
NETFILTER = 12

REQUEST, ACK, EXCLUSIVE, CREATE, APPEND = 0x1, 0x4, 0x200, 0x400, 0x800
DUMP = 0x300
NESTED = 0x8000
_KIND = 0x3FFF  # without the flags "nested" and "network byte order"

_ERROR, _DONE = 2, 3
_HEADER = struct.Struct("=IHHII")
_SIZE = 1 << 18
_ALL_NAMESPACES_ACK = 10  # NETLINK_CAP_ACK: an acknowledgement does not repeat the request


class Message:
    """One message: its kind, flags beside ``REQUEST``, and what follows the header."""

    __slots__ = ("body", "flags", "kind")

    def __init__(self, kind: int, flags: int, body: bytes) -> None:
        self.kind = kind
        self.flags = flags | REQUEST
        self.body = body


def attribute(kind: int, value: bytes | int | str) -> bytes:
    """One attribute with its padding; an ``int`` is 32 bits of this machine, text ends with NUL."""
    data = struct.pack("=I", value) if isinstance(value, int) else value
    data = data.encode() + b"\0" if isinstance(data, str) else data
    return struct.pack("=HH", len(data) + 4, kind) + data + bytes(-len(data) % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute made of others."""
    return attribute(kind | NESTED, b"".join(attributes))


def attributes(data: bytes) -> dict[int, bytes]:
    """The attributes in ``data`` by kind; of several of one kind the last."""
    return dict(each(data))


def each(data: bytes, *, keep_nested: bool = False) -> Iterator[tuple[int, bytes]]:
    """The attributes in ``data``, in order; with ``keep_nested`` their kinds tell ``NESTED`` too."""
    mask = _KIND | NESTED if keep_nested else _KIND
    place = 0
    while place + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, place)
        if length < 4:
            return
        yield kind & mask, data[place + 4 : place + length]
        place += length + (-length % 4)


class Netlink:
    """A socket of the network namespace in which it is made. Not for several threads at once."""

    def __init__(self, protocol: int) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        try:
            self._socket.setsockopt(270, _ALL_NAMESPACES_ACK, 1)
            self._socket.bind((0, 0))
        except BaseException:
            self._socket.close()
            raise
        self._number = 0

    def __enter__(self) -> "Netlink":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def batch(self, *messages: Message) -> None:
        """Send them all, and wait until each is answered. The first refusal is raised as ``OSError``;
        those after it may have been done all the same (not so within a netfilter batch)."""
        waiting = set()
        data = b""
        for message in messages:
            self._number += 1
            if message.flags & ACK:
                waiting.add(self._number)
            data += _packed(message, self._number)
        self._socket.send(data)
        refused = 0
        while waiting:
            for kind, number, body in self._receive():
                if kind == _ERROR:
                    (code,) = struct.unpack_from("=i", body)
                    waiting.discard(number)
                    refused = refused or -code
                    if code and number not in waiting and len(messages) > 1 and not messages[0].flags & ACK:
                        waiting.clear()  # a netfilter batch is given up as a whole
        if refused:
            raise OSError(refused, os.strerror(refused))

    def dump(self, message: Message) -> list[tuple[int, bytes]]:
        """All that the kernel lists in answer: (kind, body) of each."""
        self._number += 1
        number = self._number
        self._socket.send(_packed(message, number))
        found: list[tuple[int, bytes]] = []
        while True:
            for kind, told, body in self._receive():
                if told != number:
                    continue
                if kind == _DONE:
                    return found
                if kind == _ERROR:
                    (code,) = struct.unpack_from("=i", body)
                    if code:
                        raise OSError(-code, os.strerror(-code))
                    return found
                found.append((kind, body))

    def _receive(self) -> Iterable[tuple[int, int, bytes]]:
        data = self._socket.recv(_SIZE)
        place = 0
        while place + _HEADER.size <= len(data):
            length, kind, _, number, _ = _HEADER.unpack_from(data, place)
            yield kind, number, data[place + _HEADER.size : place + length]
            place += length + (-length % 4)


def _packed(message: Message, number: int) -> bytes:
    length = _HEADER.size + len(message.body)
    head = _HEADER.pack(length, message.kind, message.flags, number, 0)
    return head + message.body + bytes(-length % 4)
