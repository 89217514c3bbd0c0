"""``sandcell pause | unpause``."""

import click

from sandcell.runtime.cli.door import Door
from sandcell.runtime.cli.each import each
from sandcell.runtime.cli.names import CONTAINER

_containers = click.argument("containers", nargs=-1, required=True, type=CONTAINER)


@click.command("pause")
@_containers
@click.pass_obj
def pause_command(door: Door, containers: tuple[str, ...]) -> int:
    """Let all processes of CONTAINERS stand still where they are."""
    return each(door, containers, door.engine.pause)


@click.command("unpause")
@_containers
@click.pass_obj
def unpause_command(door: Door, containers: tuple[str, ...]) -> int:
    """Let paused CONTAINERS go on."""
    return each(door, containers, door.engine.unpause)
