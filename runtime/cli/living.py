"""``sandcell pause | unpause | update``."""

from typing import Any

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


@click.command("update")
@click.option("-m", "--memory", metavar="SIZE", help="Most memory, e.g. 256m; -1 is no limit.")
@click.option(
    "--cpus", metavar="NUMBER", help="Most processor time, in processors, e.g. 1.5; -1 is no limit."
)
@click.option("--pids-limit", type=int, metavar="NUMBER", help="Most processes; -1 is no limit.")
@click.option("--memory-swap", metavar="SIZE", help="Most memory and swap together, -1 for any.")
@click.option("-c", "--cpu-shares", type=int, metavar="NUMBER", help="Weight against others.")
@click.option("--cpuset-cpus", metavar="LIST", help="Processors it may use, e.g. 0-2,4.")
@click.option("--cpuset-mems", metavar="LIST", help="Memory nodes it may use.")
@_containers
@click.pass_obj
def update_command(
    door: Door,
    /,
    containers: tuple[str, ...],
    memory: str | None,
    memory_swap: str | None,
    cpus: str | None,
    **limits: Any,
) -> int:
    """Give CONTAINERS other limits, at once and for their next start."""
    from sandcell.runtime.container.options import parse_cpus
    from sandcell.runtime.container.run_flags import size

    limits["memory"] = None if memory is None else size(memory)
    limits["memory_swap"] = None if memory_swap is None else size(memory_swap)
    limits["cpus"] = None if cpus is None else -1.0 if cpus == "-1" else parse_cpus(cpus)
    return each(door, containers, lambda name: door.engine.update(name, **limits).name)
