"""Networks in use: who is on which bridge with which address, in files of this boot under one lock.

A network comes to life with its first container and is taken down behind its last one, or a moment
later: taking a bridge down keeps the kernel's networking to itself for 50 ms, in which the next
container would wait. What is intended is written before the kernel is told, so that whoever clears up
after a crash knows.
"""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import msgspec

from sandcell.runtime.errors import Conflict, HostRefused, InvalidOption
from sandcell.runtime.known import known
from sandcell.runtime.linux import network as kernel
from sandcell.runtime.network import addresses, addresses6, firewall, forwarding, names
from sandcell.runtime.network.networks import Network

_BRIDGE = "sandcell"
_LOCK = ".lock"
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


class Member(msgspec.Struct, frozen=True):
    """A container on a network. ``names``: what others call it; ``hosts``: its /etc/hosts out here;
    ``number``: which of its networks this is, from 0; ``address6``: 0 where the network has no IPv6."""

    address: int
    names: tuple[str, ...]
    hosts: str
    number: int = 0
    address6: int = 0


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """A network in use. ``last``: the address given last. ``standing``: how the firewall takes it.
    ``subnet6``, ``gateway6``: of IPv6, none and 0 where it has none."""

    name: str
    bridge: str
    subnet: addresses.Subnet
    gateway: int
    subnet6: addresses.Subnet | None = None
    gateway6: int = 0
    internal: bool = False
    last: int = 0
    members: dict[str, Member] = {}
    standing: firewall.Standing = firewall.Standing()


class Seat(msgspec.Struct, frozen=True):
    """A place on a network. ``outside``, ``inside``: the names of the link's ends on the host and in the
    container; ``gateway``: empty where nothing leaves the network. ``six``: address, prefix and gateway
    of IPv6, empty where it has none."""

    bridge: str
    outside: str
    inside: str
    address: str
    prefix: int
    gateway: str
    mac: bytes
    six: tuple[str, int, str] = ("", 0, "")


class Guest(msgspec.Struct, frozen=True):
    """Who wants a place: the container's ``id``, what others shall call it, its /etc/hosts out here,
    and the addresses that it would like to have, empty for any."""

    id: str
    names: tuple[str, ...]
    hosts: str
    address: str = ""
    address6: str = ""


def join(directory: str, network: Network, guest: Guest) -> Seat:
    """Give a container an address, bring the network to life where it is not, and tell the others its
    names. Repeating it gives the same seat. ``HostRefused`` says what the kernel said; ``Conflict``
    when the address is taken; ``InvalidOption`` when it is none of the network's."""
    with locked(directory, make=True):
        live = read(directory, network.name) or _new(directory, network)
        address, address6 = _address(live, guest), _address6(live, guest)  # refused before anything is made
        _write(directory, live)
        try:
            live = _ensure(directory, live)
        except OSError as error:
            if not live.members:
                end(directory, live)
            cause = f"the kernel says: {error.strerror}"
            raise HostRefused("make network", network.name, cause, "see `sandcell doctor`") from None
        member = live.members.get(guest.id)
        if member is None:
            six = address6 or _place6(live, address)
            member = Member(address, guest.names, guest.hosts, _number(directory, guest.id), six)
            live = msgspec.structs.replace(live, last=address, members={**live.members, guest.id: member})
        _write(directory, live)
        _tell_names(live)
    return _seat(live, guest.id)


def leave(directory: str, network: str, id: str, *, linger: bool = False) -> None:
    """Give the address back, and take the network down behind the last one; with ``linger`` that is
    left to ``ending.end_idle``. May be repeated; nothing where the records are gone."""
    live = read(directory, network)
    if live is not None and id in live.members:
        # Before the lock: it takes the kernel a while, and the next one shall not wait for that.
        kernel.delete_link(outside_name(id, live.members[id].number))
    with suppress(FileNotFoundError), locked(directory):
        live = read(directory, network)
        if live is None:
            return
        gone = live.members.get(id)
        rest = {other: member for other, member in live.members.items() if other != id}
        live = msgspec.structs.replace(live, members=rest)
        if gone is not None:
            names.rewrite(gone.hosts, network, ())
        if rest or linger:
            _write(directory, live)
            _tell_names(live)
        else:
            end(directory, live)


