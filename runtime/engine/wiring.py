"""Containers and networks: who is on which, and what a start needs of it."""

import os
import time
from typing import TYPE_CHECKING

from sandcell.runtime.container import jobs, slirp, state
from sandcell.runtime.container import steps as s
from sandcell.runtime.container.ports import parse_publish
from sandcell.runtime.engine import record, sharing
from sandcell.runtime.engine.birth import Network
from sandcell.runtime.engine.places import Places
from sandcell.runtime.engine.sharing import OTHER
from sandcell.runtime.errors import HostRefused
from sandcell.runtime.network import addresses, live
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


def check(nursery: "Nursery", network: str) -> None:
    """``HostRefused`` or ``NotFound`` when no container can be on this network here."""
    if nursery.host.rung != "root":
        hint = "use --network none (-p works with it) or --network host"
        if network != DEFAULT:
            cause = "a plain user may not make links of the host, so containers cannot share a network"
            raise HostRefused("use", f"--network {network}", cause, hint)
        if not slirp.find():
            cause = f"a plain user's way out is {slirp.NAME}, which is not installed"
            raise HostRefused("use", f"--network {network}", cause, f"install {slirp.NAME}, or {hint}")
        return
    if network.startswith(OTHER):
        record.find(nursery.places, network.removeprefix(OTHER))
    else:
        networks(nursery.places).find(network)


def begin(nursery: "Nursery", who: record.Record) -> Network:
    """What a start of the container needs: its address is taken, the network lives."""
    network = who.options.network
    ports = tuple(map(parse_publish, who.options.publish))
    if network == "none":
        return Network(ports=ports)
    places = nursery.places
    if nursery.host.rung != "root":
        return Network(wire=s.Slirp(slirp.find()), ports=ports, target=slirp.ADDRESS)
    if network.startswith(OTHER):
        return Network(joins=sharing.namespace(places, who, network, "net"))
    found = networks(places).find(network)
    called = (who.name, who.options.hostname or who.id[:12], who.id[:12])
    seat = live.join(directory(places), found, who.id, called, f"{places.container(who.id)}/hosts")
    payload = {"directory": directory(places), "network": network, "id": who.id}
    return Network(
        wire=s.Connect(seat.bridge, seat.outside, seat.address, seat.prefix, seat.gateway, seat.mac),
        ports=ports,
        target=seat.address,
        afterwards=(jobs.Call("sandcell.runtime.network.live.leave", payload),),
    )


def preview(nursery: "Nursery", network: str) -> s.Connect | s.Slirp | None:
    """What would connect a container that is not made; ``None`` where it shares another's network."""
    check(nursery, network)
    if nursery.host.rung != "root":
        return s.Slirp(slirp.find())
    if network.startswith(OTHER):
        return None
    return s.Connect(f"of network {network}", "", "the next free address", addresses.PREFIX, "", b"")


def end(places: Places, who: record.Record) -> None:
    """Give a container's place on its network back, if it has one. May be repeated."""
    if who.options.network not in ("none", "host") and not who.options.network.startswith(OTHER):
        live.leave(directory(places), who.options.network, who.id)


def sweep(places: Places) -> None:
    """Take those that do not run, and are not just being started, from their networks; networks
    without anybody go."""
    there = {who.id for who in record.every(places) if _needed(places, who)}
    live.sweep(directory(places), there.__contains__)


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
    return [who.name for who in record.every(places) if who.options.network == network]
