"""What a container changed, as a list, as a new image, or thrown away."""

import os
import time
from typing import TYPE_CHECKING

import msgspec

from sandcell.runtime.container import state
from sandcell.runtime.engine import lifecycle, record
from sandcell.runtime.engine.birth import group
from sandcell.runtime.engine.record import Record
from sandcell.runtime.engine.refusals import told
from sandcell.runtime.engine.work import Worker
from sandcell.runtime.errors import HostRefused, WrongState
from sandcell.runtime.layer.compress import Compression
from sandcell.runtime.layer.tasks import read_changes
from sandcell.runtime.layer.tree import Change
from sandcell.runtime.linux.cgroups import Cgroup
from sandcell.runtime.oci.config import History
from sandcell.runtime.oci.image import Image
from sandcell.runtime.store.worker import DIFF, Here

if TYPE_CHECKING:
    from sandcell.runtime.engine.engine import Engine


def diff(engine: "Engine", who: Record) -> tuple[Change, ...]:
    """Files added (A), changed (C), deleted (D). While it runs, as they are at the moment."""
    payload = {
        "upper": upper(engine, who),
        "lowers": [engine.places.skeleton, *engine.store.lowers_of(who)],
        "recorded_owners": who.idmap.single,
    }
    # Only read, so where no ids have to be mapped it is done here: the list need not travel.
    worker = _worker(engine, who) if who.idmap.user_namespace else Here()
    return read_changes(worker.run(DIFF, payload))


def upper(engine: "Engine", who: Record) -> str:
    """The writable layer's directory."""
    return f"{engine.places.container(who.id)}/upper"


def _worker(engine: "Engine", who: Record) -> Worker:
    return Worker(lambda: engine.launcher, who.idmap)


def commit(
    engine: "Engine", who: Record, name: str | None, message: str, compression: Compression = "gzip"
) -> Image:
    """The container's image with one more layer: what it changed. It stands still meanwhile."""
    now = record.current(engine.places, who)
    old = engine.store.store.image(str(who.image_digest))
    cgroup = group(lifecycle.cgroups_path(engine.places, who)) if _runs(engine, who, now) else None
    frozen = cgroup is not None and _freeze(cgroup)
    try:
        with engine.store.store.leases.working():
            layer = engine.store.store.layers.of_upper(
                upper(engine, who),
                _worker(engine, who),
                compression=compression,
                recorded_owners=who.idmap.single,
            )
            created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            comment = "; ".join(filter(None, (message, layer.remark)))
            told = History(created=created, created_by=" ".join(who.command), comment=comment)
            config = msgspec.structs.replace(old.config.with_layer(layer.diff_id, told), created=created)
            image = engine.store.store.write_image(config, (*old.manifest.layers, layer.descriptor))
            if name is not None:
                engine.store.name(name, image)
    finally:
        if cgroup is not None and frozen:
            cgroup.thaw()
    return image


def _runs(engine: "Engine", who: Record, now: state.State) -> bool:
    """False for a paused one too: it stands still, and shall go on doing so."""
    return now.status == state.RUNNING and not record.paused(engine.places, who, now)


def _freeze(cgroup: Cgroup) -> bool:
    try:
        cgroup.freeze()
    except HostRefused:
        return False
    return True


def reset(engine: "Engine", who: Record) -> None:
    """Throw the writable layer away; ``WrongState`` while the container runs."""
    if record.current(engine.places, who).status == state.RUNNING:
        raise WrongState("reset", who.name, "it is running", f"stop it first: stop {who.name}")
    with told("reset", who.name), lifecycle.alone(engine.places, who, "reset"):
        base = engine.places.container(who.id)
        for directory in ("upper", "work"):
            # Out of the way first: a reset that is interrupted leaves an empty layer, never half of one.
            old = f"{base}/old-{directory}"
            lifecycle.discard(engine.launcher, who.idmap, old)
            os.rename(f"{base}/{directory}", old)
            os.mkdir(f"{base}/{directory}", 0o755)
            os.chmod(f"{base}/{directory}", 0o755)
            lifecycle.discard(engine.launcher, who.idmap, old)
