"""``sandcell pause | unpause | update | events``."""

import click

from sandcell.runtime.cli.door import Door
from sandcell.runtime.cli.each import each
from sandcell.runtime.cli.human import stamp
from sandcell.runtime.cli.names import CONTAINER
from sandcell.runtime.cli.table import as_json, format_option

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
@click.option("-m", "--memory", metavar="SIZE", help="Most memory, e.g. 256m.")
@click.option("--cpus", metavar="NUMBER", help="Most processor time, in processors, e.g. 1.5.")
@click.option("--pids-limit", type=int, metavar="NUMBER", help="Most processes; -1 is no limit.")
@_containers
@click.pass_obj
def update_command(
    door: Door, containers: tuple[str, ...], memory: str | None, cpus: str | None, pids_limit: int | None
) -> int:
    """Give CONTAINERS other limits, at once and for their next start."""
    from sandcell.runtime.container.options import parse_cpus, parse_memory

    most = None if memory is None else parse_memory(memory)
    share = None if cpus is None else parse_cpus(cpus)
    return each(
        door,
        containers,
        lambda name: door.engine.update(name, memory=most, cpus=share, pids_limit=pids_limit).name,
    )


@click.command("events")
@format_option
@click.pass_obj
def events_command(door: Door, form: str) -> None:
    """Show what befalls containers from now on, until Ctrl-C."""
    with door.engine.events() as events:
        for event in events:
            if form == "json":
                print(as_json(event), flush=True)
                continue
            more = "" if event.status is None else f", status={event.status}"
            about = f"(image={event.image}, name={event.name}{more})"
            print(
                f"{stamp(event.time, 'microseconds')} container {event.action} {event.id} {about}", flush=True
            )
