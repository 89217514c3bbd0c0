"""What a name means in its registry, over plain values; other machines are asked."""

from typing import TYPE_CHECKING, Any

from sandcell.magics.inspector.model import text

if TYPE_CHECKING:
    from sandcell.runtime.engine import Engine


def tags(engine: "Engine", name: str) -> dict[str, Any]:
    """All tags that the repository of a name has."""
    return {"tags": [text(one) for one in engine.registry_tags(name)]}


def manifest(engine: "Engine", name: str) -> dict[str, Any]:
    """The manifest or index that a name means; ``text`` are its bytes, those that ``digest`` is of."""
    found = engine.registry_manifest(name)
    told = text(found.data.decode("utf-8", "replace"))
    return {"digest": str(found.digest), "media_type": text(found.media_type), "text": told}


def referrers(engine: "Engine", name: str) -> dict[str, Any]:
    """What belongs to a name: signatures, lists of parts and the like."""
    found = engine.registry_referrers(name)
    rows = [
        {"digest": str(one.digest), "size": one.size, "kind": text(one.artifact_type or one.media_type)}
        for one in found
    ]
    return {"referrers": rows}


def delete(engine: "Engine", name: str) -> dict[str, Any]:
    """Delete what a name means there, with all its other tags."""
    return {"deleted": str(engine.registry_delete(name))}