def leave_all(directory: str, id: str, *, linger: bool = False) -> None:
    """Leave every network that the container is on, as ``leave`` does it. May be repeated."""
    for live in every(directory):
        if id in live.members:
            leave(directory, live.name, id, linger=linger)


def rename(directory: str, id: str, old: str, new: str) -> None:
    """Let the others know a container by another name, on all of its networks."""
    with suppress(FileNotFoundError), locked(directory):
        for live in every(directory):
            member = live.members.get(id)
            if member is not None:
                called = tuple(new if name == old else name for name in member.names)
                changed = msgspec.structs.replace(member, names=called)
                live = msgspec.structs.replace(live, members={**live.members, id: changed})
                _write(directory, live)
                _tell_names(live)


def every(directory: str) -> tuple[Live, ...]:
    """The networks in use."""
    try:
        files = os.listdir(directory)
    except FileNotFoundError:
        return ()
    found = [read(directory, name[:-5]) for name in sorted(files) if name.endswith(".json")]
    return tuple(live for live in found if live is not None)


def seats(directory: str, id: str) -> tuple[Seat, ...]:
    """The container's places, in the order in which it was given them."""
    mine = [live for live in every(directory) if id in live.members]
    return tuple(_seat(live, id) for live in sorted(mine, key=lambda live: live.members[id].number))


def outside_name(id: str, number: int = 0) -> str:
    """The host's end of a container's link; a link's name has at most 15 characters."""
    return f"sc{id[:12]}{_DIGITS[number] if number else ''}"


def _seat(live: Live, id: str) -> Seat:
    member = live.members[id]
    return Seat(
        live.bridge,
        outside_name(id, member.number),
        f"eth{member.number}",
        addresses.dotted(member.address),
        live.subnet[1],
        "" if live.internal else addresses.dotted(live.gateway),
        bytes((0x02, 0x5C)) + member.address.to_bytes(4, "big"),
        (
            addresses6.shown(member.address6),
            live.subnet6[1],
            "" if live.internal else addresses6.shown(live.gateway6),
        )
        if live.subnet6
        else ("", 0, ""),
    )


def mark(directory: str) -> str:
    """How the notes on our bridges end: so they are known again if the records in ``directory`` are lost."""
    import hashlib  # late: few ends of containers come to this

    return f" ({hashlib.blake2s(os.path.realpath(directory).encode(), digest_size=8).hexdigest()})"


def _number(directory: str, id: str) -> int:
    taken = {live.members[id].number for live in every(directory) if id in live.members}
    free = [number for number in range(len(_DIGITS)) if number not in taken]
    if not free:
        raise HostRefused("join", "another network", f"the container is on {len(taken)} already", "leave one")
    return free[0]


def _address(live: Live, guest: Guest) -> int:
    if guest.id in live.members:
        return live.members[guest.id].address
    taken = [live.gateway, *(other.address for other in live.members.values())]
    if not guest.address:
        return addresses.free_address(live.subnet, taken, live.last)
    wanted = addresses.within(live.subnet, "--ip", guest.address)
    if wanted in taken:
        raise Conflict("use", f"--ip {guest.address}", "somebody on the network has it", "choose another")
    return wanted


def _address6(live: Live, guest: Guest) -> int:
    if not guest.address6 or guest.id in live.members:
        return 0
    if not live.subnet6:
        cause = f"the network {live.name} has no IPv6"
        raise InvalidOption("use", f"--ip6 {guest.address6}", cause, "make one: network create --ipv6")
    wanted = addresses6.within(live.subnet6, "--ip6", guest.address6)
    if wanted in (live.gateway6, *(other.address6 for other in live.members.values())):
        raise Conflict("use", f"--ip6 {guest.address6}", "somebody on the network has it", "choose another")
    return wanted


def _place6(live: Live, address: int) -> int:
    if not live.subnet6:
        return 0
    taken = (live.gateway6, *(other.address6 for other in live.members.values()))
    return addresses6.beside(live.subnet6, address - live.subnet[0], taken)


