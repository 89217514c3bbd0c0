"""The whole store as plain values that JSON can carry, and the difference between two states of it.

Pure: made of the values that the engine's verbs give. A state is ``{"images": {digest: image},
"containers": {id: container}}``; a patch has the same shape with only what changed, and ``None`` in
the place of what is gone. Texts from outside hold no lone surrogates.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from sandcell.magics.cards import instruction, settings_of

if TYPE_CHECKING:
    from sandcell.runtime.engine.looking import ProcessEntry, Stats
    from sandcell.runtime.engine.values import Container
    from sandcell.runtime.oci.image import Image

Value: TypeAlias = dict[str, Any]
State: TypeAlias = dict[str, dict[str, Any]]


def text(value: str) -> str:
    """``value`` as any encoder takes it: bytes that are no UTF-8 become escapes."""
    return value.encode("utf-8", "backslashreplace").decode()


def image_value(image: "Image", names: Iterable[str] = ()) -> Value:
    """An image: its names, and its layers, lowest first, by chain id, so that what two images share
    has the same key in both. Sizes are bytes, compressed."""
    layers = [
        {
            "chain": str(layer.chain_id),
            "digest": str(layer.descriptor.digest),
            "size": layer.descriptor.size,
            "text": text(_told(layer.history)),
        }
        for layer in image.layers
    ]
    return {
        "digest": str(image.digest),
        "names": sorted(names),
        "created": image.config.created or "",
        "size": image.size,
        "platform": f"{image.platform.os}/{image.platform.architecture}",
        "layers": layers,
        "settings": [[key, text(value)] for key, value in settings_of(image)],
    }


def container_value(container: "Container") -> Value:
    """A container as it stands. Times are seconds since the epoch; ``facets``: those not real."""
    options = container.options
    return {
        "id": container.id,
        "name": container.name,
        "image": container.image,
        "digest": str(container.image_digest),
        "command": text(" ".join(container.command)),
        "state": container.state,
        "status": container.exit_status,
        "oom": container.oom,
        "error": text(container.error),
        "pid": container.pid,
        "created": container.created,
        "started": container.started,
        "finished": container.finished,
        "rung": container.rung,
        "facets": [
            {"name": facet.name, "state": facet.state, "reason": text(facet.reason), "fix": text(facet.fix)}
            for facet in container.facets
            if facet.state != "real"
        ],
        "network": options.network,
        "remove": options.remove,
        "attached": options.die_with_client,
    }


def process_value(one: "ProcessEntry") -> Value:
    """A process by both of its numbers. ``cpu``: seconds; ``memory``: bytes."""
    return {
        "pid": one.pid,
        "inside": one.inside,
        "parent": one.parent,
        "user": one.user,
        "cpu": one.cpu,
        "memory": one.memory,
        "state": one.state,
        "command": text(one.command),
    }


def stats_value(stats: "Stats") -> Value:
    """What a container has used until now; ``time`` is monotonic seconds."""
    return {
        "id": stats.id,
        "time": stats.time,
        "cpu": stats.cpu,
        "memory": stats.memory,
        "memory_limit": stats.memory_limit,
        "pids": stats.pids,
        "received": stats.received,
        "sent": stats.sent,
    }


def difference(old: State, new: State) -> State:
    """The patch that makes ``new`` of ``old``; empty when they are equal."""
    patch: State = {}
    for kind in ("images", "containers"):
        before, after = old.get(kind, {}), new.get(kind, {})
        changed = {key: value for key, value in after.items() if before.get(key) != value}
        changed |= dict.fromkeys(before.keys() - after.keys())
        if changed:
            patch[kind] = changed
    return patch


def patched(state: State, patch: State) -> State:
    """``state`` after ``patch``; neither is changed."""
    return {
        kind: {
            key: value
            for key, value in (state.get(kind, {}) | patch.get(kind, {})).items()
            if value is not None
        }
        for kind in ("images", "containers")
    }


def names_of(entries: Mapping[str, str]) -> dict[str, list[str]]:
    """Names by digest, of digests by name."""
    found: dict[str, list[str]] = {}
    for name, digest in entries.items():
        found.setdefault(digest, []).append(name)
    return found


def _told(history: Any) -> str:
    if history is None:
        return "(its history is not told)"
    return instruction(history.created_by or "", history.comment or "")
