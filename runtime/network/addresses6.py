"""IPv6 networks and addresses as numbers, as ``addresses`` has them for IPv4. Pure, but for ``fresh``.

Who is on a network has the same place in its IPv6 network as in its IPv4 one, unless one was asked for.
"""

import os
import socket
from collections.abc import Iterable

from sandcell.runtime.errors import InvalidOption
from sandcell.runtime.network import addresses
from sandcell.runtime.network.addresses import Subnet


def number(text: str) -> int:
    """The number of ``fd00::1``; ``OSError`` for no address."""
    return int.from_bytes(socket.inet_pton(socket.AF_INET6, text), "big")


def shown(value: int) -> str:
    """``fd00::1`` of its number, as short as it goes. RFC 5952."""
    return socket.inet_ntop(socket.AF_INET6, value.to_bytes(16, "big"))


def fresh() -> str:
    """A network of this machine's own: a locally assigned prefix with random bits. RFC 4193, section 3.2."""
    return show((int.from_bytes(b"\xfd" + os.urandom(5), "big") << 80, 64))


def parse(text: str) -> Subnet:
    """``fd00:5::/64``; ``InvalidOption`` for anything but a network with room for one of IPv4 in it."""
    subnet = addresses.read(text, number, 128)
    if not 8 <= subnet[1] <= 96:
        cause = "not an IPv6 network with 32 bits or more for its containers"
        raise InvalidOption("use", f"--subnet {text}", cause, "write fd00:5::/64")
    return subnet


def show(subnet: Subnet) -> str:
    """``fd00:5::/64``."""
    return f"{shown(subnet[0])}/{subnet[1]}"


def overlap(one: Subnet, other: Subnet) -> bool:
    """True when an address is in both."""
    return addresses.overlap(one, other, 128)


def within(subnet: Subnet, option: str, text: str) -> int:
    """The number of an address that a host of ``subnet`` may have; ``InvalidOption`` for any other."""
    value = addresses.inside(subnet, text, number, 128)
    if not value:
        raise addresses.foreign(option, text, show(subnet))
    return value


def beside(subnet: Subnet, place: int, taken: Iterable[int]) -> int:
    """The address with that place in ``subnet``, or the next that is not taken."""
    value = subnet[0] + place
    used = set(taken)
    while value in used:
        value += 1
    return value
