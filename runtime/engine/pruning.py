"""Clearing away what crashes left: half-made containers, forgotten groups and leases; then the store."""

import os
import time
from typing import TYPE_CHECKING

from sandcell.runtime.container import state
from sandcell.runtime.engine import lifecycle, names, record
from sandcell.runtime.engine.birth import CGROUP_PARENT
from sandcell.runtime.engine.folders import volumes
from sandcell.runtime.engine.places import Places
from sandcell.runtime.errors import Conflict, SandcellError
from sandcell.runtime.linux import cgroups
from sandcell.runtime.store.prune import Pruned

if TYPE_CHECKING:
    from sandcell.runtime.engine.engine import Engine

_YOUNG = 60.0


def prune(engine: "Engine", *, cache: bool, dry_run: bool) -> Pruned:
    """Remove what nothing needs. Containers that are listed, and named images, stay; so does what is
    younger than a minute, for somebody may just be making it."""
    places = engine.places
    if dry_run:
        return engine.store.prune(cache=cache, dry_run=True)
    for who in record.every(places):
        if record.current(places, who).status == state.EXITED and who.options.remove:
            _finish(engine, who)
    # Whose record is spoiled is nobody's litter: its files may be all that somebody has.
    listed = {who.id for who in record.every(places)} | set(record.spoiled(places))
    names.sweep(places)
    for parts in ("", "/builds"):
        _rests(engine, Places(places.home + parts, places.run + parts), listed)
    _groups(listed)
    if os.path.isdir(f"{places.run}/networks") or engine.host.rung != "root":
        from sandcell.runtime.engine import wiring

        wiring.sweep(places)
    for path in volumes(places).halves():
        if _old(path):
            lifecycle.discard(engine.launcher, engine.idmap, path)
    return engine.store.prune(cache=cache, dry_run=False)


def _finish(engine: "Engine", who: record.Record) -> None:
    """Remove what should have removed itself at its end, had its monitor not been killed."""
    try:
        lock = state.take_lock(engine.places.running(who.id), 0)
        if lock is not None:
            os.close(lock)
            lifecycle.remove(engine.places, engine.launcher, who, force=False)
    except (FileNotFoundError, SandcellError):
        pass  # its monitor, or somebody else, is just removing it


def _rests(engine: "Engine", places: Places, listed: set[str]) -> None:
    """Directories that no container has: of a birth, a removal or a build that was cut off."""
    for parent in (places.containers, f"{places.run}/containers"):
        for id in os.listdir(parent) if os.path.isdir(parent) else ():
            path = f"{parent}/{id}"
            if id in listed or not _old(path):
                continue
            try:
                lock = state.take_lock(places.running(id), 0)
                if lock is None:
                    continue  # its monitor is still at work
                os.close(lock)
            except FileNotFoundError:
                pass
            lifecycle.discard(engine.launcher, engine.idmap, path)
            _remove_group(id)


def _old(path: str) -> bool:
    try:
        return time.time() - os.lstat(path).st_mtime > _YOUNG
    except FileNotFoundError:
        return False


def _groups(listed: set[str]) -> None:
    """Control groups without a container here: empty ones go if nobody is just making them, perhaps
    for another store; in others something runs."""
    layout = cgroups.layout()
    if not layout.writable:
        return
    for base in dict.fromkeys(layout.bases.values()):
        try:
            groups = os.listdir(f"{base}/{CGROUP_PARENT}")
        except FileNotFoundError:
            continue
        for name in groups:
            if len(name) == 64 and name not in listed and _old(f"{base}/{CGROUP_PARENT}/{name}"):
                _remove_group(name)
    cgroups.Cgroup(CGROUP_PARENT, layout).prune()


def _remove_group(id: str) -> None:
    layout = cgroups.layout()
    if layout.writable:
        try:
            cgroups.Cgroup(f"{CGROUP_PARENT}/{id}", layout).remove(0)
        except Conflict:
            pass  # something runs in it
