"""``sandcell diff | commit | inspect``: what a container has become."""

from typing import Literal

import click

from sandcell.runtime.cli.door import Door
from sandcell.runtime.cli.inspecting import inspect_each, inspect_option
from sandcell.runtime.cli.names import CONTAINER
from sandcell.runtime.cli.table import as_json, format_option


@click.command("diff")
@format_option
@click.argument("container", type=CONTAINER)
@click.pass_obj
def diff_command(door: Door, container: str, form: str) -> None:
    """Show files that CONTAINER added (A), changed (C) or deleted (D), compared with its image."""
    for change in door.engine.diff(container):
        path = "/" + change.path.lstrip("/")
        if form == "json":
            print(as_json({"Kind": change.kind, "Path": path}))
        else:
            print(f"{change.kind} {path}")


@click.command("commit")
@click.option("-m", "--message", default="", help="A note kept in the history of the new image.")
@click.option(
    "--compression",
    type=click.Choice(["gzip", "zstd", "none"]),
    default="gzip",
    show_default=True,
    help="Of the new layer.",
)
@click.option("-a", "--author", default="", help="Who made it.")
@click.option("-c", "--change", multiple=True, metavar="INSTRUCTION", help="A setting, as 'CMD [\"sh\"]'.")
@click.option("-p", "--pause/--no-pause", default=True, show_default=True, help="Let it stand still.")
@click.argument("container", type=CONTAINER)
@click.argument("image", required=False)
@click.pass_obj
def commit_command(
    door: Door,
    container: str,
    image: str | None,
    message: str,
    compression: Literal["gzip", "zstd", "none"],
    author: str,
    change: tuple[str, ...],
    pause: bool,
) -> None:
    """Make a new image of CONTAINER's image and its changes, called IMAGE; print its digest.

    Settings stay the image's, whatever CONTAINER was run with. --change takes CMD, ENTRYPOINT, ENV,
    EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME and WORKDIR.
    """
    made = door.engine.commit(
        container,
        image,
        message=message,
        compression=compression,
        author=author,
        changes=change,
        pause=pause,
    )
    print(made.digest)


@click.command("inspect")
@inspect_option
@click.argument("names", nargs=-1, required=True, type=CONTAINER)
@click.pass_obj
def inspect_command(door: Door, names: tuple[str, ...], form: str) -> int:
    """Show everything known about containers or images NAMES, as JSON."""
    return inspect_each(door, names, door.engine.inspect, form)
