"""Networks and addresses as numbers. Pure; IPv4, as (address, prefix length)."""

import socket
import struct
from collections.abc import Callable, Iterable

from sandcell.runtime.errors import HostRefused, InvalidOption

Subnet = tuple[int, int]
PREFIX = 24
_POOLS = ((10, 211, 0, 0, 16), (172, 29, 0, 0, 16), (192, 168, 176, 0, 20))


def number(text: str) -> int:
    """The number of ``10.211.0.1``; ``OSError`` for no address."""
    return int.from_bytes(socket.inet_pton(socket.AF_INET, text), "big")


def dotted(value: int) -> str:
    """``10.211.0.1`` of its number."""
    return socket.inet_ntoa(struct.pack(">I", value))


def parse(text: str) -> Subnet:
    """``10.5.0.0/24``; ``InvalidOption`` for anything but a network with room for two."""
    subnet = read(text, number, 32)
    if not 8 <= subnet[1] <= 29:
        raise InvalidOption("use", f"--subnet {text}", "not an IPv4 network", "write 10.5.0.0/24")
    return subnet


def read(text: str, number: Callable[[str], int], bits: int) -> Subnet:
    """``ADDRESS/LENGTH`` with addresses of so many bits, which ``number`` reads; the length is 0 for what
    is no network, or is the address of one host."""
    address, _, length = text.partition("/")
    try:
        base, prefix = number(address), int(length)
    except (OSError, ValueError):
        return 0, 0
    whole = 0 <= prefix <= bits and not base & ((1 << (bits - prefix)) - 1)
    return (base, prefix) if whole else (0, 0)


def show(subnet: Subnet) -> str:
    """``10.5.0.0/24``."""
    return f"{dotted(subnet[0])}/{subnet[1]}"


def overlap(one: Subnet, other: Subnet, bits: int = 32) -> bool:
    """True when an address, of so many bits, is in both."""
    shift = bits - min(one[1], other[1])
    return one[0] >> shift == other[0] >> shift


def free_subnet(taken: Iterable[Subnet]) -> Subnet:
    """A network that nothing in ``taken`` (routes, other networks) touches; ``HostRefused`` when all
    of our pools are in use."""
    used = list(taken)
    for a, b, c, d, size in _POOLS:
        first = a << 24 | b << 16 | c << 8 | d
        for step in range(1 << (PREFIX - size)):
            candidate = (first + (step << (32 - PREFIX)), PREFIX)
            if not any(overlap(candidate, other) for other in used):
                return candidate
    raise HostRefused(
        "find", "a free network", "routes take all of our pools", "name one: network create --subnet"
    )


def within(subnet: Subnet, option: str, text: str) -> int:
    """The number of an address that a host of ``subnet`` may have; ``InvalidOption`` for any other."""
    value = inside(subnet, text, number, 32)
    # The last one is meant for all of them. RFC 919
    if not value or value == subnet[0] + (1 << (32 - subnet[1])) - 1:
        raise foreign(option, text, show(subnet))
    return value


def inside(subnet: Subnet, text: str, number: Callable[[str], int], bits: int) -> int:
    """The number of an address, of so many bits, which ``number`` reads; 0 for none behind the first of
    ``subnet``, which is nobody's."""
    try:
        value = number(text)
    except OSError:
        return 0
    base, prefix = subnet
    return value if base < value < base + (1 << (bits - prefix)) else 0


def foreign(option: str, text: str, shown: str) -> InvalidOption:
    """What is no address for a host of that network."""
    return InvalidOption("use", f"{option} {text}", f"not an address of {shown}", "choose another")


def free_address(subnet: Subnet, taken: Iterable[int], after: int) -> int:
    """The first address behind ``after`` that is free, going round; so one that was given back is
    not used again at once. The first and the last of the network are nobody's; the bridge's is among
    ``taken``."""
    base, prefix = subnet
    size = 1 << (32 - prefix)
    used = set(taken)
    start = after - base if base < after < base + size else 1
    for step in range(1, size):
        place = (start + step) % size
        if 1 <= place < size - 1 and base + place not in used:
            return base + place
    raise HostRefused(
        "find", "a free address", f"all {size - 3} of {show(subnet)} are in use", "remove containers"
    )
