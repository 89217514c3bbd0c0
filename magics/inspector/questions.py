"""What somebody may ask of the inspector, and what is done: one table for the notebook and the server.

Each takes the engine and plain values and gives a value that JSON can carry. Errors are
``SandcellError``. Those in ``VERBS`` change something, those in ``QUESTIONS`` only look.
"""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sandcell.magics.inspector.files import MOST_ROWS, Files
from sandcell.magics.inspector.model import container_value, image_value, process_value, stats_value, text
from sandcell.runtime.errors import InvalidOption, SandcellError

if TYPE_CHECKING:
    from sandcell.runtime.engine import Engine

MOST_LOG = 256 * 1024
"""Bytes of a log that are shown."""

MOST_TEXT = 128 * 1024
"""Bytes of a file that are shown."""

_MOST_INDEXED = 6
_indexed: dict[tuple[str, ...], Files] = {}
_lock = threading.Lock()


def about(engine: "Engine") -> dict[str, Any]:
    """Which store this is: two answers with the same ``id`` are of the same one."""
    import hashlib
    import os

    places = engine.places
    facts = [os.stat(path) for path in (places.home, places.run)]
    told = repr([(fact.st_dev, fact.st_ino) for fact in facts]) + _boot()
    return {
        "id": hashlib.sha256(told.encode()).hexdigest()[:32],
        "home": text(places.home),
        "rung": engine.host.rung,
        "kernel": engine.host.kernel,
    }


def container(engine: "Engine", id: str) -> dict[str, Any]:
    """Everything about a container but its files and its log."""
    found = engine.container(id)
    told = engine.inspect(found.id)
    processes: list[Any] = []
    stats = None
    if found.state in ("running", "paused"):
        try:
            processes = [process_value(one) for one in engine.top(found)]
            stats = stats_value(engine.stats(found))
        except SandcellError:
            pass  # it ended this moment
    value = container_value(found)
    return _clean_all(container=value, inspect=told, processes=processes, stats=stats)


def image(engine: "Engine", name: str) -> dict[str, Any]:
    """Everything about an image but the files of its layers; ``history``, newest first."""
    found = engine.image(name)
    names = [entry.name for entry in engine.images() if entry.digest == found.digest]
    history = [
        {"text": text(one.created_by), "size": one.size, "layer": not one.empty_layer, "created": one.created}
        for one in engine.history(str(found.digest))
    ]
    return _clean_all(image=image_value(found, names), history=history)


def container_files(
    engine: "Engine", id: str, path: str = "", offset: int = 0, limit: int = MOST_ROWS, search: str = ""
) -> dict[str, Any]:
    """A window of a directory of what a container changed."""
    found = engine.container(id)
    files = _files(("c", found.id), lambda: Files(engine.diff(found)), fresh=not offset and not path)
    return files.search(search, limit) if search else files.rows(path.strip("/"), offset, limit)


def layer_files(
    engine: "Engine",
    digest: str,
    number: int,
    path: str = "",
    offset: int = 0,
    limit: int = MOST_ROWS,
    search: str = "",
) -> dict[str, Any]:
    """A window of a directory of what a layer changes."""
    found = engine.image(digest)

    def index() -> Files:
        layer = engine.layer_files(found, number)
        return Files(layer.changes, layer.wasted)

    files = _files(("l", str(found.digest), str(number)), index)
    return files.search(search, limit) if search else files.rows(path.strip("/"), offset, limit)


def container_text(engine: "Engine", id: str, path: str) -> dict[str, Any]:
    """A file of a container as text; ``text`` is ``null`` for what is none."""
    return _text(engine.container_file(id, path, MOST_TEXT + 1))


def layer_text(engine: "Engine", digest: str, number: int, path: str) -> dict[str, Any]:
    """A file of a layer as text; ``text`` is ``null`` for what is none."""
    return _text(engine.layer_file(digest, number, path, MOST_TEXT + 1))


