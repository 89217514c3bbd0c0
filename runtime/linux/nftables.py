"""Tables, chains and rules of nftables, without the ``nft`` program. ``linux/netfilter/nf_tables.h``.

Changes are one batch: all of it happens or nothing. Rules are built of the same expressions that
``nft`` would use, so ``nft list ruleset`` shows them as if typed. nft(8).
"""

import struct
from collections.abc import Iterable

import msgspec

from sandcell.runtime.linux.netlink import (
    ACK,
    APPEND,
    CREATE,
    DUMP,
    NESTED,
    NETFILTER,
    Message,
    Netlink,
    attribute,
    attributes,
    each,
    nested,
)

INET, IPV4, IPV6 = 1, 2, 10
FORWARD, POSTROUTING = 2, 4
DROP, ACCEPT = 0, 1
_NEWTABLE, _GETTABLE, _DELTABLE, _NEWCHAIN, _GETCHAIN = 0, 1, 2, 3, 4
_NEWRULE, _GETRULE, _DELRULE = 6, 7, 8
_BEGIN, _END = 0x10, 0x11
_SUBSYSTEM = 10
_ESTABLISHED_OR_RELATED = 2 | 4


class Chain(msgspec.Struct, frozen=True):
    """A chain as it stands. ``hook`` and ``policy``: -1 for one that is only jumped to."""

    family: int
    table: str
    name: str
    kind: str
    hook: int
    policy: int


class Rule(msgspec.Struct, frozen=True):
    """A rule as it stands, with the comment that ``nft`` shows. ``expressions``: as the kernel has them."""

    family: int
    table: str
    chain: str
    handle: int
    comment: str
    expressions: bytes = b""

    @property
    def refuses_all(self) -> bool:
        """True for one that drops or rejects whatever comes to it."""
        named = [attributes(value) for _, value in each(self.expressions)]
        kinds = [_text(one.get(1)) for one in named]
        if not kinds or set(kinds[:-1]) - {"counter", "log", "limit"}:
            return False
        if kinds[-1] == "reject":
            return True
        return kinds[-1] == "immediate" and is_part(_DROPPING, named[-1].get(2, b""))

    def does(self, expressions: Iterable[bytes]) -> bool:
        """True when it is made of exactly these expressions; what the kernel adds to them does not count."""
        sent = b"".join(expressions)
        return len(list(each(sent))) == len(list(each(self.expressions))) and is_part(sent, self.expressions)


def is_part(sent: bytes, found: bytes) -> bool:
    """True when ``found`` holds every attribute of ``sent``, nested ones too, with the same values. Of
    several of one kind the first is looked for first, and so on."""
    there: dict[int, list[bytes]] = {}
    for kind, value in each(found):
        there.setdefault(kind, []).append(value)
    for kind, value in each(sent, keep_nested=True):
        values = there.get(kind & ~NESTED)
        if not values:
            return False
        other = values.pop(0)
        if not (is_part(value, other) if kind & NESTED else value.rstrip(b"\0") == other.rstrip(b"\0")):
            return False
    return True


def _be32(value: int) -> bytes:
    return struct.pack(">I", value & 0xFFFFFFFF)


def _message(kind: int, flags: int, family: int, body: bytes = b"") -> Message:
    return Message(_SUBSYSTEM << 8 | kind, flags, struct.pack(">BBH", family, 0, 0) + body)


def change(messages: Iterable[Message]) -> None:
    """Make all these changes, or none; ``OSError`` says why not."""
    border = struct.pack(">BBH", 0, 0, _SUBSYSTEM)
    with Netlink(NETFILTER) as channel:
        channel.batch(Message(_BEGIN, 0, border), *messages, Message(_END, 0, border))


def table(family: int, name: str) -> Message:
    """Add a table; one that is there stays."""
    return _message(_NEWTABLE, ACK | CREATE, family, attribute(1, name))


def delete_table(family: int, name: str) -> Message:
    """Delete a table with all that is in it."""
    return _message(_DELTABLE, ACK, family, attribute(1, name))


def chain(family: int, table: str, name: str, kind: str, hook: int, priority: int) -> Message:
    """Add a base chain whose policy is to accept."""
    place = nested(4, attribute(1, _be32(hook)), attribute(2, _be32(priority)))
    body = attribute(1, table) + attribute(3, name) + place + attribute(5, _be32(ACCEPT)) + attribute(7, kind)
    return _message(_NEWCHAIN, ACK | CREATE, family, body)


def rule(
    family: int, table: str, chain: str, expressions: Iterable[bytes], comment: str, *, first: bool = False
) -> Message:
    """Add a rule at the end of a chain, or ``first`` at its beginning."""
    text = comment.encode() + b"\0"
    body = attribute(1, table) + attribute(2, chain) + nested(4, *expressions)
    body += attribute(7, bytes((0, len(text))) + text)
    return _message(_NEWRULE, ACK | CREATE | (0 if first else APPEND), family, body)


