"""Links, addresses and routes of network namespaces. rtnetlink(7), veth(4), ``linux/if_link.h``."""

import errno
import os
import socket
import struct

import msgspec

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
    nested,
)
from sandcell.runtime.linux.syscall import CLONE_NEWNET, setns

_NEWLINK, _DELLINK, _GETLINK, _NEWADDR, _NEWROUTE, _GETROUTE = 16, 17, 18, 20, 24, 26
_ADDRESS, _NAME, _MASTER, _INFO, _PID, _ALIAS = 1, 3, 10, 18, 19, 20
_KIND, _DATA = 1, 2
_PEER = 1
_UP = 1
_NO_DAD = 0x02


class Link(msgspec.Struct, frozen=True):
    """A link as it stands. ``alias``: a note that people may leave on it. ``kind``: as of ip-link(8), empty
    for hardware and loopback."""

    index: int
    name: str
    alias: str
    master: int
    kind: str = ""


def link_header(index: int = 0, flags: int = 0) -> bytes:
    """What a message of links begins with: which one, and the flags that it gets. rtnetlink(7), ifinfomsg."""
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, flags, flags)


def links() -> tuple[Link, ...]:
    """The links of this network namespace."""
    with Netlink(ROUTE) as channel:
        listed = channel.dump(Message(_GETLINK, DUMP, link_header()))
    found = []
    for kind, body in listed:
        if kind == _NEWLINK:
            (index,) = struct.unpack_from("=i", body, 4)
            values = attributes(body[16:])
            master = struct.unpack("=I", values[_MASTER])[0] if _MASTER in values else 0
            about = _text(attributes(values.get(_INFO, b"")).get(_KIND))
            found.append(Link(index, _text(values.get(_NAME)), _text(values.get(_ALIAS)), master, about))
    return tuple(found)


def _text(data: bytes | None) -> str:
    return (data or b"").rstrip(b"\0").decode(errors="replace")


def routes(family: int = socket.AF_INET) -> tuple[tuple[int, int], ...]:
    """The networks of ``family`` that this namespace knows a way to, as (address, prefix length); all
    tables, without the default route."""
    with Netlink(ROUTE) as channel:
        listed = channel.dump(Message(_GETROUTE, DUMP, struct.pack("=BBBBBBBBI", family, *[0] * 8)))
    found = set()
    for kind, body in listed:
        prefix = body[1]
        values = attributes(body[12:])
        if kind == _NEWROUTE and prefix and 1 in values:
            found.add((int.from_bytes(values[1], "big"), prefix))
    return tuple(sorted(found))


def make_bridge(name: str, alias: str, address: str, prefix: int) -> None:
    """A bridge with that address, up. ``FileExistsError`` when a link of that name is there."""
    with Netlink(ROUTE) as channel:
        body = link_header(flags=_UP) + attribute(_NAME, name) + nested(_INFO, attribute(_KIND, "bridge"))
        channel.batch(Message(_NEWLINK, ACK | CREATE | EXCLUSIVE, body))
        index = socket.if_nametoindex(name)
        note = Message(_NEWLINK, ACK, link_header(index) + attribute(_ALIAS, alias))
        channel.batch(note, _address(index, address, prefix))


