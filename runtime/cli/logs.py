"""``sandcell logs``."""

import sys
import time

import click

from sandcell.runtime.cli.door import Door
from sandcell.runtime.cli.human import stamp
from sandcell.runtime.cli.names import CONTAINER


@click.command("logs")
@click.option("-n", "--tail", default="all", show_default=True, metavar="LINES", help="Only the last LINES.")
@click.option("-f", "--follow", is_flag=True, help="Go on until it ends.")
@click.option("--since", metavar="TIME", help="Only later: 10m (ago), an RFC 3339 time, seconds since 1970.")
@click.option("--until", metavar="TIME", help="Only earlier.")
@click.option("-t", "--timestamps", is_flag=True, help="Begin each line with its time.")
@click.argument("container", type=CONTAINER)
@click.pass_obj
def logs_command(
    door: Door,
    container: str,
    tail: str,
    timestamps: bool,
    follow: bool,
    since: str | None,
    until: str | None,
) -> None:
    """Show what CONTAINER wrote, its standard error on ours."""
    if tail != "all" and not tail.isdecimal():
        raise click.BadParameter(f"'{tail}' is not a number of lines", param_hint="'--tail'")
    streams = {"stdout": sys.stdout.buffer, "stderr": sys.stderr.buffer}
    inside = dict.fromkeys(streams, False)
    from sandcell.runtime.engine.moments import moment

    now = time.time()
    pieces = door.engine.logs(
        container,
        tail=None if tail == "all" else int(tail),
        follow=follow,
        since=None if since is None else moment(since, now),
        until=None if until is None else moment(until, now),
    )
    for output in pieces:
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
