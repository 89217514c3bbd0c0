"""``sandcell volume create | ls | inspect | rm | prune``."""

import click

from sandcell.runtime.cli.door import Door
from sandcell.runtime.cli.each import each
from sandcell.runtime.cli.table import as_json, rows_option, show

_COLUMNS = (("VOLUME NAME", "Name"), ("MOUNTPOINT", "Mountpoint"))


@click.group("volume")
def volume_command() -> None:
    """Named volumes: folders that outlive containers. Mount one with -v NAME:DST."""


@volume_command.command("create")
@click.option("-l", "--label", multiple=True, metavar="KEY=VALUE", help="Note on the volume.")
@click.argument("name")
@click.pass_obj
def create_command(door: Door, name: str, label: tuple[str, ...]) -> None:
    """Make the volume NAME; one that is there already stays as it is."""
    labels = {key: value for key, _, value in (text.partition("=") for text in label)}
    print(door.engine.create_volume(name, labels).name)


@volume_command.command("ls")
@click.option("-q", "--quiet", is_flag=True, help="Only names.")
@rows_option
@click.pass_obj
def ls_command(door: Door, quiet: bool, form: str) -> None:
    """List volumes."""
    found = door.engine.volumes()
    if quiet:
        print("".join(f"{volume.name}\n" for volume in found), end="")
        return
    show([{"Name": volume.name, "Mountpoint": volume.mountpoint} for volume in found], _COLUMNS, form)


@volume_command.command("inspect")
@click.argument("names", nargs=-1, required=True)
@click.pass_obj
def inspect_command(door: Door, names: tuple[str, ...]) -> None:
    """Show everything about volumes, as JSON."""
    for name in names:
        volume = door.engine.volume(name)
        row = {
            "Name": volume.name,
            "Mountpoint": volume.mountpoint,
            "CreatedAt": volume.created,
            "Labels": volume.labels,
        }
        print(as_json(row))


@volume_command.command("rm")
@click.argument("names", nargs=-1, required=True)
@click.pass_obj
def rm_command(door: Door, names: tuple[str, ...]) -> int:
    """Remove volumes with their files. One that a container mounts, running or not, stays."""
    return each(door, names, door.engine.remove_volume)


@volume_command.command("prune")
@click.option("-a", "--all", "every", is_flag=True, help="Also volumes with a name.")
@click.pass_obj
def prune_command(door: Door, every: bool) -> None:
    """Remove volumes that no container mounts. Those without a name go with their container anyway,
    so without --all nothing is removed, as in docker."""
    for name in door.engine.prune_volumes() if every else ():
        print(name)
