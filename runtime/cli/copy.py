"""``sandcell cp``."""

import sys

import click

from sandcell.runtime.cli.door import Door


@click.command("cp")
@click.option("-L", "--follow-link", "follow", is_flag=True, help="Of a link, copy what it leads to.")
@click.option("-a", "--archive", "keep", is_flag=True, help="Keep the owners.")
@click.option("-q", "--quiet", is_flag=True, help="As without: nothing is told of what went well.")
@click.argument("source")
@click.argument("destination")
@click.pass_obj
def cp_command(door: Door, source: str, destination: str, follow: bool, keep: bool, quiet: bool) -> None:  # noqa: ARG001 - docker's flag
    """Copy files between a container (NAME:PATH) and here. '-' is a tar on standard input or output."""
    from sandcell.runtime.engine.copying import parse_place

    giver, path = parse_place(source)
    taker, place = parse_place(destination)
    if giver and destination == "-":
        door.engine.read_archive(giver, path, sys.stdout.fileno(), follow=follow)
    elif taker and source == "-":
        door.engine.write_archive(taker, place, sys.stdin.fileno(), keep_owner=keep)
    else:
        door.engine.copy(source, destination, follow=follow, keep_owner=keep)
