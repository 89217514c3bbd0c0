"""Networks in use: who is on which bridge with which address, in files of this boot under one lock.

A network comes to life with its first container and is taken down behind its last one; what is
intended is written before the kernel is told, so that whoever clears up after a crash knows.
"""

import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from sandcell.runtime.errors import HostRefused
from sandcell.runtime.linux import network as kernel
from sandcell.runtime.network import addresses, firewall, names
from sandcell.runtime.network.networks import Network

_BRIDGE = "sandcell"
_LOCK = ".lock"


class Member(msgspec.Struct, frozen=True):
    """A container on a network. ``names``: what others call it; ``hosts``: its /etc/hosts out here."""

    address: int
    names: tuple[str, ...]
    hosts: str


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """A network in use. ``last``: the address given last."""

    name: str
    bridge: str
    subnet: addresses.Subnet
    last: int = 0
    members: dict[str, Member] = {}

    @property
    def gateway(self) -> int:
        """The bridge's address."""
        return self.subnet[0] + 1


class Seat(msgspec.Struct, frozen=True):
    """A place on a network. ``outside``: the name of the link's end on the host."""

    bridge: str
    outside: str
    address: str
    prefix: int
    gateway: str
    mac: bytes


def join(directory: str, network: Network, id: str, called: tuple[str, ...], hosts: str) -> Seat:
    """Give container ``id`` an address, bring the network to life where it is not, and tell the
    others its names. Repeating it gives the same seat. ``HostRefused`` says what the kernel said."""
    with _locked(directory):
        live = _read(directory, network.name) or _new(directory, network)
        _write(directory, live)
        try:
            _ensure(live)
        except OSError as error:
            if not live.members:
                _end(directory, live)
            cause = f"the kernel says: {error.strerror}"
            raise HostRefused("make network", network.name, cause, "see `sandcell doctor`") from None
        member = live.members.get(id)
        if member is None:
            taken = [other.address for other in live.members.values()]
            address = addresses.free_address(live.subnet, taken, live.last)
            member = Member(address, called, hosts)
            live = msgspec.structs.replace(live, last=address, members={**live.members, id: member})
            _write(directory, live)
        _tell_names(live)
    mac = bytes((0x02, 0x5C)) + member.address.to_bytes(4, "big")
    return Seat(
        live.bridge,
        outside_name(id),
        addresses.dotted(member.address),
        live.subnet[1],
        addresses.dotted(live.gateway),
        mac,
    )


def leave(directory: str, network: str, id: str) -> None:
    """Give the address back, and take the network down behind the last one. May be repeated."""
    # Before the lock: it takes the kernel a while, and the next one shall not wait for that.
    kernel.delete_link(outside_name(id))
    with _locked(directory):
        live = _read(directory, network)
        if live is None:
            return
        rest = {other: member for other, member in live.members.items() if other != id}
        live = msgspec.structs.replace(live, members=rest)
        if rest:
            _write(directory, live)
            _tell_names(live)
        else:
            _end(directory, live)


def sweep(directory: str, alive: Callable[[str], bool]) -> None:
    """Take from every network those that are not alive: their monitors were killed."""
    for live in every(directory):
        dead = [id for id in live.members if not alive(id)]
        for id in dead:
            leave(directory, live.name, id)
        if not live.members:
            with _locked(directory):
                now = _read(directory, live.name)
                if now is not None and not now.members:
                    _end(directory, now)


def every(directory: str) -> tuple[Live, ...]:
    """The networks in use."""
    files = os.listdir(directory) if os.path.isdir(directory) else []
    found = [_read(directory, name[:-5]) for name in sorted(files) if name.endswith(".json")]
    return tuple(live for live in found if live is not None)


def outside_name(id: str) -> str:
    """The host's end of a container's link; a link's name has at most 15 characters."""
    return f"sc{id[:12]}"


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
    return Live(name=network.name, bridge=f"{_BRIDGE}{number}", subnet=subnet)


def _ensure(live: Live) -> None:
    try:
        socket.if_nametoindex(live.bridge)
    except OSError:
        base, prefix = live.subnet
        alias = f"sandcell network {live.name}"
        kernel.make_bridge(live.bridge, alias, addresses.dotted(live.gateway), prefix)
        firewall.set_up(live.bridge, base.to_bytes(4, "big"), prefix)
    firewall.pass_others(live.bridge)


def _end(directory: str, live: Live) -> None:
    try:
        firewall.take_down(live.bridge)
    except OSError:
        pass  # its rules speak of a link that is about to go; the next sweep tries again
    kernel.delete_link(live.bridge)
    os.unlink(f"{directory}/{live.name}.json")


def _tell_names(live: Live) -> None:
    lines = [
        f"{addresses.dotted(member.address)}\t{' '.join(dict.fromkeys(member.names))}"
        for member in live.members.values()
    ]
    for member in live.members.values():
        names.rewrite(member.hosts, lines)


def _read(directory: str, name: str) -> Live | None:
    try:
        with open(f"{directory}/{name}.json", "rb") as file:
            return msgspec.json.decode(file.read(), type=Live)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def _write(directory: str, live: Live) -> None:
    path = f"{directory}/{live.name}.json"
    with open(path + ".new", "wb") as file:
        file.write(msgspec.json.encode(live))
    os.rename(path + ".new", path)


@contextmanager
def _locked(directory: str) -> Iterator[None]:
    os.makedirs(directory, mode=0o700, exist_ok=True)
    fd = os.open(f"{directory}/{_LOCK}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
