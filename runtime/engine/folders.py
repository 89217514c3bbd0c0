"""The volumes of a container: where they lie, and what is in them at their first use."""

import os
from functools import partial
from typing import TYPE_CHECKING

from sandcell.runtime.container import jobs, state
from sandcell.runtime.container.options import Options, parse_volume
from sandcell.runtime.engine import record
from sandcell.runtime.engine.places import Places, make_skeleton
from sandcell.runtime.engine.work import run_apart
from sandcell.runtime.linux.idmap import IdMap
from sandcell.runtime.volumes.volumes import Volumes

if TYPE_CHECKING:
    from sandcell.runtime.container.compose import Setting
    from sandcell.runtime.engine.birth import Nursery


def volumes(places: Places) -> Volumes:
    """The named volumes of the store."""
    return Volumes(f"{places.home}/volumes")


def furnish(nursery: "Nursery", options: Options, facts: "Setting", lowers: tuple[str, ...]) -> None:
    """Make the volumes that a new container mounts, and fill those that are new from its image.

    A volume without a name lies in the container's own directory and goes with it.
    """
    make_skeleton(nursery.places)
    stack = [nursery.places.skeleton, *lowers]
    named = volumes(nursery.places)
    for volume in map(parse_volume, options.volumes):
        if not volume.named:
            continue
        named.create(volume.source)
        if volume.copy:
            fill = partial(_fill, nursery, facts.owners, stack, volume.destination)
            named.first_use(volume.source, fill)
    for path, target in facts.anonymous.items():
        os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
        os.mkdir(target, 0o755)
        os.chmod(target, 0o755)
        _fill(nursery, facts.owners, stack, path, target)


def _fill(nursery: "Nursery", idmap: IdMap, stack: list[str], path: str, target: str) -> None:
    payload = {
        "lowers": stack,
        "root": nursery.places.mount_point,
        "path": path,
        "target": target,
        "userxattr": idmap.user_namespace,
    }
    if os.path.exists(target + ".new"):  # of somebody who was killed
        from sandcell.runtime.engine.lifecycle import discard

        discard(nursery.launcher, idmap, target + ".new")
    run_apart(lambda: nursery.launcher, jobs.Task("sandcell.runtime.volumes.copy_up.copy_up", payload, idmap))


def users(places: Places, name: str) -> list[str]:
    """The names of the containers that mount the volume ``name``. One that is removed at its end, and has
    ended, is waited for."""
    from sandcell.runtime.engine.lifecycle import settle

    found = []
    for who in record.every(places):
        if any(parse_volume(text).source == name for text in who.options.volumes):
            if who.options.remove and record.current(places, who).status == state.EXITED:
                settle(places, who)
                continue
            found.append(who.name)
    return found
