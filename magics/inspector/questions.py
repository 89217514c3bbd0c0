"""What somebody may ask of the inspector: one table for the notebook and the server.

Each takes the engine and plain values and gives a value that JSON can carry. Errors are
``SandcellError``. These only look; what changes something is in ``verbs``.
"""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sandcell.magics.inspector import verbs
from sandcell.magics.inspector.files import MOST_ROWS, Files
from sandcell.magics.inspector.model import container_value, image_value, process_value, stats_value, text
from sandcell.runtime.errors import InvalidOption, NotFound, SandcellError

if TYPE_CHECKING:
    from sandcell.runtime.engine import Engine
    from sandcell.runtime.oci.image import Image

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
    return _clean_all(image=image_value(found, names), history=history, blobs=_blobs(engine, found))


def _blobs(engine: "Engine", image: "Image") -> list[dict[str, Any]]:
    """What the host keeps of an image: its manifest, its configuration and its layers, each as one file."""
    blobs = engine.store.store.blobs
    parts = [("manifest", image.descriptor), ("configuration", image.manifest.config)]
    parts += [(f"layer {number}", layer.descriptor) for number, layer in enumerate(image.layers, 1)]
    return [
        {"what": what, "digest": str(one.digest), "size": one.size, "path": blobs.path(one.digest)}
        for what, one in parts
    ]


def image_files(
    engine: "Engine", name: str, path: str = "", offset: int = 0, limit: int = MOST_ROWS, search: str = ""
) -> dict[str, Any]:
    """A window of a directory of an image, all its layers together: what a container of it begins with."""
    digest = str(engine.image(name).digest)
    files = _files(("i", digest), lambda: Files(whole=engine.image_files(digest)))
    return files.search(search, limit) if search else files.rows(path.strip("/"), offset, limit)


def image_text(engine: "Engine", name: str, path: str) -> dict[str, Any]:
    """A file of an image as text, out of the highest layer that has it; ``number`` says which."""
    image = engine.image(name)
    for number in range(len(image.layers), 0, -1):
        if _layer_index(engine, image, number).holds(path.strip("/")):
            return {**layer_text(engine, str(image.digest), number, path), "number": number}
    raise NotFound("read", path, f"{name} has no such file")


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
    files = _layer_index(engine, engine.image(digest), number)
    return files.search(search, limit) if search else files.rows(path.strip("/"), offset, limit)


def _layer_index(engine: "Engine", image: "Image", number: int) -> Files:
    def index() -> Files:
        layer = engine.layer_files(image, number)
        return Files(layer.changes, layer.wasted)

    return _files(("l", str(image.digest), str(number)), index)


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


QUESTIONS: dict[str, Callable[..., dict[str, Any]]] = {
    "about": about,
    "container": container,
    "image": image,
    "container_files": container_files,
    "image_files": image_files,
    "layer_files": layer_files,
    "container_text": container_text,
    "image_text": image_text,
    "layer_text": layer_text,
    "log": log,
    "command": command,
}


def answer(engine: "Engine", question: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Ask one of them by name: ``{"value": …}``, or ``{"error": {…}}`` with the error's four parts."""
    asked = QUESTIONS.get(question) or verbs.VERBS.get(question)
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
