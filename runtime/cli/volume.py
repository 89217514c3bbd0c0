"""``sandcell volume create | ls | inspect | rm | prune``."""

import os

import click

from sandcell.runtime.cli.door import Door
from sandcell.runtime.cli.each import agreed, each
from sandcell.runtime.cli.table import as_json, rows_option, show

_COLUMNS = (("VOLUME NAME", "Name"), ("MOUNTPOINT", "Mountpoint"))


@click.group("volume")
def volume_command() -> None:
    """Named volumes: folders that outlive containers. Mount one with -v NAME:DST."""


@volume_command.command("create")
@click.option("-l", "--label", multiple=True, metavar="KEY=VALUE", help="Note on the volume.")
@click.argument("name", required=False)
@click.pass_obj
def create_command(door: Door, name: str | None, label: tuple[str, ...]) -> None:
    """Make the volume NAME, or one with a name that nobody has; one that is there already stays as it is."""
    name = name or os.urandom(32).hex()
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
@click.option("-f", "--force", is_flag=True, help="No error for one that is not there.")
@click.argument("names", nargs=-1, required=True)
@click.pass_obj
def rm_command(door: Door, names: tuple[str, ...], force: bool) -> int:
    """Remove volumes with their files. One that a container mounts, running or not, stays."""
    there = {volume.name for volume in door.engine.volumes()} if force else set(names)
    return each(door, [name for name in names if name in there], door.engine.remove_volume)


@volume_command.command("prune")
@click.option("-a", "--all", "every", is_flag=True, help="Also volumes with a name.")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.pass_obj
def prune_command(door: Door, every: bool, force: bool) -> int:
    """Remove volumes that no container mounts. Those without a name go with their container anyway,
    so without --all nothing is removed, as in docker."""
    found = door.engine.unused_volumes() if every else ()
    if found and not force and not agreed(found, "volumes with their files"):
        return 1
    return each(door, found, door.engine.remove_volume)
