"""``sandcell volume create | ls | inspect | rm | prune``."""

import os
from typing import TYPE_CHECKING, Any

import click

from sandcell.runtime.cli.door import Door
from sandcell.runtime.cli.each import agreed, each
from sandcell.runtime.cli.filters import select
from sandcell.runtime.cli.inspecting import inspect_each, inspect_option
from sandcell.runtime.cli.table import rows_option, show

if TYPE_CHECKING:
    from sandcell.runtime.volumes.volumes import Volume

_COLUMNS = (("VOLUME NAME", "Name"), ("MOUNTPOINT", "Mountpoint"))
_KEYS = ("name", "label", "dangling", "driver")
_DRIVER = "local"


@click.group("volume")
def volume_command() -> None:
    """Named volumes: folders that outlive containers. Mount one with -v NAME:DST."""


@volume_command.command("create")
@click.option("-l", "--label", multiple=True, metavar="KEY=VALUE", help="Note on the volume.")
@click.option("-d", "--driver", type=click.Choice([_DRIVER]), default=_DRIVER, help="The only one.")
@click.argument("name", required=False)
@click.pass_obj
def create_command(door: Door, name: str | None, label: tuple[str, ...], driver: str) -> None:  # noqa: ARG001 - docker's flag
    """Make the volume NAME, or one with a name that nobody has; one that is there already stays as it is."""
    name = name or os.urandom(32).hex()
    labels = {key: value for key, _, value in (text.partition("=") for text in label)}
    print(door.engine.create_volume(name, labels).name)


@volume_command.command("ls")
@click.option("-q", "--quiet", is_flag=True, help="Only names.")
@click.option("-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="name, label, dangling …")
@rows_option
@click.pass_obj
def ls_command(door: Door, quiet: bool, filters: tuple[str, ...], form: str) -> None:
    """List volumes. With ``--filter dangling=true``: those that no container mounts."""
    engine = door.engine
    found = select("volume ls", filters, _KEYS, engine.volumes(), engine.unused_volumes, _of_driver)
    if quiet:
        print("".join(f"{volume.name}\n" for volume in found), end="")
        return
    rows = [
        {
            "Driver": _DRIVER,
            "Labels": ",".join(f"{key}={value}" for key, value in volume.labels.items()),
            "Mountpoint": volume.mountpoint,
            "Name": volume.name,
            "Scope": "local",
        }
        for volume in found
    ]
    show(rows, _COLUMNS, form)


def _of_driver(_volume: "Volume", _key: str, value: str) -> bool:
    return value == _DRIVER


@volume_command.command("inspect")
@inspect_option
@click.argument("names", nargs=-1, required=True)
@click.pass_obj
def inspect_command(door: Door, names: tuple[str, ...], form: str) -> int:
    """Show everything about volumes, as JSON."""
    return inspect_each(door, names, lambda name: _told(door.engine.volume(name)), form)


def _told(volume: "Volume") -> dict[str, Any]:
    return {
        "Name": volume.name,
        "Driver": _DRIVER,
        "Mountpoint": volume.mountpoint,
        "CreatedAt": volume.created,
        "Labels": volume.labels,
        "Scope": "local",
    }


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
