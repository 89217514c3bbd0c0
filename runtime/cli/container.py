"""``sandcell container …``: docker's words for containers, and removing those that have ended."""

import time

import click

from sandcell.runtime.cli.archives import export_command
from sandcell.runtime.cli.attaching import attach_command
from sandcell.runtime.cli.changes import commit_command, diff_command, inspect_command
from sandcell.runtime.cli.copy import cp_command
from sandcell.runtime.cli.door import Door
from sandcell.runtime.cli.each import agreed, each
from sandcell.runtime.cli.exec import exec_command
from sandcell.runtime.cli.lifecycle import (
    kill_command,
    rename_command,
    restart_command,
    rm_command,
    start_command,
    stop_command,
    wait_command,
)
from sandcell.runtime.cli.living import pause_command, unpause_command, update_command
from sandcell.runtime.cli.logs import logs_command
from sandcell.runtime.cli.looking import stats_command, top_command
from sandcell.runtime.cli.network import port_command
from sandcell.runtime.cli.ps import chosen, ps_command
from sandcell.runtime.cli.run import create_command, run_command
from sandcell.runtime.errors import InvalidOption


@click.group("container")
def container_command() -> None:
    """Containers: all that is done to them."""


@container_command.command("prune")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--filter", "filters", multiple=True, metavar="KEY=VALUE", help="label=KEY, until=TIME.")
@click.pass_obj
def prune_command(door: Door, force: bool, filters: tuple[str, ...]) -> int:
    """Remove all containers that do not run, with what they wrote."""
    wanted, before = _filters(filters)
    found = [
        one
        for one in door.engine.containers(all=True)
        if one.state in ("created", "exited") and one.created < before and chosen(one, wanted)
    ]
    if found and not force and not agreed([one.name for one in found], "containers"):
        return 1
    return each(door, [one.id for one in found], door.engine.remove)


def _filters(filters: tuple[str, ...]) -> tuple[list[tuple[str, str]], float]:
    from sandcell.runtime.engine.moments import moment

    now = before = time.time()
    wanted = []
    for text in filters:
        key, sign, value = text.partition("=")
        if not sign or key not in ("label", "until"):
            raise InvalidOption(
                "container prune", f"--filter {text}", "no such filter", "use label= or until="
            )
        if key == "until":
            before = moment(value, now)
        else:
            wanted.append((key, value))
    return wanted, before


for _name, _command in {
    "attach": attach_command,
    "commit": commit_command,
    "cp": cp_command,
    "create": create_command,
    "diff": diff_command,
    "exec": exec_command,
    "export": export_command,
    "inspect": inspect_command,
    "kill": kill_command,
    "logs": logs_command,
    "ls": ps_command,
    "pause": pause_command,
    "port": port_command,
    "rename": rename_command,
    "restart": restart_command,
    "rm": rm_command,
    "run": run_command,
    "start": start_command,
    "stats": stats_command,
    "stop": stop_command,
    "top": top_command,
    "unpause": unpause_command,
    "update": update_command,
    "wait": wait_command,
}.items():
    container_command.add_command(_command, _name)
