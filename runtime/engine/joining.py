"""Containers come to networks and leave them, while they run or not."""

import os
from typing import TYPE_CHECKING

import msgspec

from sandcell.runtime.container import jobs, state
from sandcell.runtime.engine import record, wiring
from sandcell.runtime.engine.record import Record
from sandcell.runtime.engine.sharing import OTHER
from sandcell.runtime.engine.work import run_apart
from sandcell.runtime.errors import Conflict, HostRefused, NotFound
from sandcell.runtime.linux.idmap import HOST
from sandcell.runtime.linux.process import alive
from sandcell.runtime.network import live

if TYPE_CHECKING:
    from sandcell.runtime.engine.engine import Engine

_KERNEL = "sandcell.runtime.linux.network."


def connect(engine: "Engine", who: Record, network: str, ip: str, ip6: str, aliases: tuple[str, ...]) -> None:
    """See ``NetworkVerbs.connect_network``. If it fails, the container is where it was."""
    with record.changing(engine.places, who, "connect") as now:
        _connect(engine, now, network, ip, ip6, aliases)


def _connect(
    engine: "Engine", who: Record, network: str, ip: str, ip6: str, aliases: tuple[str, ...]
) -> None:
    places, options = engine.places, who.options
    if engine.host.rung != "root":
        cause = "a plain user may not make links of the host, so containers cannot share a network"
        raise HostRefused("connect", who.name, cause)
    if options.network == "host" or options.network.startswith(OTHER):
        cause = f"it was made with --network {options.network} and has no network of its own"
        raise Conflict("connect", who.name, cause, "make it anew")
    if network in ("none", "host"):
        cause = f"only a new container can be on {network}"
        raise Conflict("connect", who.name, cause, f"make it anew with --network {network}")
    mine = () if options.network == "none" else (options.network, *options.more_networks)
    if network in mine:
        raise Conflict("connect", who.name, f"it is on {network} already", "`network inspect` shows who is")
    wanted = (*mine, network)
    changed = msgspec.structs.replace(
        options,
        network=wanted[0],
        more_networks=wanted[1:],
        ip=options.ip if mine else ip,
        ip6=options.ip6 if mine else ip6,
        network_aliases=tuple(dict.fromkeys((*options.network_aliases, *aliases))),
    ).check()
    wiring.check(engine.nursery, changed)
    after = msgspec.structs.replace(who, options=changed)
    now = record.current(places, who)
    if now.status == state.RUNNING and now.init is not None:
        seat = wiring.join(places, who, network, ip, ip6, aliases)
        try:
            jobs.add(places.running(who.id), wiring.leaving(places, who))
            payload = {
                "pid": now.init.pid,
                "bridge": seat.bridge,
                "outside": seat.outside,
                "inside": seat.inside,
                "mac": seat.mac,
                "address": seat.address,
                "prefix": seat.prefix,
                "gateway": seat.gateway,
                "six": seat.six,
            }
            _apart(engine, "connect", payload)
        except BaseException as error:
            live.leave(wiring.directory(places), network, who.id)
            if isinstance(error, ProcessLookupError | FileNotFoundError) and not alive(now.init):
                pass  # it has just ended, and its next start is what counts
            elif isinstance(error, OSError):
                raise _refused("connect", who, error) from None
            else:
                raise
    record.write(places, after)


def disconnect(engine: "Engine", who: Record, network: str) -> None:
    """See ``NetworkVerbs.disconnect_network``."""
    with record.changing(engine.places, who, "disconnect") as now:
        _disconnect(engine, now, network)


def _disconnect(engine: "Engine", who: Record, network: str) -> None:
    places, options = engine.places, who.options
    mine = (options.network, *options.more_networks)
    if network not in mine or network in ("none", "host"):
        raise NotFound(
            "disconnect", who.name, f"it is not on a network {network}", "`inspect` shows where it is"
        )
    rest = tuple(name for name in mine if name != network) or ("none",)
    changed = msgspec.structs.replace(
        options,
        network=rest[0],
        more_networks=rest[1:],
        ip="" if network == mine[0] else options.ip,
        ip6="" if network == mine[0] else options.ip6,
        network_aliases=() if rest == ("none",) else options.network_aliases,
    )
    record.write(places, msgspec.structs.replace(who, options=changed))
    directory = wiring.directory(places)
    live.leave(directory, network, who.id)
    now = record.current(places, who)
    if now.status == state.RUNNING and now.init is not None:
        seats = live.seats(directory, who.id)
        for ways in ([seat.gateway for seat in seats], [seat.six[2] for seat in seats]):
            for gateway in list(filter(None, ways))[:1]:  # its way out may have been by the one that it left
                try:
                    _apart(engine, "lead_out", {"pid": now.init.pid, "gateway": gateway})
                except OSError as error:
                    if alive(now.init):
                        raise _refused("disconnect", who, error) from None


def _refused(operation: str, who: Record, error: OSError) -> HostRefused:
    return HostRefused(operation, who.name, f"the kernel says: {os.strerror(error.errno or 0)}")


def _apart(engine: "Engine", function: str, payload: dict[str, object]) -> None:
    run_apart(lambda: engine.launcher, jobs.Task(_KERNEL + function, payload, HOST))