def delete_rule(rule: Rule) -> Message:
    """Delete that rule."""
    body = attribute(1, rule.table) + attribute(2, rule.chain) + attribute(3, struct.pack(">Q", rule.handle))
    return _message(_DELRULE, ACK, rule.family, body)


def _expression(name: str, *values: bytes) -> bytes:
    data = nested(2, *values) if values else b""
    return nested(1, attribute(1, name), data)


def _compare(value: bytes, *, equal: bool) -> bytes:
    data = nested(3, attribute(1, value))
    return _expression("cmp", attribute(1, _be32(1)), attribute(2, _be32(0 if equal else 1)), data)


def link_is(*, incoming: bool, name: str, equal: bool = True) -> tuple[bytes, ...]:
    """The packet came in by, or goes out by, the link of that name (or by any other)."""
    load = _expression("meta", attribute(1, _be32(1)), attribute(2, _be32(6 if incoming else 7)))
    return load, _compare(name.encode() + b"\0", equal=equal)


def source_in(address: bytes, prefix: int) -> tuple[bytes, ...]:
    """The source address, of IPv4 or IPv6 by its length, is in that network. RFC 791 and RFC 8200 have it
    12 and 8 bytes from the header's beginning."""
    size = len(address)
    mask = ((1 << 8 * size) - (1 << (8 * size - prefix))).to_bytes(size, "big")
    load = _expression(
        "payload",
        attribute(1, _be32(1)),
        attribute(2, _be32(1)),
        attribute(3, _be32(12 if size == 4 else 8)),
        attribute(4, _be32(size)),
    )
    cut = _expression(
        "bitwise",
        attribute(1, _be32(1)),
        attribute(2, _be32(1)),
        attribute(3, _be32(size)),
        nested(4, attribute(1, mask)),
        nested(5, attribute(1, bytes(size))),
    )
    return load, cut, _compare(address, equal=True)


def unsolicited() -> tuple[bytes, ...]:
    """The packet belongs to no connection that was begun before, as conntrack sees it."""
    load = _expression("ct", attribute(1, _be32(1)), attribute(2, _be32(0)))
    # The state is a number in this machine's byte order.
    bits = nested(4, attribute(1, struct.pack("=I", _ESTABLISHED_OR_RELATED)))
    cut = _expression(
        "bitwise",
        attribute(1, _be32(1)),
        attribute(2, _be32(1)),
        attribute(3, _be32(4)),
        bits,
        nested(5, attribute(1, bytes(4))),
    )
    return load, cut, _compare(bytes(4), equal=True)


def verdict(code: int) -> tuple[bytes, ...]:
    """The last word on the packet: ``DROP`` or ``ACCEPT``."""
    data = nested(2, nested(2, attribute(1, _be32(code))))
    return (_expression("immediate", attribute(1, _be32(0)), data),)


_DROPPING = nested(2, attribute(1, _be32(DROP)))


def masquerade() -> tuple[bytes, ...]:
    """Give the packet the address of the link it leaves by."""
    return (_expression("masq"),)


def _text(data: bytes | None) -> str:
    return (data or b"").rstrip(b"\0").decode(errors="replace")


def _dump(kind: int) -> list[tuple[int, dict[int, bytes]]]:
    with Netlink(NETFILTER) as channel:
        listed = channel.dump(_message(kind, DUMP, 0))
    return [(body[0], attributes(body[4:])) for _, body in listed]


def tables() -> tuple[tuple[int, str], ...]:
    """All tables as (family, name)."""
    return tuple((family, _text(values.get(1))) for family, values in _dump(_GETTABLE))


def chains() -> tuple[Chain, ...]:
    """All chains of this network namespace."""
    found = []
    for family, values in _dump(_GETCHAIN):
        hook = attributes(values[4]) if 4 in values else {}
        number = struct.unpack(">I", hook[1])[0] if 1 in hook else -1
        policy = struct.unpack(">I", values[5])[0] if 5 in values else -1
        found.append(
            Chain(family, _text(values.get(1)), _text(values.get(3)), _text(values.get(7)), number, policy)
        )
    return tuple(found)


def rules() -> tuple[Rule, ...]:
    """All rules of this network namespace."""
    found = []
    for family, values in _dump(_GETRULE):
        (handle,) = struct.unpack(">Q", values[3])
        comment = ""
        data = values.get(7, b"")
        while len(data) >= 2:
            if data[0] == 0:
                comment = _text(data[2 : 2 + data[1]])
            data = data[2 + data[1] :]
        where = (_text(values.get(1)), _text(values.get(2)))
        found.append(Rule(family, *where, handle, comment, values.get(4, b"")))
    return tuple(found)
