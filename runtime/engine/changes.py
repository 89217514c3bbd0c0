"""What a container changed, as a list, as a new image, or thrown away."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from sandcell.runtime.container import state
from sandcell.runtime.engine import lifecycle, lower, pausing, record
from sandcell.runtime.engine.record import Record
from sandcell.runtime.engine.refusals import told
from sandcell.runtime.engine.work import Worker
from sandcell.runtime.errors import ContainerNotFound, HostRefused, WrongState
from sandcell.runtime.layer.changes import upper_changes
from sandcell.runtime.layer.compress import Compression
from sandcell.runtime.layer.tasks import read_changes
from sandcell.runtime.layer.tree import Change
from sandcell.runtime.linux import trees
from sandcell.runtime.oci.config import History
from sandcell.runtime.oci.image import Image
from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.store.worker import DIFF

if TYPE_CHECKING:
    from sandcell.runtime.engine.engine import Engine


def diff(engine: "Engine", who: Record) -> tuple[Change, ...]:
    """Files added (A), changed (C), deleted (D). While it runs, as they are at the moment.
    ``ContainerNotFound`` when it was removed meanwhile."""
    try:
        return _diff(engine, who)
    except FileNotFoundError:
        if record.goes(engine.places, who.id):
            raise ContainerNotFound("diff", who.name, "it was removed meanwhile") from None
    with told("diff", who.name):
        return _diff(engine, who)  # it was just being reset


def _diff(engine: "Engine", who: Record) -> tuple[Change, ...]:
    with upper(engine, who) as directory:
        lowers, recorded = [engine.places.skeleton, *engine.store.lowers_of(who)], who.idmap.single
        if not who.idmap.user_namespace:
            # Only read, and no ids have to be mapped: it is done here, and the list need not travel.
            return upper_changes(directory, lowers, recorded_owners=recorded)
        payload = {"upper": directory, "lowers": lowers, "recorded_owners": recorded}
        return read_changes(_worker(engine, who).run(DIFF, payload))


@contextmanager
def upper(engine: "Engine", who: Record) -> Iterator[str]:
    """The writable layer's directory; of a copy, one that is made for the moment."""
    base = engine.places.container(who.id)
    if not os.path.exists(f"{lower.root(base)}.seen"):
        yield f"{base}/upper"
        return
    mounting = engine.host.mounting
    with lower.changes(engine.launcher, who.idmap, base, mounting=mounting) as directory:
        yield directory


def _worker(engine: "Engine", who: Record) -> Worker:
    return Worker(lambda: engine.launcher, who.idmap)


def commit(
    engine: "Engine",
    who: Record,
    name: str | None,
    *,
    message: str = "",
    compression: Compression = "gzip",
    author: str = "",
    changes: Sequence[str] = (),
    pause: bool = True,
) -> Image:
    """The container's image with one more layer: what it changed. It stands still meanwhile."""
    if name is not None:
        Reference.parse(name)  # a name that is none shall not cost the work first
    old = engine.store.store.image(str(who.image_digest))
    settings = old.config.config
    if changes:
        from sandcell.runtime.build.amend import amended

        settings = amended(settings, changes)
    paused = pause and _pause(engine, who)
    try:
        with engine.store.store.leases.working(), upper(engine, who) as directory:
            layer = engine.store.store.layers.of_upper(
                directory,
                _worker(engine, who),
                compression=compression,
                recorded_owners=who.idmap.single,
            )
            created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            comment = "; ".join(filter(None, (message, layer.remark)))
            command = " ".join(who.command)
            told = History(created=created, created_by=command, author=author, comment=comment)
            config = old.config.with_layer(layer.diff_id, told)
            config = msgspec.structs.replace(
                config, created=created, config=settings, author=author or config.author
            )
            image = engine.store.store.write_image(config, (*old.manifest.layers, layer.descriptor))
            if name is not None:
                engine.store.name(name, image)
    finally:
        if paused:
            pausing.thaw(engine.places, who)
    return image


def _pause(engine: "Engine", who: Record) -> bool:
    """True if it stands still now and ran before. It is noted as paused, so that whoever finds it when
    we were killed can let it go on."""
    try:
        pausing.pause(engine.places, who)
    except (HostRefused, WrongState):
        return False  # no control groups here, or it does not run, or stands still already
    return True


def reset(engine: "Engine", who: Record) -> None:
    """Throw the writable layer away; ``WrongState`` while the container runs."""
    if record.current(engine.places, who).status == state.RUNNING:
        raise WrongState("reset", who.name, "it is running", f"stop it first: stop {who.name}")
    with told("reset", who.name), lifecycle.alone(engine.places, who, "reset"):
        base = engine.places.container(who.id)
        # Without its list a copy is made anew at the next start.
        trees.remove(f"{lower.root(base)}.seen")
        lifecycle.discard(engine.launcher, who.idmap, lower.root(base))
        for directory in ("upper", "work"):
            # Out of the way first: a reset that is interrupted leaves an empty layer, never half of one.
            old = f"{base}/old-{directory}"
            lifecycle.discard(engine.launcher, who.idmap, old)
            os.rename(f"{base}/{directory}", old)
            os.mkdir(f"{base}/{directory}", 0o755)
            os.chmod(f"{base}/{directory}", 0o755)
            lifecycle.discard(engine.launcher, who.idmap, old)
