"""What is done to images and containers by the inspector's buttons, the kernel's widget and the server.

Each takes the engine and plain values and gives how things stand then, as JSON can carry it. Errors are
``SandcellError``.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sandcell.magics.inspector.model import container_value, image_value
from sandcell.runtime.errors import ContainerNotFound, WrongState

if TYPE_CHECKING:
    from sandcell.runtime.engine import Engine


def create(
    engine: "Engine", *, image: str, command: list[str] | None = None, start: bool = False, **options: Any
) -> dict[str, Any]:
    """A new container, started if ``start``; ``options`` as in ``Options``."""
    from sandcell.runtime.container.options import Options

    for name in ("publish", "volumes", "tmpfs"):
        options[name] = tuple(options.get(name, ()))
    made = engine.create(image, tuple(command) if command else None, Options(**options).check(), starts=start)
    return container_value(engine.start(made) if start else made)


def update(engine: "Engine", id: str, **limits: Any) -> dict[str, Any]:
    """Other limits, at once."""
    return container_value(engine.update(id, **limits))


def start(engine: "Engine", id: str) -> dict[str, Any]:
    """Start it in the background."""
    return container_value(engine.start(id))


def stop(engine: "Engine", id: str, timeout: float | None = None) -> dict[str, Any]:
    """Ask it to end, and make it after ``timeout`` seconds, by itself those it was created with, or 10."""
    engine.stop(id, timeout=timeout)
    return _state(engine, id)


def restart(engine: "Engine", id: str, timeout: float | None = None) -> dict[str, Any]:
    """Stop it, and start it again."""
    return container_value(engine.restart(id, timeout=timeout))


def kill(engine: "Engine", id: str, signal: str = "KILL") -> dict[str, Any]:
    """Send a signal to its first process."""
    engine.kill(id, signal)
    return _state(engine, id)


def pause(engine: "Engine", id: str) -> dict[str, Any]:
    """Let all its processes stand still."""
    engine.pause(id)
    return _state(engine, id)


def unpause(engine: "Engine", id: str) -> dict[str, Any]:
    """Let it go on."""
    engine.unpause(id)
    return _state(engine, id)


def reset(engine: "Engine", id: str) -> dict[str, Any]:
    """Throw its writable layer away."""
    engine.reset(id)
    return _state(engine, id)


def rename(engine: "Engine", id: str, name: str) -> dict[str, Any]:
    """Give it another name."""
    return container_value(engine.rename(id, name))


def commit(engine: "Engine", id: str, name: str = "", message: str = "") -> dict[str, Any]:
    """Make an image of what it changed."""
    return image_value(engine.commit(id, name or None, message=message), [name] if name else [])


def remove(engine: "Engine", id: str, force: bool = False) -> dict[str, Any]:
    """Remove it with its writable layer and its log."""
    found = engine.container(id)
    engine.remove(found, force=force)
    return {"removed": found.id}


def remove_image(engine: "Engine", name: str, force: bool = False) -> dict[str, Any]:
    """Take a name away; with the last one the image goes."""
    gone = engine.remove_image(name, force=force)
    return {"untagged": list(gone.untagged), "deleted": list(gone.deleted)}


def tag(engine: "Engine", source: str, target: str) -> dict[str, Any]:
    """Give an image one more name."""
    engine.tag(source, target)
    found = engine.image(target)
    names = [entry.name for entry in engine.images() if entry.digest == found.digest]
    return image_value(found, names)


def pull(engine: "Engine", name: str, platform: str = "") -> dict[str, Any]:
    """Bring an image from its registry."""
    return image_value(engine.pull(name, platform=platform or None), [name])


def push(engine: "Engine", name: str) -> dict[str, Any]:
    """Send an image to its registry."""
    return {"warnings": list(engine.push(name))}


def prune(engine: "Engine") -> dict[str, Any]:
    """Delete what nothing needs any more."""
    gone = engine.prune()
    return {"removed": list(gone.removed), "size": gone.size}


def prune_containers(engine: "Engine") -> dict[str, Any]:
    """Remove all containers that do not run, with what they wrote; one that begins to run meanwhile stays."""
    gone = []
    for one in engine.containers(all=True):
        if one.state in ("created", "exited"):
            try:
                engine.remove(one)
            except (ContainerNotFound, WrongState):
                continue
            gone.append(one.name)
    return {"removed": gone}


def _state(engine: "Engine", id: str) -> dict[str, Any]:
    """How it stands after a verb; a container that removes itself at its end is gone."""
    try:
        return container_value(engine.container(id))
    except ContainerNotFound:
        return {"removed": id}


VERBS: dict[str, Callable[..., dict[str, Any]]] = {
    "create": create,
    "update": update,
    "start": start,
    "stop": stop,
    "restart": restart,
    "kill": kill,
    "pause": pause,
    "unpause": unpause,
    "reset": reset,
    "rename": rename,
    "commit": commit,
    "remove": remove,
    "remove_image": remove_image,
    "tag": tag,
    "pull": pull,
    "push": push,
    "prune": prune,
    "prune_containers": prune_containers,
}
