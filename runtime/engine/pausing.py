"""Letting all of a container's processes stand still, and go on. cgroups(7), the freezer."""

import os
from contextlib import suppress

from sandcell.runtime.container import state
from sandcell.runtime.engine import lifecycle, record
from sandcell.runtime.engine.birth import group
from sandcell.runtime.engine.places import Places
from sandcell.runtime.engine.record import Record
from sandcell.runtime.errors import ContainerNotFound, HostRefused, WrongState
from sandcell.runtime.linux import cgroups
from sandcell.runtime.linux.process import alive


def pause(places: Places, who: Record) -> None:
    """Stop every process of the container where it is. ``WrongState`` unless it runs, ``HostRefused``
    where it has no control group: a stop signal would be seen by the processes and their parents."""
    with record.changing(places, who, "pause"):
        now = record.current(places, who)
        if now.status != state.RUNNING or now.init is None:
            raise WrongState("pause", who.name, f"it is {now.status}, not running", f"start {who.name}")
        if record.paused(places, who, now):
            raise WrongState("pause", who.name, "it is paused already", f"unpause {who.name}")
        try:
            control_group(places, who, "pause").freeze()
        except HostRefused:
            if not alive(now.init):
                raise WrongState("pause", who.name, "it has just ended", f"start {who.name}") from None
            raise
        with open(f"{places.running(who.id)}/{record.PAUSED}.new", "w") as file:
            file.write(record.mark(now.init))
        os.rename(file.name, f"{places.running(who.id)}/{record.PAUSED}")


def unpause(places: Places, who: Record) -> None:
    """Let a paused container go on; ``WrongState`` when it is not paused."""
    with record.changing(places, who, "unpause"):
        now = record.current(places, who)
        if not record.paused(places, who, now):
            cause = f"it is {now.status}, not paused"
            raise WrongState("unpause", who.name, cause, "`ps` shows what is paused")
        _thaw(places, who)


def thaw(places: Places, who: Record) -> None:
    """Let it go on, whether it is paused or not, and whether it is still there or not."""
    with suppress(ContainerNotFound), record.changing(places, who, "unpause"):
        _thaw(places, who)


def _thaw(places: Places, who: Record) -> None:
    control_group(places, who, "unpause").thaw()
    try:
        os.unlink(f"{places.running(who.id)}/{record.PAUSED}")
    except FileNotFoundError:
        pass


def control_group(places: Places, who: Record, operation: str) -> cgroups.Cgroup:
    """The container's control group; ``HostRefused`` where it has none."""
    found = group(lifecycle.cgroups_path(places, who), record.current(places, who).init)
    if found is None:
        cause = cgroups.layout().refused or "this host gave it no control group"
        raise HostRefused(operation, who.name, cause, "see limits in `sandcell doctor`")
    return found
