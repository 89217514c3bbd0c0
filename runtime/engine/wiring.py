"""Containers and networks: who is on which, and what a start needs of it."""

import os
import time
from typing import TYPE_CHECKING

import msgspec

from sandcell.runtime.container import jobs, pasta, slirp, state
from sandcell.runtime.container import steps as s
from sandcell.runtime.container.options import Options
from sandcell.runtime.container.ports import parse_publish
from sandcell.runtime.engine import record, sharing
from sandcell.runtime.engine.birth import Network
from sandcell.runtime.engine.etc_files import host_file
from sandcell.runtime.engine.places import Places
from sandcell.runtime.engine.sharing import OTHER
from sandcell.runtime.errors import HostRefused, InvalidOption, SandcellError
from sandcell.runtime.linux import iptables_legacy
from sandcell.runtime.linux.host_model import Facet
from sandcell.runtime.network import addresses, addresses6, ending, firewall, live, names
from sandcell.runtime.network.networks import DEFAULT, Networks

if TYPE_CHECKING:
    from sandcell.runtime.engine.birth import Nursery

_YOUNG = 60.0  # seconds in which a start may still be going on


def networks(places: Places) -> Networks:
    """The networks that people made in this store."""
    return Networks(f"{places.home}/networks")


def directory(places: Places) -> str:
    """Where networks in use are written down."""
    return f"{places.run}/networks"


def check(nursery: "Nursery", options: Options) -> None:
    """``HostRefused`` or ``NotFound`` when no container can be on these networks here."""
    wanted = (options.network, *options.more_networks)
    if nursery.host.rung != "root":
        hint = "use --network none (-p works with it) or --network host"
        if wanted != (DEFAULT,):
            cause = "a plain user may not make links of the host, so containers cannot share a network"
            if options.network.startswith(OTHER):
                cause = "a plain user's containers are in user namespaces of their own, which no other enters"
                hint = "`exec` runs a command in that container"
            raise HostRefused("use", f"--network {wanted[-1]}", cause, hint)
        if not way_out():
            cause = f"a plain user's way out is {pasta.NAME} or {slirp.NAME}, and neither is installed"
            install = f"install passt or {slirp.NAME}, or {hint}"
            raise HostRefused("use", f"--network {DEFAULT}", cause, install)
        if not os.access(slirp.TAP, os.R_OK | os.W_OK):
            cause = f"a plain user's way out needs {slirp.TAP}, which this user may not open"
            raise HostRefused(
                "use", f"--network {DEFAULT}", cause, f"as root: chmod 666 {slirp.TAP}; or {hint}"
            )
        return
    if options.network.startswith(OTHER):
        record.find(nursery.places, options.network.removeprefix(OTHER))
        return
    for name in wanted:
        found = networks(nursery.places).find(name)
        if options.ip and name == options.network:
            if not found.subnet:
                hint = "make one: network create --subnet"
                cause = f"the network {name} takes whatever subnet is free"
                raise InvalidOption("use", f"--ip {options.ip}", cause, hint)
            addresses.within(addresses.parse(found.subnet), "--ip", options.ip)
        if options.ip6 and name == options.network:
            if not found.subnet6:
                cause = f"the network {name} has no IPv6"
                raise InvalidOption("use", f"--ip6 {options.ip6}", cause, "make one: network create --ipv6")
            addresses6.within(addresses6.parse(found.subnet6), "--ip6", options.ip6)


def way_out() -> str:
    """The program that gives a plain user's container a network; empty where there is none."""
    return slirp.find(pasta.NAME) or slirp.find()


def facets(nursery: "Nursery", options: Options) -> tuple[Facet, ...]:
    """What is not real about the network of this container."""
    if nursery.host.rung == "root":
        if options.network.startswith(OTHER):
            return ()
        if iptables_legacy.forward_drops():
            return (Facet("network", "emulated", firewall.LEGACY_DROPS, firewall.legacy_accepts()),)
        silent = "" if options.dns else _silent(nursery, options)
        return (Facet("network", "emulated", silent, "name one: --dns ADDRESS"),) if silent else ()
    if options.network != DEFAULT:
        return ()
    name = os.path.basename(way_out())
    return (Facet("network", "emulated", f"a way out of its own by {name}; no other container can reach it"),)


def _silent(nursery: "Nursery", options: Options) -> str:
    """Why the container's names of the outside are not resolved, where its networks lead out."""
    known = networks(nursery.places)
    outward = [one for name in _of(options) if not (one := known.find(name)).internal]
    six = any(one.subnet6 for one in outward)
    return names.unanswered(names.resolver(host_file), six=six) if outward else ""


