"""Listening to a container that somebody else started."""

from collections.abc import Callable

from sandcell.runtime.container import processes, running, state
from sandcell.runtime.engine import lifecycle, record
from sandcell.runtime.engine.birth import group
from sandcell.runtime.engine.places import Places
from sandcell.runtime.engine.record import Record
from sandcell.runtime.errors import WrongState
from sandcell.runtime.linux.process import identify


def attach(places: Places, who: Record) -> running.Running:
    """Its output from now on, and its standard input where that is kept open. ``WrongState`` unless it
    runs and is not paused."""
    now = record.current(places, who)
    if now.status != state.RUNNING:
        raise WrongState("attach to", who.name, f"it is {now.status}, not running", f"start -ai {who.name}")
    if record.paused(places, who, now):
        raise WrongState("attach to", who.name, "it is paused", f"let it go on first: unpause {who.name}")
    path = lifecycle.cgroups_path(places, who)

    def members(pid: int) -> Callable[[], list[int]]:
        init = identify(pid)
        return lambda: processes.of_container(init, group(path, init)) if init else []

    try:
        return running.join(places.running(who.id), members, who.name)
    except OSError:
        raise WrongState("attach to", who.name, "it has just ended", f"logs {who.name}") from None
