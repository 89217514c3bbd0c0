"""``sandcell logs``."""

import sys

import click

from sandcell.runtime.cli.door import Door
from sandcell.runtime.cli.names import CONTAINER


@click.command("logs")
@click.option("-n", "--tail", default="all", show_default=True, metavar="LINES", help="Only the last LINES.")
@click.option("-t", "--timestamps", is_flag=True, help="Begin each line with its time.")
@click.argument("container", type=CONTAINER)
@click.pass_obj
def logs_command(door: Door, container: str, tail: str, timestamps: bool) -> None:
    """Show what CONTAINER wrote, its standard error on ours."""
    if tail != "all" and not tail.isdecimal():
        raise click.BadParameter(f"'{tail}' is not a number of lines", param_hint="'--tail'")
    streams = {"stdout": sys.stdout.buffer, "stderr": sys.stderr.buffer}
    lines = None if tail == "all" else int(tail)
    for output in door.engine.logs(container, tail=lines, timestamps=timestamps):
        streams[output.stream].write(output.data)
        streams[output.stream].flush()