def _new6(directory: str, network: Network, gateway: int) -> tuple[addresses.Subnet | None, int]:
    if not network.subnet6:
        return None, 0
    subnet = addresses6.parse(network.subnet6)
    used = [other.subnet6 for other in every(directory) if other.subnet6]
    for other in (*kernel.routes(socket.AF_INET6), *used):
        if addresses6.overlap(subnet, other):
            cause = f"a route of this machine leads to {addresses6.show(other)}"
            raise HostRefused("use network", network.name, cause, "choose another --subnet")
    return subnet, addresses6.number(network.gateway6) if network.gateway6 else subnet[0] + gateway


def _new(directory: str, network: Network) -> Live:
    taken = [*kernel.routes(), *(other.subnet for other in every(directory))]
    if network.subnet:
        subnet = addresses.parse(network.subnet)
        for other in taken:
            if addresses.overlap(subnet, other):
                cause = f"a route of this machine leads to {addresses.show(other)}"
                raise HostRefused("use network", network.name, cause, "choose another --subnet")
    else:
        subnet = addresses.free_subnet(taken)
    there = {link.name for link in kernel.links()} | {other.bridge for other in every(directory)}
    number = 0
    while f"{_BRIDGE}{number}" in there:
        number += 1
    gateway = addresses.number(network.gateway) if network.gateway else subnet[0] + 1
    subnet6, gateway6 = _new6(directory, network, gateway - subnet[0])
    return Live(
        name=network.name,
        bridge=f"{_BRIDGE}{number}",
        subnet=subnet,
        gateway=gateway,
        subnet6=subnet6,
        gateway6=gateway6,
        internal=network.internal,
    )


def _ensure(directory: str, live: Live) -> Live:
    try:
        socket.if_nametoindex(live.bridge)
    except OSError:
        base, prefix = live.subnet
        alias = f"sandcell network {live.name}{mark(directory)}"
        kernel.make_bridge(live.bridge, alias, addresses.dotted(live.gateway), prefix)
        firewall.set_up(live.bridge, base.to_bytes(4, "big"), prefix, internal=live.internal)
        if live.subnet6:
            base, prefix = live.subnet6
            kernel.add_address6(live.bridge, addresses6.shown(live.gateway6), prefix)
            firewall.set_up(live.bridge, base.to_bytes(16, "big"), prefix, internal=live.internal)
        if not live.internal:
            forwarding.switch_on(directory, six=bool(live.subnet6))
    if live.internal:
        return live
    standing = firewall.pass_others(live.bridge, six=bool(live.subnet6))
    return msgspec.structs.replace(live, standing=standing)


def end(directory: str, live: Live) -> None:
    """Take a network down and forget it. The caller holds the lock."""
    try:
        firewall.take_down(live.bridge)
    except OSError:
        pass  # its rules speak of a link that is about to go; the next sweep tries again
    kernel.delete_link(live.bridge)
    if all(other.name == live.name for other in every(directory)):
        forwarding.put_back(directory)
    os.unlink(f"{directory}/{live.name}.json")  # last: who looks whether it is gone finds all of it gone


def _tell_names(live: Live) -> None:
    lines = []
    for member in live.members.values():
        called = " ".join(dict.fromkeys(member.names))
        lines.append(f"{addresses.dotted(member.address)}\t{called}")
        if member.address6:
            lines.append(f"{addresses6.shown(member.address6)}\t{called}")
    for member in live.members.values():
        names.rewrite(member.hosts, live.name, lines)


def read(directory: str, name: str) -> Live | None:
    """The record of that network, ``None`` where it is not in use."""
    try:
        with open(f"{directory}/{name}.json", "rb") as file:
            return msgspec.json.decode(file.read(), type=known(Live))
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def _write(directory: str, live: Live) -> None:
    path = f"{directory}/{live.name}.json"
    with open(path + ".new", "wb") as file:
        file.write(msgspec.json.encode(live))
    os.rename(path + ".new", path)


@contextmanager
def locked(directory: str, *, make: bool = False) -> Iterator[None]:
    """Hold the lock of the records. ``FileNotFoundError`` where there are none, unless with ``make``: who
    deletes them, by whatever means, shall not find them half made again."""
    fd = _lock(directory, make=make)
    try:
        yield
    finally:
        os.close(fd)


def _lock(directory: str, *, make: bool) -> int:
    while True:
        if make:
            os.makedirs(directory, mode=0o700, exist_ok=True)
        fd = os.open(f"{directory}/{_LOCK}", os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if make else 0), 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_nlink:
            return fd
        os.close(fd)  # it was deleted while we waited
