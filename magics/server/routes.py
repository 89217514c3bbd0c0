"""Everything that can be asked over HTTP, as one table, and the OpenAPI document made of it.

A GET looks, and needs the right to read; POST and DELETE do something, and need the right to execute.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from sandcell.magics.inspector import questions
from sandcell.magics.inspector import verbs as doing
from sandcell.magics.server import carry, inputs, remote, verbs
from sandcell.runtime.errors import InvalidOption

PREFIX = "/sandcell/api"
_PLACE = r"(?P<{}>[^/]+)"


class Route(msgspec.Struct, frozen=True):
    """``call`` takes the engine, the parts of ``path`` in braces, ``query`` and the ``body``'s fields.
    ``kind``: json, bytes for a file, or tar: then, and where the body is an archive, ``call`` takes the
    descriptor of a pipe as well. ``needs``: parameters without which it cannot be asked."""

    method: str
    path: str
    call: Callable[..., Any]
    about: str
    body: type[inputs.Body] | None = None
    query: Mapping[str, Any] = {}
    kind: str = "json"
    needs: tuple[str, ...] = ()

    @property
    def streams(self) -> bool:
        """Whether an archive goes out or comes in."""
        return self.kind == "tar" or self.body is inputs.Archive


_PATH = {"path": inputs.Word}
_NAME = {"name": inputs.Word}
_OTHER = {"other": inputs.Name}
_FORM = {"form": carry.Form}
_P = ("path",)
_N = ("name",)
_WINDOW = {"path": inputs.Word, "offset": inputs.Number, "limit": inputs.Number, "search": inputs.Word}
_FORCE = {"force": bool}


def _layer_file(engine: Any, image: str, layer: str, path: str) -> bytes:
    return bytes(engine.layer_file(image, _number(layer), path))


def _layer_files(engine: Any, image: str, layer: str, **window: Any) -> Any:
    return questions.layer_files(engine, image, _number(layer), **window)


def _layer_text(engine: Any, image: str, layer: str, path: str) -> Any:
    return questions.layer_text(engine, image, _number(layer), path)


def _container_file(engine: Any, id: str, path: str) -> bytes:
    return bytes(engine.container_file(id, path))


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        raise InvalidOption("look into layer", text[:40], "not a number", "layers count from 1")
    return int(text)


def _image_files(engine: Any, image: str, **window: Any) -> Any:
    return questions.image_files(engine, image, **window)


def _image_text(engine: Any, image: str, path: str) -> Any:
    return questions.image_text(engine, image, path)


def _tag(engine: Any, image: str, target: str) -> Any:
    return doing.tag(engine, image, target)


def _push(engine: Any, image: str) -> Any:
    return doing.push(engine, image)


def _remove_image(engine: Any, image: str, force: bool = False) -> Any:
    return doing.remove_image(engine, image, force)


def _image(engine: Any, image: str) -> Any:
    return questions.image(engine, image)


C, I = "/containers/{id}", "/images/{image}"  # noqa: E741
ROUTES: tuple[Route, ...] = (
    Route("GET", "/about", questions.about, "Which store this server has"),
    Route("GET", "/state", verbs.state, "All images and containers at once"),
    Route("GET", "/images", verbs.images, "The images that have a name"),
    Route("POST", "/images", verbs.build, "Build a Dockerfile", inputs.Building),
    Route("POST", "/images/pull", doing.pull, "Bring an image from a registry", inputs.Pulling),
    Route("GET", I, _image, "An image with its history"),
    Route("DELETE", I, _remove_image, "Take a name away; with the last the image goes", query=_FORCE),
    Route("POST", I + "/tag", _tag, "Give an image one more name", inputs.Tagging),
    Route("POST", I + "/push", _push, "Send an image to its registry", inputs.Nothing),
    Route("GET", I + "/explain", verbs.explain, "The steps that would make a container of it"),
    Route("GET", I + "/diff", verbs.image_diff, "How another image differs", query=_OTHER, needs=("other",)),
    Route("GET", I + "/waste", verbs.image_waste, "Bytes that its upper layers hide"),
    Route("GET", I + "/files", _image_files, "A directory of it, all layers together", query=_WINDOW),
    Route("GET", I + "/text", _image_text, "A file as text", query=_PATH, needs=_P),
    Route("GET", I + "/archive", carry.save, "The image as an archive (save)", query=_FORM, kind="tar"),
    Route("POST", "/load", carry.load, "All images of an archive", inputs.Archive, query=_NAME),
    Route(
        "POST",
        "/import",
        carry.import_image,
        "An image of the tar of a root file system",
        inputs.Archive,
        query=_NAME,
    ),
    Route(
        "GET", I + "/layers/{layer}/files", _layer_files, "A directory of a layer's changes", query=_WINDOW
    ),
    Route(
        "GET", I + "/layers/{layer}/file", _layer_file, "A file's bytes", query=_PATH, kind="bytes", needs=_P
    ),
    Route("GET", I + "/layers/{layer}/text", _layer_text, "A file as text", query=_PATH, needs=_P),
    Route("GET", "/containers", verbs.containers, "All containers, newest first"),
    Route("POST", "/containers", doing.create, "Make a container, and start it if asked", inputs.Creating),
    Route("POST", "/prune/containers", doing.prune_containers, "Remove all that ended", inputs.Nothing),
    Route("GET", C, questions.container, "A container with its processes and what it uses"),
    Route("DELETE", C, doing.remove, "Remove a container with its files", query=_FORCE),
    Route("GET", C + "/inspect", verbs.inspect, "A container under docker's names"),
    Route("GET", C + "/top", verbs.processes, "Its processes, by both of their numbers"),
    Route("GET", C + "/stats", verbs.stats, "What it has used until now"),
    Route("GET", C + "/log", questions.log, "The end of its log", query={"tail": inputs.Number}),
    Route(
        "GET", C + "/wait", verbs.wait, "Its exit status, when it has one", query={"timeout": inputs.Seconds}
    ),
    Route("GET", C + "/command", questions.command, "The command line that opens a terminal in it"),
    Route("GET", C + "/files", questions.container_files, "A directory of what it changed", query=_WINDOW),
    Route("GET", C + "/text", questions.container_text, "A file as text", query=_PATH, needs=_P),
    Route("GET", C + "/file", _container_file, "A file's bytes", query=_PATH, kind="bytes", needs=_P),
    Route(
        "GET",
        C + "/archive",
        carry.read,
        "A file or directory of it as a tar (cp)",
        query=_PATH,
        kind="tar",
        needs=_P,
    ),
    Route(
        "POST",
        C + "/archive",
        carry.write,
        "Files of a tar into a directory of it (cp)",
        inputs.Archive,
        query=_PATH,
        needs=_P,
    ),
    Route("GET", C + "/export", carry.export, "All its files as a tar", kind="tar"),
    Route("POST", C + "/start", doing.start, "Start it", inputs.Nothing),
    Route("POST", C + "/stop", doing.stop, "Ask it to end, then make it", inputs.Stopping),
    Route("POST", C + "/restart", doing.restart, "Stop it, then start it", inputs.Stopping),
    Route("POST", C + "/kill", doing.kill, "Send it a signal", inputs.Killing),
    Route("POST", C + "/pause", doing.pause, "Let it stand still", inputs.Nothing),
    Route("POST", C + "/unpause", doing.unpause, "Let it go on", inputs.Nothing),
    Route("POST", C + "/reset", doing.reset, "Throw its writable layer away", inputs.Nothing),
    Route("POST", C + "/rename", doing.rename, "Give it another name", inputs.Renaming),
    Route("POST", C + "/commit", doing.commit, "Make an image of what it changed", inputs.Committing),
    Route("POST", C + "/update", doing.update, "Give it other limits", inputs.Updating),
    Route("POST", C + "/exec", verbs.execute, "Run a command in it and wait", inputs.Executing),
    Route("GET", "/networks", verbs.networks, "All networks"),
    Route("POST", "/networks", verbs.create_network, "A new bridge network", inputs.Networking),
    Route("POST", "/networks/{name}/connect", verbs.connect, "A container joins it", inputs.Joining),
    Route("POST", "/networks/{name}/disconnect", verbs.disconnect, "A container leaves it", inputs.Joining),
    Route("DELETE", "/networks/{name}", verbs.remove_network, "Remove a network"),
    Route("POST", "/prune/networks", verbs.prune_networks, "Remove networks of nobody", inputs.Nothing),
    Route("GET", "/volumes", verbs.volumes, "All named volumes"),
    Route("POST", "/volumes", verbs.create_volume, "A new volume", inputs.Volumes),
    Route("DELETE", "/volumes/{name}", verbs.remove_volume, "Remove a volume with what is in it"),
    Route("POST", "/prune/volumes", verbs.prune_volumes, "Remove volumes that nobody mounts", inputs.Nothing),
    Route("GET", "/registry/tags", remote.tags, "All tags of a repository", query=_NAME, needs=_N),
    Route("GET", "/registry/manifest", remote.manifest, "What a name means there", query=_NAME, needs=_N),
    Route("GET", "/registry/referrers", remote.referrers, "What belongs to it", query=_NAME, needs=_N),
    Route("DELETE", "/registry/manifest", remote.delete, "Delete what a name means", query=_NAME, needs=_N),
    Route("GET", "/usage", verbs.usage, "Who takes how many bytes, and what prune would free"),
    Route("GET", "/host", verbs.host, "What this host allows, and what would help"),
    Route("POST", "/prune", doing.prune, "Delete what nothing needs any more", inputs.Nothing),
)

STREAMS = {
    "/events": 'WebSocket: the whole state, then patches; send {"watch": [id]} to hear what these use',
    "/containers/{id}/log/stream": "WebSocket: the log as it is written",
    "/containers/{id}/terminal": "POST: a terminal of Jupyter's own in the container; its name",
}
"""What is not plain question and answer."""


def given(route: Route, places: Mapping[str, str], asked: Mapping[str, list[bytes]]) -> dict[str, Any]:
    """The parts of an address and its parameters, checked. ``InvalidOption``."""
    found = {**places, **inputs.query(route.query, asked)}
    for name in route.needs:
        if name not in found:
            raise InvalidOption("read", f"parameter {name}", "it is needed", f"{name}=…")
    return found


def by_path() -> dict[str, dict[str, Route]]:
    """The routes by path and method."""
    found: dict[str, dict[str, Route]] = {}
    for route in ROUTES:
        found.setdefault(route.path, {})[route.method] = route
    return found


def pattern(path: str) -> str:
    """A path with places in braces as a regular expression."""
    parts = [_PLACE.format(part[1:-1]) if part.startswith("{") else part for part in path.split("/")]
    return PREFIX + "/".join(parts)


def document(version: str) -> dict[str, Any]:
    """The OpenAPI 3.1 description of it all."""
    paths: dict[str, Any] = {}
    kinds: list[Any] = [one.body for one in ROUTES if one.body not in (None, inputs.Archive)]
    schemas, parts = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    bodies = dict(zip(kinds, schemas, strict=True))
    for route in ROUTES:
        paths.setdefault(PREFIX + route.path, {})[route.method.lower()] = _operation(route, bodies)
    terminal = Route("POST", C + "/terminal", document, STREAMS[C + "/terminal"], inputs.Nothing)
    paths[PREFIX + terminal.path] = {"post": _operation(terminal, bodies)}
    parts["Error"] = _object(
        {key: {"type": "string"} for key in ("kind", "operation", "object", "cause", "hint")}
    )
    parts["Failure"] = _object({"error": {"$ref": "#/components/schemas/Error"}})
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "sandcell",
            "version": version,
            "description": "Images and containers of the store of whoever runs the Jupyter server. "
            "Streams: " + "; ".join(f"{PREFIX}{path} ({about})" for path, about in STREAMS.items()),
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": parts,
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "Authorization"}},
        },
    }


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _operation(route: Route, bodies: dict[Any, Any]) -> dict[str, Any]:
    places = [part[1:-1] for part in route.path.split("/") if part.startswith("{")]
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in places
    ]
    for name, kind in route.query.items():
        schema = msgspec.json.schema(kind)
        needed = name in route.needs
        parameters.append({"name": name, "in": "query", "required": needed, "schema": schema})
    if route.kind == "bytes":
        good: dict[str, Any] = {"text/plain": {"schema": {"type": "string"}}}
    elif route.kind == "tar":
        good = {TAR: {"schema": _BYTES}}
    else:
        good = {"application/json": {"schema": {"type": "object"}}}
    bad = {"application/json": {"schema": {"$ref": "#/components/schemas/Failure"}}}
    told: dict[str, Any] = {
        "summary": route.about,
        "operationId": f"{route.method.lower()}_{route.path.strip('/').translate(_PLAIN)}",
        "responses": {
            "200": {"description": "done", "content": good},
            "4XX": {"description": "what is wrong, and what to do", "content": bad},
        },
    }
    if parameters:
        told["parameters"] = parameters
    if route.body is inputs.Archive:
        told["requestBody"] = {"required": True, "content": {TAR: {"schema": _BYTES}}}
    elif route.body is not None:
        told["requestBody"] = {"content": {"application/json": {"schema": bodies[route.body]}}}
    return told


TAR = "application/x-tar"
_BYTES = {"type": "string", "format": "binary"}
_PLAIN = str.maketrans({"/": "_", "{": None, "}": None})
