"""The verbs that the server has beside those of the inspector's table, over plain values."""

from typing import TYPE_CHECKING, Any

import msgspec

from sandcell.magics.inspector import questions
from sandcell.magics.inspector.feed import Picture
from sandcell.magics.inspector.model import container_value, image_value, process_value, stats_value, text

if TYPE_CHECKING:
    from sandcell.runtime.engine import Engine

_MOST_OUTPUT = 1 << 20
_MOST_FILES = 1000


def state(engine: "Engine") -> dict[str, Any]:
    """All images and containers."""
    picture = Picture(engine)
    picture.everything()
    return dict(picture.state)


def images(engine: "Engine") -> dict[str, Any]:
    """The images that have a name."""
    return {"images": [one for one in state(engine)["images"].values() if one["names"]]}


def containers(engine: "Engine") -> dict[str, Any]:
    """All containers, newest first."""
    return {"containers": [container_value(one) for one in engine.containers(all=True)]}


def execute(
    engine: "Engine", id: str, command: list[str], env: dict[str, str], workdir: str, user: str
) -> dict[str, Any]:
    """Run a command in a running container; its status, and the first megabyte of what it wrote."""
    from sandcell.runtime.container.options import ExecOptions

    options = ExecOptions(env=env, workdir=workdir, user=user).check()
    done = engine.exec(id, tuple(command), options)
    streams = {"stdout": done.stdout, "stderr": done.stderr}
    shown = {name: text(data[:_MOST_OUTPUT].decode("utf-8", "replace")) for name, data in streams.items()}
    return {"status": done.status, "duration": done.duration, **shown}


def wait(engine: "Engine", id: str, timeout: float = 10.0) -> dict[str, Any]:
    """The exit status, ``null`` while it still runs after ``timeout`` seconds."""
    status = engine.wait(id, timeout)
    return {"status": status}


def processes(engine: "Engine", id: str) -> dict[str, Any]:
    """The processes of a running container."""
    return {"processes": [process_value(one) for one in engine.top(id)]}


def stats(engine: "Engine", id: str) -> dict[str, Any]:
    """What a running container has used until now."""
    return stats_value(engine.stats(id))


def build(engine: "Engine", text: str, name: str, target: str, no_cache: bool) -> dict[str, Any]:
    """Build a Dockerfile."""
    made = engine.build(text, name=name or None, target=target or None, no_cache=no_cache)
    return image_value(made, [name] if name else [])


def networks(engine: "Engine") -> dict[str, Any]:
    """All networks."""
    return {"networks": [msgspec.to_builtins(one) for one in engine.networks()]}


def create_network(engine: "Engine", name: str, subnet: str) -> dict[str, Any]:
    """A new bridge network."""
    return dict(msgspec.to_builtins(engine.create_network(name, subnet=subnet)))


def remove_network(engine: "Engine", name: str) -> dict[str, Any]:
    """Remove one that people made."""
    engine.remove_network(name)
    return {"removed": name}


def prune_networks(engine: "Engine") -> dict[str, Any]:
    """Remove networks that somebody made and to which no container belongs."""
    found = engine.unused_networks()
    for name in found:
        engine.remove_network(name)
    return {"removed": list(found)}


def volumes(engine: "Engine") -> dict[str, Any]:
    """All named volumes."""
    return {"volumes": [msgspec.to_builtins(one) for one in engine.volumes()]}


def create_volume(engine: "Engine", name: str) -> dict[str, Any]:
    """A new, empty volume."""
    return dict(msgspec.to_builtins(engine.create_volume(name)))


def remove_volume(engine: "Engine", name: str) -> dict[str, Any]:
    """Remove a volume with all that is in it."""
    engine.remove_volume(name)
    return {"removed": name}


def prune_volumes(engine: "Engine") -> dict[str, Any]:
    """Remove volumes that no container mounts, with what is in them."""
    return {"removed": list(engine.prune_volumes())}


def inspect(engine: "Engine", id: str) -> dict[str, Any]:
    """A container under docker's names."""
    return dict(questions.container(engine, id)["inspect"])


def image_diff(engine: "Engine", image: str, other: str) -> dict[str, Any]:
    """What ``other`` has more (A), otherwise (C) or no more (D) than ``image``; the first thousand files."""
    changes = engine.image_diff(image, other)
    rows = [[one.kind, text(one.path)] for one in changes[:_MOST_FILES]]
    return {"total": len(changes), "changes": rows}


def image_waste(engine: "Engine", image: str) -> dict[str, Any]:
    """Bytes of lower layers that upper ones hide, the largest first."""
    waste = engine.image_waste(image)
    rows = [
        {"path": text(one.path), "size": one.size, "layer": one.number, "change": one.change}
        for one in waste.files[:_MOST_FILES]
    ]
    return {"wasted": waste.wasted, "total": waste.total, "files": rows}


def usage(engine: "Engine") -> dict[str, Any]:
    """Who takes how many bytes, and what ``prune`` would free."""
    used = engine.usage()
    images = [{**msgspec.structs.asdict(one), "digest": str(one.digest)} for one in used.images]
    freed = {"removed": list(used.prunable.removed), "size": used.prunable.size}
    return {"images": images, "blobs": used.blobs, "unpacked": used.unpacked, "prunable": freed}


def host(engine: "Engine") -> dict[str, Any]:
    """What this host allows: its rung, and each facet with who refused it and how to get it."""
    facets = [msgspec.to_builtins(one) for one in engine.host.facets]
    return {"rung": engine.host.rung, "kernel": engine.host.kernel, "facets": facets}


def explain(engine: "Engine", image: str) -> dict[str, Any]:
    """The steps that would make a container of an image; nothing is done."""
    return {"steps": text(str(engine.explain(image))).splitlines()}


def connect(engine: "Engine", name: str, container: str) -> dict[str, Any]:
    """Let a container be on one more network."""
    engine.connect_network(name, container)
    return container_value(engine.container(container))


def disconnect(engine: "Engine", name: str, container: str) -> dict[str, Any]:
    """Take a container from a network."""
    engine.disconnect_network(name, container)
    return container_value(engine.container(container))
