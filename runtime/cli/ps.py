"""``sandcell ps``. People and prompts call it often: what it imports is counted in milliseconds."""

import time
from typing import TYPE_CHECKING

import click

from sandcell.runtime.cli.door import Door
from sandcell.runtime.cli.filters import Filters, fit, labelled, parse
from sandcell.runtime.cli.human import ago, duration, ellipsis, short, size, stamp
from sandcell.runtime.cli.table import as_json, rows_option, show
from sandcell.runtime.errors import ContainerNotFound

if TYPE_CHECKING:
    from sandcell.runtime.engine.values import Container

_COLUMNS = (
    ("CONTAINER ID", "ID"),
    ("IMAGE", "Image"),
    ("COMMAND", "Command"),
    ("CREATED", "RunningFor"),
    ("STATUS", "Status"),
    ("PORTS", "Ports"),
    ("NAMES", "Names"),
)

_KEYS = ("name", "id", "status", "exited", "label", "ancestor", "network", "volume")


@click.command("ps")
@click.option("-a", "--all", "everything", is_flag=True, help="Those that do not run too.")
@click.option("-q", "--quiet", is_flag=True, help="Only ids.")
@click.option("-n", "--last", type=int, metavar="NUMBER", help="The newest NUMBER, running or not.")
@click.option("-l", "--latest", is_flag=True, help="The newest, running or not.")
@click.option("-s", "--size", "sized", is_flag=True, help="What each has written, too.")
@click.option("--no-trunc", is_flag=True, help="Whole ids and commands.")
@click.option(
    "-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="name, id, status, label …"
)
@rows_option
@click.pass_obj
def ps_command(
    door: Door,
    everything: bool,
    quiet: bool,
    last: int | None,
    latest: bool,
    sized: bool,
    no_trunc: bool,
    filters: tuple[str, ...],
    form: str,
) -> None:
    """List containers: those that run, newest first."""
    newest = 1 if latest else last
    wanted = parse("ps", filters, _KEYS)
    of_any_state = everything or newest is not None or any(key in ("status", "exited") for key, _ in wanted)
    every = door.engine.containers(all=of_any_state)
    found = [container for container in every if chosen(container, wanted)][:newest]
    if quiet:
        for container in found:
            print(container.id if no_trunc else short(container.id))
        return
    now = time.time()
    rows = [_row(container, now, no_trunc, _ports(door, container)) for container in found]
    if everything and not filters:
        rows += [_spoiled(id if no_trunc else short(id)) for id in door.engine.spoiled()]
    if not sized:
        show(rows, _COLUMNS, form)
        return
    for row, container in zip(rows, found, strict=False):
        row["Size"] = size(door.engine.size(container))
    show(rows, (*_COLUMNS, ("SIZE", "Size")), form)


def chosen(container: "Container", filters: Filters) -> bool:
    """Do the filters choose it?"""
    return fit(filters, lambda key, value: _matches(container, key, value))


def _matches(container: "Container", key: str, value: str) -> bool:
    if key == "label":
        return labelled(container.labels, value)
    if key == "ancestor":
        return value in (container.image, container.image.removesuffix(":latest"), container.image_digest)
    if key == "status":
        return value == container.state
    if key == "exited":
        return container.state == "exited" and value == str(container.exit_status)
    if key == "network":
        return value in (container.options.network, *container.options.more_networks)
    if key == "volume":
        return any(value in text.split(":")[:2] for text in container.options.volumes)
    return value in (container.name if key == "name" else container.id)


def _ports(door: Door, container: "Container") -> str:
    running = container.state in ("running", "paused")
    if not running or not (container.options.publish or container.options.publish_all):
        return ""
    try:
        return ", ".join(map(str, door.engine.ports(container)))
    except ContainerNotFound:
        return ""  # it was removed a moment ago


def _row(container: "Container", now: float, whole: bool, ports: str) -> dict[str, str]:
    command = " ".join(container.command)
    return {
        "Command": as_json(command if whole else ellipsis(command, 20)),
        "CreatedAt": stamp(container.created),
        "ID": container.id if whole else short(container.id),
        "Image": container.image,
        "Labels": ",".join(f"{key}={value}" for key, value in container.labels.items()),
        "Names": container.name,
        "Ports": ports,
        "RunningFor": ago(container.created, now),
        "State": container.state,
        "Status": _status(container, now),
    }


def _spoiled(id: str) -> dict[str, str]:
    """The row of a container whose record cannot be read: `rm -f` takes it away, nothing else does."""
    told = dict.fromkeys(("Command", "CreatedAt", "Image", "Labels", "Names", "Ports", "RunningFor"), "")
    return {**told, "ID": id, "State": "corrupted", "Status": "Corrupted", "Size": ""}


def _status(container: "Container", now: float) -> str:
    if container.state == "exited":
        status = "status unknown" if container.exit_status is None else container.exit_status
        return f"Exited ({status}) {ago(container.finished, now)}"
    if container.state == "created":
        return "Created"
    up = "Up" if container.started is None else f"Up {duration(now - container.started)}"
    return f"{up} (Paused)" if container.state == "paused" else up
