"""``sandcell events``."""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from sandcell.runtime.cli.door import Door
from sandcell.runtime.cli.human import stamp
from sandcell.runtime.cli.table import as_json, rows_option
from sandcell.runtime.errors import InvalidOption

if TYPE_CHECKING:
    from sandcell.runtime.events import ContainerEvent

_KEYS = ("container", "event", "image", "type")


@click.command("events")
@click.option("-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help=f"{', '.join(_KEYS)}.")
@click.option("--since", metavar="TIME", help="Begin with what is still known: 10m (ago), an RFC 3339 time.")
@click.option("--until", metavar="TIME", help="End then.")
@rows_option
@click.pass_obj
def events_command(
    door: Door, filters: tuple[str, ...], since: str | None, until: str | None, form: str
) -> None:
    """Show what befalls containers from now on, until Ctrl-C.

    Nobody writes events down while nobody listens. --since tells what the containers themselves still
    know: when they were created, and when they started and ended last.
    """
    wanted = [_filter(text) for text in filters]
    from sandcell.runtime.engine.moments import moment

    now = time.time()
    end = None if until is None else moment(until, now)
    begin = now if since is None else moment(since, now)
    show = {"table": _line, "json": as_json}.get(form) or _templated(form)
    for event in _events(door, begin, end, now):
        if all(_matches(event, key, value) for key, value in wanted):
            print(show(event), flush=True)


def _events(door: Door, begin: float, end: float | None, now: float) -> "Iterator[ContainerEvent]":
    with door.engine.events() as events:
        if begin < now:
            yield from door.engine.past_events(begin, now if end is None else min(now, end))
        while end is None or time.time() < end:
            yield from events.next(None if end is None else max(0.0, end - time.time()))


def _filter(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or key not in _KEYS:
        hint = f"use {', '.join(f'{known}=' for known in _KEYS)}"
        raise InvalidOption("events", f"--filter {text}", "no such filter", hint)
    return key, value


def _matches(event: "ContainerEvent", key: str, value: str) -> bool:
    if key == "container":
        return value == event.name or (bool(value) and event.id.startswith(value))
    if key == "image":
        return value in (event.image, event.image.removesuffix(":latest"))
    return value == (event.action if key == "event" else "container")


def _line(event: "ContainerEvent") -> str:
    more = "" if event.status is None else f", status={event.status}"
    about = f"(image={event.image}, name={event.name}{more})"
    return f"{stamp(event.time, 'microseconds')} container {event.action} {event.id} {about}"


def _templated(form: str) -> "Callable[[ContainerEvent], str]":
    """The line of an event by a template over docker's words for it."""
    from sandcell.runtime.cli.template import compiled

    render = compiled(form)

    def line(event: "ContainerEvent") -> str:
        about = {"image": event.image, "name": event.name}
        if event.status is not None:
            about["exitCode"] = str(event.status)
        words = {"Type": "container", "Action": event.action, "Status": event.action, "ID": event.id}
        actor = {"ID": event.id, "Attributes": about}
        return render({**words, "From": event.image, "Actor": actor, "Time": int(event.time)})

    return line
