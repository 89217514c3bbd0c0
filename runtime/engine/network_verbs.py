"""The engine's verbs on networks and ports."""

from typing import TYPE_CHECKING, cast

import msgspec

from sandcell.runtime.container import state
from sandcell.runtime.engine.places import Places

if TYPE_CHECKING:
    from sandcell.runtime.container.ports import Publish
    from sandcell.runtime.engine.engine import Engine, Who


class NetworkEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A network as it stands. ``bridge`` and ``subnet``: empty while nobody is on it and none was asked
    for; what ends in 6 is of IPv6, empty without. ``members``: name of each running container → its
    address. ``passed``: chains of others' firewalls that let it through by rules of ours; ``obstacle``: who
    may drop its packets all the same."""

    name: str
    driver: str = "bridge"
    subnet: str = ""
    gateway: str = ""
    subnet6: str = ""
    gateway6: str = ""
    bridge: str = ""
    created: float = 0.0
    labels: dict[str, str] = {}
    members: dict[str, str] = {}
    members6: dict[str, str] = {}
    internal: bool = False
    passed: tuple[str, ...] = ()
    obstacle: str = ""


_PLAIN = {
    "none": NetworkEntry(name="none", driver="null"),
    "host": NetworkEntry(name="host", driver="host"),
}


class NetworkVerbs:
    """The part of ``Engine`` that speaks of networks."""

    places: Places

    def create_network(
        self,
        name: str,
        *,
        subnet: str = "",
        gateway: str = "",
        ipv6: bool = False,
        subnet6: str = "",
        gateway6: str = "",
        internal: bool = False,
        labels: dict[str, str] | None = None,
    ) -> NetworkEntry:
        """A new bridge network, apart from the others. ``subnet``: ``10.5.0.0/24``; left out, one that no
        route of this machine touches is taken when its first container starts. ``gateway``: the bridge's
        address in it, its first unless given. ``ipv6``: with IPv6 too, in ``subnet6`` (``fd00:5::/64``) or
        a random network of this machine's own, which it keeps. ``internal``: no way out. ``NameInUse``."""
        from sandcell.runtime.engine import wiring
        from sandcell.runtime.network import addresses6

        if ipv6 and not subnet6 and not gateway6:
            subnet6 = addresses6.fresh()
        wiring.networks(self.places).create(
            name, subnet, labels, gateway=gateway, subnet6=subnet6, gateway6=gateway6, internal=internal
        )
        return self.network(name)

    def networks(self) -> tuple[NetworkEntry, ...]:
        """``none``, ``host``, ``bridge`` and those that people made."""
        from sandcell.runtime.engine import wiring

        others = wiring.networks(self.places).all()
        return (*_PLAIN.values(), *(self.network(network.name) for network in others))

    def network(self, name: str) -> NetworkEntry:
        """How that network stands; ``NotFound`` with the nearest name."""
        from sandcell.runtime.engine import wiring
        from sandcell.runtime.network import addresses, addresses6, live

        if name in _PLAIN:
            return _PLAIN[name]
        found = wiring.networks(self.places).find(name)
        entry = NetworkEntry(
            name=name,
            subnet=found.subnet,
            gateway=found.gateway,
            subnet6=found.subnet6,
            gateway6=found.gateway6,
            internal=found.internal,
            created=found.created,
            labels=found.labels,
        )
        for use in live.every(wiring.directory(self.places)):
            if use.name == name:
                members = {
                    member.names[0]: addresses.dotted(member.address) for member in use.members.values()
                }
                entry = msgspec.structs.replace(
                    entry,
                    subnet=addresses.show(use.subnet),
                    gateway=addresses.dotted(use.gateway),
                    gateway6=addresses6.shown(use.gateway6) if use.subnet6 else "",
                    members6={
                        one.names[0]: addresses6.shown(one.address6)
                        for one in use.members.values()
                        if one.address6
                    },
                    bridge=use.bridge,
                    members=members,
                    passed=use.standing.passed,
                    obstacle=use.standing.obstacle,
                )
        return entry

    def remove_network(self, name: str) -> None:
        """Remove a network that people made. ``Conflict`` while containers, running or not, belong to
        it; ``InvalidOption`` for one that is always there."""
        from sandcell.runtime.engine import wiring
        from sandcell.runtime.errors import Conflict, InvalidOption
        from sandcell.runtime.network import ending
        from sandcell.runtime.network.networks import RESERVED

        if name in RESERVED:
            raise InvalidOption("remove network", name, "it is always there", "only made ones can go")
        wiring.networks(self.places).find(name)
        users = wiring.users(self.places, name)
        if users:
            hint = f"remove the container first: rm {users[0]}"
            raise Conflict("remove network", name, f"it belongs to {', '.join(users[:4])}", hint)
        wiring.networks(self.places).forget(name)
        ending.end_if_empty(wiring.directory(self.places), name)

    def unused_networks(self) -> tuple[str, ...]:
        """The names of the networks that people made and to which no container, running or not, belongs."""
        from sandcell.runtime.engine import wiring
        from sandcell.runtime.network.networks import RESERVED

        made = [one.name for one in wiring.networks(self.places).all() if one.name not in RESERVED]
        return tuple(name for name in made if not wiring.users(self.places, name))

    def connect_network(
        self, network: str, container: "Who", *, ip: str = "", ip6: str = "", aliases: tuple[str, ...] = ()
    ) -> None:
        """Let a container, running or not, be on one more network. ``ip``, ``ip6``: its addresses there, any
        free ones unless given. ``Conflict`` when it is on it already, or has no network of its own."""
        from sandcell.runtime.engine import joining

        engine = cast("Engine", self)
        joining.connect(engine, engine._find(container), network, ip, ip6, aliases)

    def disconnect_network(self, network: str, container: "Who") -> None:
        """Take a container, running or not, from a network; ``NotFound`` when it is not on it."""
        from sandcell.runtime.engine import joining

        engine = cast("Engine", self)
        joining.disconnect(engine, engine._find(container), network)

    def ports(self, container: "Who") -> "tuple[Publish, ...]":
        """The ports of the host that lead to the running container; none when it does not run."""
        from sandcell.runtime.container import ports
        from sandcell.runtime.engine import record

        who = cast("Engine", self)._find(container)
        if record.current(self.places, who).status != state.RUNNING:
            return ()
        return ports.read(self.places.running(who.id))
