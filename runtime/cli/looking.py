"""``sandcell top | stats``."""

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from sandcell.runtime.cli.door import Door
from sandcell.runtime.cli.human import size
from sandcell.runtime.cli.names import CONTAINER
from sandcell.runtime.cli.table import rows_option, show
from sandcell.runtime.errors import ContainerNotFound, WrongState

if TYPE_CHECKING:
    from sandcell.runtime.engine.looking import Stats

_TOP = (
    ("PID INSIDE", "Inside"),
    ("PID OUTSIDE", "Pid"),
    ("PPID INSIDE", "Parent"),
    ("USER", "User"),
    ("STATE", "State"),
    ("CPU", "Cpu"),
    ("MEMORY", "Memory"),
    ("COMMAND", "Command"),
)
_STATS = (
    ("CONTAINER ID", "ID"),
    ("NAME", "Name"),
    ("CPU %", "CPUPerc"),
    ("CPU TIME", "CPUTime"),
    ("MEM USAGE / LIMIT", "MemUsage"),
    ("MEM %", "MemPerc"),
    ("NET I/O", "NetIO"),
    ("PIDS", "PIDs"),
)
_CLEAR = "\x1b[H\x1b[2J"
_SECOND = 1.0


@click.command("top")
@rows_option
@click.argument("container", type=CONTAINER)
@click.pass_obj
def top_command(door: Door, container: str, form: str) -> None:
    """Show the processes of CONTAINER with their numbers inside and on this machine."""
    rows = [
        {
            "Inside": one.inside,
            "Pid": one.pid,
            "Parent": one.parent,
            "User": one.user,
            "State": one.state,
            "Cpu": f"{one.cpu:.2f}s",
            "Memory": size(one.memory),
            "Command": one.command,
        }
        for one in door.engine.top(container)
    ]
    show(rows, _TOP, form)


@click.command("stats")
@click.option("--no-stream", is_flag=True, help="Once, and done.")
@rows_option
@click.argument("containers", nargs=-1, type=CONTAINER)
@click.pass_obj
def stats_command(door: Door, containers: tuple[str, ...], no_stream: bool, form: str) -> None:
    """Show what CONTAINERS, or all that run, use; every second until Ctrl-C."""
    before = _look(door, containers, strict=True)
    while True:
        time.sleep(_SECOND)
        now = _look(door, containers, strict=False)
        if containers and not now and not no_stream:
            return
        rows = [_row(one, before.get(id, one)) for id, one in now.items()]
        if sys.stdout.isatty() and not no_stream:
            print(_CLEAR, end="")
        show(rows, _STATS, form)
        sys.stdout.flush()
        if no_stream:
            return
        before = now


def _look(door: Door, names: tuple[str, ...], *, strict: bool) -> "dict[str, Stats]":
    """What each has used; one that ends meanwhile is left out, unless asked for from the start."""
    found = {}
    for name in names or [one.id for one in door.engine.containers()]:
        try:
            one = door.engine.stats(name)
        except (WrongState, ContainerNotFound, FileNotFoundError):
            if strict and names:
                raise
            continue
        found[one.id] = one
    return found


def _row(now: "Stats", before: "Stats") -> dict[str, Any]:
    limit = now.memory_limit
    return {
        "ID": now.id[:12],
        "Name": now.name,
        "CPUPerc": f"{now.percent(before):.2f}%",
        "CPUTime": f"{now.cpu:.2f}s",
        "MemUsage": f"{size(now.memory)} / {size(limit) if limit is not None else '-'}",
        "MemPerc": f"{100 * now.memory / limit:.2f}%" if limit else "-",
        "NetIO": f"{size(now.received)} / {size(now.sent)}",
        "PIDs": now.pids,
    }
