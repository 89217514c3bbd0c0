"""``sandcell network create | ls | inspect | rm`` and ``sandcell port``."""

import click

from sandcell.runtime.cli.door import Door
from sandcell.runtime.cli.each import each
from sandcell.runtime.cli.names import CONTAINER
from sandcell.runtime.cli.table import as_json, format_option, show

_COLUMNS = (("NAME", "Name"), ("DRIVER", "Driver"), ("SUBNET", "Subnet"), ("CONTAINERS", "Containers"))


@click.group("network")
def network_command() -> None:
    """Networks of containers. On one, containers find each other by name; others are apart."""


@network_command.command("create")
@click.option("--subnet", default="", metavar="NETWORK", help="Its addresses, e.g. 10.5.0.0/24.")
@click.option("-l", "--label", multiple=True, metavar="KEY=VALUE", help="Note on the network.")
@click.argument("name")
@click.pass_obj
def create_command(door: Door, name: str, subnet: str, label: tuple[str, ...]) -> None:
    """Make the network NAME. Use it with run --network NAME."""
    labels = {key: value for key, _, value in (text.partition("=") for text in label)}
    print(door.engine.create_network(name, subnet=subnet, labels=labels).name)


@network_command.command("ls")
@click.option("-q", "--quiet", is_flag=True, help="Only names.")
@format_option
@click.pass_obj
def ls_command(door: Door, quiet: bool, form: str) -> None:
    """List networks."""
    found = door.engine.networks()
    if quiet:
        print("\n".join(network.name for network in found))
        return
    rows = [
        {
            "Name": network.name,
            "Driver": network.driver,
            "Subnet": network.subnet,
            "Containers": len(network.members),
        }
        for network in found
    ]
    show(rows, _COLUMNS, form)


@network_command.command("inspect")
@click.argument("names", nargs=-1, required=True)
@click.pass_obj
def inspect_command(door: Door, names: tuple[str, ...]) -> None:
    """Show everything about networks, as JSON."""
    for name in names:
        network = door.engine.network(name)
        row = {
            "Name": network.name,
            "Driver": network.driver,
            "Subnet": network.subnet,
            "Gateway": network.gateway,
            "Bridge": network.bridge,
            "Containers": network.members,
            "Labels": network.labels,
        }
        print(as_json(row))


@network_command.command("rm")
@click.argument("names", nargs=-1, required=True)
@click.pass_obj
def rm_command(door: Door, names: tuple[str, ...]) -> int:
    """Remove networks. One that a container belongs to, running or not, stays."""
    return each(door, names, door.engine.remove_network)


@click.command("port")
@click.argument("container", type=CONTAINER)
@click.pass_obj
def port_command(door: Door, container: str) -> None:
    """Show which ports of the host lead to CONTAINER."""
    for port in door.engine.ports(container):
        address = f"[{port.address}]" if ":" in port.address else port.address
        print(f"{port.port}/{port.protocol} -> {address}:{port.host_port}")