def begin(nursery: "Nursery", who: record.Record) -> Network:
    """What a start of the container needs: its addresses are taken, the networks live."""
    network = who.options.network
    ports = tuple(port for text in who.options.publish for port in parse_publish(text))
    if network == "none":
        return Network(ports=ports)
    places = nursery.places
    if nursery.host.rung != "root":
        return Network(wire=s.Slirp(way_out(), places.running(who.id)), ports=ports, target=slirp.ADDRESS)
    if network.startswith(OTHER):
        return Network(joins=sharing.namespace(places, who, network, "net"))
    wires = []
    try:
        for name in (network, *who.options.more_networks):
            address = who.options.ip if name == network else ""
            address6 = who.options.ip6 if name == network else ""
            wires.append(_wire(join(places, who, name, address, address6, who.options.network_aliases)))
    except SandcellError:
        live.leave_all(directory(places), who.id)
        raise
    return Network(
        wire=msgspec.structs.replace(wires[0], others=tuple(wires[1:])),
        ports=ports,
        target=wires[0].address,
        target6=wires[0].six[0],
        afterwards=(leaving(places, who, linger=True),),
        late=(_ending(places, who, tuple(wire.bridge for wire in wires)),),
    )


def join(
    places: Places, who: record.Record, name: str, address: str, address6: str, aliases: tuple[str, ...]
) -> live.Seat:
    """The container's place on that network, taken if it has none yet."""
    called = (who.name, who.options.hostname or who.id[:12], who.id[:12], *aliases)
    guest = live.Guest(who.id, called, f"{places.container(who.id)}/hosts", address, address6)
    return live.join(directory(places), networks(places).find(name), guest)


def leaving(places: Places, who: record.Record, *, linger: bool = False) -> jobs.Call:
    """What its monitor does at its end, so that it leaves all of its networks."""
    payload = {"directory": directory(places), "id": who.id, "linger": linger}
    return jobs.Call("sandcell.runtime.network.live.leave_all", payload)


def _ending(places: Places, who: record.Record, bridges: tuple[str, ...]) -> jobs.Call:
    payload = {"directory": directory(places), "id": who.id, "bridges": bridges}
    return jobs.Call("sandcell.runtime.network.ending.end_idle", payload)


def _wire(seat: live.Seat) -> s.Connect:
    return s.Connect(
        seat.bridge,
        seat.outside,
        seat.address,
        seat.prefix,
        seat.gateway,
        seat.mac,
        seat.inside,
        six=seat.six,
    )


def preview(nursery: "Nursery", options: Options) -> s.Connect | s.Slirp | None:
    """What would connect a container that is not made; ``None`` where it shares another's network."""
    check(nursery, options)
    if nursery.host.rung != "root":
        return s.Slirp(way_out())
    if options.network.startswith(OTHER):
        return None
    wires = []
    for number, name in enumerate((options.network, *options.more_networks)):
        found = networks(nursery.places).find(name)
        prefix = addresses.parse(found.subnet)[1] if found.subnet else addresses.PREFIX
        address = (number == 0 and options.ip) or "the next free address"
        six = ("", 0, "")
        if found.subnet6:
            address6 = (number == 0 and options.ip6) or "the next free IPv6 address"
            six = (address6, addresses6.parse(found.subnet6)[1], "")
        wires.append(s.Connect(f"of network {name}", "", address, prefix, "", b"", f"eth{number}", six=six))
    return msgspec.structs.replace(wires[0], others=tuple(wires[1:]))


def end(places: Places, who: record.Record) -> None:
    """Give a container's places on its networks back, if it has any, and end what else led it out. May be
    repeated."""
    pasta.clear(places.running(who.id))
    live.leave_all(directory(places), who.id)


def renamed(places: Places, who: record.Record, old: str) -> None:
    """Let the others on its networks know a container by its new name."""
    if os.path.isdir(directory(places)):
        live.rename(directory(places), who.id, old, who.name)


def sweep(places: Places) -> None:
    """Take those that do not run, and are not just being started, from their networks; networks
    without anybody go."""
    there = set()
    for who in record.every(places):
        if _needed(places, who):
            there.add(who.id)
        else:
            pasta.clear(places.running(who.id))
    ending.sweep(directory(places), there.__contains__)


def _needed(places: Places, who: record.Record) -> bool:
    status = record.current(places, who).status
    if status == state.RUNNING or (status == state.CREATED and time.time() - who.created < _YOUNG):
        return True
    try:
        lock = state.take_lock(places.running(who.id), 0)
    except FileNotFoundError:
        return False
    if lock is not None:
        os.close(lock)
    return lock is None  # its monitor is at work


def users(places: Places, network: str) -> list[str]:
    """The names of the containers, running or not, that belong to the network."""
    return [who.name for who in record.every(places) if network in _of(who.options)]


def _of(options: Options) -> tuple[str, ...]:
    return (options.network, *options.more_networks)
