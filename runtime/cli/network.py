"""``sandcell network create | ls | inspect | connect | disconnect | rm | prune`` and ``sandcell port``."""

from typing import TYPE_CHECKING, Any

import click

from sandcell.runtime.cli.door import Door
from sandcell.runtime.cli.each import agreed, each
from sandcell.runtime.cli.filters import select
from sandcell.runtime.cli.inspecting import inspect_each, inspect_option
from sandcell.runtime.cli.names import CONTAINER
from sandcell.runtime.cli.table import rows_option, show
from sandcell.runtime.errors import InvalidOption, NotFound

if TYPE_CHECKING:
    from sandcell.runtime.engine.network_verbs import NetworkEntry

_KEYS = ("name", "label", "driver", "type", "dangling")
_COLUMNS = (("NAME", "Name"), ("DRIVER", "Driver"), ("SUBNET", "Subnet"), ("CONTAINERS", "Containers"))


@click.group("network")
def network_command() -> None:
    """Networks of containers. On one, containers find each other by name; others are apart."""


@network_command.command("create")
@click.option("--subnet", multiple=True, metavar="NETWORK", help="Its addresses: 10.5.0.0/24, fd00:5::/64.")
@click.option("--gateway", multiple=True, metavar="ADDRESS", help="The host's address in it.")
@click.option("--ipv6", is_flag=True, help="With IPv6, in a network of its own unless --subnet names one.")
@click.option("--internal", is_flag=True, help="No way out of it.")
@click.option("-l", "--label", multiple=True, metavar="KEY=VALUE", help="Note on the network.")
@click.option("-d", "--driver", type=click.Choice(["bridge"]), default="bridge", help="The only one.")
@click.argument("name")
@click.pass_obj
def create_command(
    door: Door,
    name: str,
    subnet: tuple[str, ...],
    gateway: tuple[str, ...],
    ipv6: bool,
    internal: bool,
    label: tuple[str, ...],
    driver: str,  # noqa: ARG001 - docker's flag
) -> None:
    """Make the network NAME. Use it with run --network NAME."""
    labels = {key: value for key, _, value in (text.partition("=") for text in label)}
    subnet4, subnet6 = _by_family("--subnet", subnet)
    gateway4, gateway6 = _by_family("--gateway", gateway)
    made = door.engine.create_network(
        name,
        subnet=subnet4,
        gateway=gateway4,
        ipv6=ipv6,
        subnet6=subnet6,
        gateway6=gateway6,
        internal=internal,
        labels=labels,
    )
    print(made.name)


def _by_family(flag: str, texts: tuple[str, ...]) -> tuple[str, str]:
    """The one of IPv4 and the one of IPv6."""
    four, six = [text for text in texts if ":" not in text], [text for text in texts if ":" in text]
    for doubled in (four[1:], six[1:]):
        if doubled:
            raise InvalidOption("use", f"{flag} {doubled[0]}", "there is one already", "one of each kind")
    return "".join(four), "".join(six)


@network_command.command("connect")
@click.option("--ip", default="", metavar="ADDRESS", help="Its address there.")
@click.option("--ip6", default="", metavar="ADDRESS", help="Its IPv6 address there.")
@click.option("--alias", multiple=True, metavar="NAME", help="What others also call it.")
@click.argument("network")
@click.argument("container", type=CONTAINER)
@click.pass_obj
def connect_command(
    door: Door, network: str, container: str, ip: str, ip6: str, alias: tuple[str, ...]
) -> None:
    """Let CONTAINER, running or not, be on NETWORK too."""
    door.engine.connect_network(network, container, ip=ip, ip6=ip6, aliases=alias)


@network_command.command("disconnect")
@click.option("-f", "--force", is_flag=True, help="No error for one that is not on it, or not there.")
@click.argument("network")
@click.argument("container", type=CONTAINER)
@click.pass_obj
def disconnect_command(door: Door, network: str, container: str, force: bool) -> None:
    """Take CONTAINER, running or not, from NETWORK."""
    try:
        door.engine.disconnect_network(network, container)
    except NotFound:
        if not force:
            raise