def _text(data: bytes) -> dict[str, Any]:
    shown, cut = data[:MOST_TEXT], len(data) > MOST_TEXT
    told: dict[str, Any] = {"size": len(data), "cut": cut, "text": None}
    if b"\0" not in shown:
        told["text"] = text(shown.decode("utf-8", "replace"))
    return told


def log(engine: "Engine", id: str, tail: int = 1000) -> dict[str, Any]:
    """The end of what a container wrote: ``pieces`` of [stream, text]."""
    pieces: list[list[str]] = []
    size = 0
    for piece in reversed(list(engine.logs(id, tail=tail))):
        size += len(piece.data)
        if size > MOST_LOG:
            break
        pieces.append([piece.stream, piece.data.decode("utf-8", "replace")])
    return {"pieces": pieces[::-1], "cut": size > MOST_LOG}


def command(engine: "Engine", id: str) -> dict[str, Any]:
    """The command line that opens a terminal in a container."""
    return {"command": f"sandcell exec -it {engine.container(id).name} sh"}


def start(engine: "Engine", id: str) -> dict[str, Any]:
    """Start it in the background."""
    return container_value(engine.start(id))


def stop(engine: "Engine", id: str, timeout: float = 10) -> dict[str, Any]:
    """Ask it to end, and make it after ``timeout`` seconds."""
    engine.stop(id, timeout=timeout)
    return _state(engine, id)


def restart(engine: "Engine", id: str, timeout: float = 10) -> dict[str, Any]:
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
    return dict(image(engine, target)["image"])


QUESTIONS: dict[str, Callable[..., dict[str, Any]]] = {
    "about": about,
    "container": container,
    "image": image,
    "container_files": container_files,
    "layer_files": layer_files,
    "container_text": container_text,
    "layer_text": layer_text,
    "log": log,
    "command": command,
}
VERBS: dict[str, Callable[..., dict[str, Any]]] = {
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
}


def answer(engine: "Engine", question: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Ask one of them by name: ``{"value": …}``, or ``{"error": {…}}`` with the error's four parts."""
    asked = QUESTIONS.get(question) or VERBS.get(question)
    try:
        if asked is None:
            raise InvalidOption("ask", question, "there is no such question")
        return {"value": asked(engine, **arguments)}
    except SandcellError as error:
        return {"error": told(error)}
    except TypeError as error:
        return {"error": told(InvalidOption("ask", question, str(error)))}


def told(error: SandcellError) -> dict[str, str]:
    """An error as it is shown."""
    return {
        "kind": type(error).__name__,
        "operation": text(error.operation),
        "object": text(str(error.object)),
        "cause": text(error.cause),
        "hint": text(error.hint),
    }


def _state(engine: "Engine", id: str) -> dict[str, Any]:
    """How it stands after a verb; a container that removes itself at its end is gone."""
    from sandcell.runtime.errors import ContainerNotFound

    try:
        return container_value(engine.container(id))
    except ContainerNotFound:
        return {"removed": id}


def _files(key: tuple[str, ...], index: Callable[[], Files], *, fresh: bool = False) -> Files:
    """The index of that key; ``fresh``: looked at anew, as a container's is when somebody opens it, and
    not while they scroll."""
    with _lock:
        known = _indexed.get(key)
    if known is not None and not fresh:
        return known
    files = index()
    with _lock:
        _indexed.pop(key, None)
        while len(_indexed) >= _MOST_INDEXED:
            del _indexed[next(iter(_indexed))]
        _indexed[key] = files
    return files


def _clean_all(**values: Any) -> dict[str, Any]:
    return {key: _clean(value) for key, value in values.items()}


def _clean(value: Any) -> Any:
    """``value`` with every text in it as any encoder takes it."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict):
        return {text(str(key)): _clean(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(each) for each in value]
    return value


def _boot() -> str:
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read()
