"""``sandcell logs``."""

import sys

import click

from sandcell.runtime.cli.door import Door
from sandcell.runtime.cli.human import stamp
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
    inside = dict.fromkeys(streams, False)
    for output in door.engine.logs(container, tail=None if tail == "all" else int(tail)):
        data = output.data
        if timestamps and data:
            data = _stamped(data, stamp(output.time, "microseconds").encode() + b" ", inside[output.stream])
            inside[output.stream] = not data.endswith(b"\n")
        streams[output.stream].write(data)
        streams[output.stream].flush()


def _stamped(data: bytes, time: bytes, inside: bool) -> bytes:
    """``data`` with ``time`` before each line that begins in it; ``inside``: the first began before."""
    lines = data.splitlines(keepends=True)
    return b"".join(line if inside and number == 0 else time + line for number, line in enumerate(lines))