@network_command.command("ls")
@click.option("-q", "--quiet", is_flag=True, help="Only names.")
@click.option("-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="name, label, type …")
@rows_option
@click.pass_obj
def ls_command(door: Door, quiet: bool, filters: tuple[str, ...], form: str) -> None:
    """List networks. With ``--filter type=custom``: those that people made."""
    engine = door.engine
    found = select("network ls", filters, _KEYS, engine.networks(), engine.unused_networks, _matches)
    if quiet:
        print("".join(f"{network.name}\n" for network in found), end="")
        return
    rows = [
        {
            "Name": network.name,
            "Driver": network.driver,
            "Subnet": ", ".join(filter(None, (network.subnet, network.subnet6))),
            "Containers": len(network.members),
            "Internal": network.internal,
            "IPv6": bool(network.subnet6),
            "Labels": ",".join(f"{key}={value}" for key, value in network.labels.items()),
            "Scope": "local",
        }
        for network in found
    ]
    show(rows, _COLUMNS, form)


def _matches(network: "NetworkEntry", key: str, value: str) -> bool:
    if key == "type":
        from sandcell.runtime.network.networks import RESERVED

        return value == ("builtin" if network.name in RESERVED else "custom")
    return value == network.driver


@network_command.command("inspect")
@inspect_option
@click.argument("names", nargs=-1, required=True)
@click.pass_obj
def inspect_command(door: Door, names: tuple[str, ...], form: str) -> int:
    """Show everything about networks, as JSON."""
    return inspect_each(door, names, lambda name: _told(door.engine.network(name)), form)


def _told(network: "NetworkEntry") -> dict[str, Any]:
    return {
        "Name": network.name,
        "Driver": network.driver,
        "Scope": "local",
        "Subnet": network.subnet,
        "Gateway": network.gateway,
        "EnableIPv6": bool(network.subnet6),
        "Subnet6": network.subnet6,
        "Gateway6": network.gateway6,
        "Bridge": network.bridge,
        "Internal": network.internal,
        "Containers": network.members,
        "Containers6": network.members6,
        "Labels": network.labels,
        "Firewall": {"AcceptsAddedTo": list(network.passed), "Obstacle": network.obstacle},
    }


@network_command.command("rm")
@click.option("-f", "--force", is_flag=True, help="No error for one that is not there.")
@click.argument("names", nargs=-1, required=True)
@click.pass_obj
def rm_command(door: Door, names: tuple[str, ...], force: bool) -> int:
    """Remove networks. One that a container belongs to, running or not, stays."""
    there = {network.name for network in door.engine.networks()} if force else set(names)
    return each(door, [name for name in names if name in there], door.engine.remove_network)


@network_command.command("prune")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.pass_obj
def prune_command(door: Door, force: bool) -> int:
    """Remove the networks that you made and to which no container belongs."""
    found = door.engine.unused_networks()
    if found and not force and not agreed(found, "networks"):
        return 1
    return each(door, found, door.engine.remove_network)


@click.command("port")
@click.argument("container", type=CONTAINER)
@click.argument("port", required=False, metavar="[PORT[/PROTOCOL]]")
@click.pass_obj
def port_command(door: Door, container: str, port: str | None) -> None:
    """Show which ports of the host lead to CONTAINER, or to one PORT of it."""
    wanted = f"{port}/tcp" if port and "/" not in port else port
    found = [one for one in door.engine.ports(container) if wanted in (None, f"{one.port}/{one.protocol}")]
    for one in found:
        print(one.place if wanted else f"{one.port}/{one.protocol} -> {one.place}")
    if wanted and not found:
        raise NotFound("find port", wanted, f"{container} does not publish it, or does not run")