def add_address6(name: str, address: str, prefix: int) -> None:
    """Give the link ``name`` an IPv6 address. ``OSError`` when this kernel has no IPv6."""
    # Links of a machine may begin without: sysctl net.ipv6.conf.default.disable_ipv6.
    with open(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6", "w", encoding="ascii") as file:
        file.write("0")
    with Netlink(ROUTE) as channel:
        channel.batch(_address(socket.if_nametoindex(name), address, prefix))


def _address(index: int, address: str, prefix: int) -> Message:
    if ":" in address:
        # Nobody else has it, so it can be used at once, without being asked for on the link before.
        body = struct.pack("=BBBBi", socket.AF_INET6, prefix, _NO_DAD, 0, index)
        body += attribute(1, socket.inet_pton(socket.AF_INET6, address))
        return Message(_NEWADDR, ACK | CREATE | EXCLUSIVE, body)
    raw = socket.inet_aton(address)
    broadcast = (int.from_bytes(raw, "big") | ((1 << (32 - prefix)) - 1)).to_bytes(4, "big")
    body = struct.pack("=BBBBi", socket.AF_INET, prefix, 0, 0, index)
    body += attribute(2, raw) + attribute(1, raw) + attribute(4, broadcast)
    return Message(_NEWADDR, ACK | CREATE | EXCLUSIVE, body)


def delete_link(name: str) -> None:
    """Delete a link; nothing where there is none."""
    with Netlink(ROUTE) as channel:
        try:
            channel.batch(Message(_DELLINK, ACK, link_header() + attribute(_NAME, name)))
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise


def connect(
    pid: int,
    bridge: str,
    outside: str,
    inside: str,
    mac: bytes,
    address: str,
    prefix: int,
    gateway: str,
    six: tuple[str, int, str] = ("", 0, ""),
) -> None:
    """Connect the network namespace of process ``pid`` to ``bridge``: a pair of virtual links, made
    with its inner end already in there (moving it takes 20 ms), its address and its way out (none where
    ``gateway`` is empty, or where it has one already). ``six``: address, prefix and gateway of IPv6.

    The pair goes with the namespace. Single-threaded processes only: for a moment the caller is in
    the other namespace.
    """
    # Not up yet: a veth cannot open before it has its peer.
    names = attribute(_NAME, inside) + attribute(_ADDRESS, mac) + attribute(_PID, pid)
    peer = nested(_PEER, link_header(), names)
    body = link_header(flags=_UP) + attribute(_NAME, outside)
    body += attribute(_MASTER, socket.if_nametoindex(bridge))
    body += nested(_INFO, attribute(_KIND, "veth"), nested(_DATA, peer))
    with Netlink(ROUTE) as channel:
        channel.batch(Message(_NEWLINK, ACK | CREATE | EXCLUSIVE, body))
    with inside_of(pid) as channel:
        index = _index(channel, inside)
        up = Message(_NEWLINK, ACK, link_header(index, _UP))
        address6, prefix6, gateway6 = six
        more = [_address(index, address6, prefix6)] if address6 else []
        channel.batch(_address(index, address, prefix), up, *more)
        for way in filter(None, (gateway, gateway6)):
            _lead_out(channel, way)


def lead_out(pid: int, gateway: str) -> None:
    """Let the way out of the network namespace of ``pid`` be by ``gateway``, where it has none yet.
    Single-threaded processes only."""
    with inside_of(pid) as channel:
        _lead_out(channel, gateway)


def _lead_out(channel: Netlink, gateway: str) -> None:
    family = socket.AF_INET6 if ":" in gateway else socket.AF_INET
    way = struct.pack("=BBBBBBBBI", family, 0, 0, 0, 254, 4, 0, 1, 0)
    way += attribute(5, socket.inet_pton(family, gateway))
    try:
        channel.batch(Message(_NEWROUTE, ACK | CREATE | EXCLUSIVE, way))
    except FileExistsError:
        pass  # the first network that leads out is the way out


def _index(channel: Netlink, name: str) -> int:
    for kind, body in channel.dump(Message(_GETLINK, DUMP, link_header())):
        if kind == _NEWLINK and _text(attributes(body[16:]).get(_NAME)) == name:
            index: int = struct.unpack_from("=i", body, 4)[0]
            return index
    raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), name)


def inside_of(pid: int) -> Netlink:
    """A netlink socket of the network namespace of process ``pid``."""
    mine = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        theirs = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            setns(theirs, CLONE_NEWNET)
        finally:
            os.close(theirs)
        try:
            return Netlink(ROUTE)
        finally:
            setns(mine, CLONE_NEWNET)
    finally:
        os.close(mine)
