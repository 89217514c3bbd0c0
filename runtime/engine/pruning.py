"""Clearing away what crashes left: half-made containers, forgotten groups and leases; then the store."""

import os
import time
from typing import TYPE_CHECKING

from sandcell.runtime.container import state
from sandcell.runtime.engine import lifecycle, record
from sandcell.runtime.engine.birth import CGROUP_PARENT
from sandcell.runtime.engine.folders import volumes
from sandcell.runtime.engine.places import Places
from sandcell.runtime.errors import Conflict
from sandcell.runtime.linux import cgroups
from sandcell.runtime.store.prune import Pruned

if TYPE_CHECKING:
    from sandcell.runtime.engine.engine import Engine

_YOUNG = 60.0


def prune(engine: "Engine") -> Pruned:
    """Remove what nothing needs. Containers that are listed, and named images, stay; so does what is
    younger than a minute, for somebody may just be making it."""
    places = engine.places
    listed = {who.id for who in record.every(places)}
    for who in record.every(places):
        record.current(places, who)
    for parts in ("", "/builds"):
        _rests(engine, Places(places.home + parts, places.run + parts), listed)
    _groups(engine, listed)
    if os.path.isdir(f"{places.run}/networks"):
        from sandcell.runtime.engine import wiring

        wiring.sweep(places)
    for path in volumes(places).halves():
        if _old(path):
            lifecycle.discard(engine.launcher, engine.idmap, path)
    return engine.store.prune()


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


def _old(path: str) -> bool:
    try:
        return time.time() - os.lstat(path).st_mtime > _YOUNG
    except FileNotFoundError:
        return False


def _groups(engine: "Engine", listed: set[str]) -> None:
    """Control groups of this store's containers that are gone: empty ones go, others are somebody's."""
    layout = cgroups.layout()
    if not layout.writable:
        return
    for base in dict.fromkeys(layout.bases.values()):
        try:
            names = os.listdir(f"{base}/{CGROUP_PARENT}")
        except FileNotFoundError:
            continue
        for name in names:
            if len(name) == 64 and name not in listed and not os.path.isdir(engine.places.running(name)):
                try:
                    cgroups.Cgroup(f"{CGROUP_PARENT}/{name}", layout).remove(0)
                except Conflict:
                    continue  # another store's container runs in it
    cgroups.Cgroup(CGROUP_PARENT, layout).prune()
