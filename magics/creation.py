"""The flags that describe a new container, turned into the engine's options."""

import os
from typing import TYPE_CHECKING, Any

from sandcell.magics.arguments import Request
from sandcell.runtime.errors import InvalidOption

if TYPE_CHECKING:
    from sandcell.runtime.container.options import Options


def options_of(request: Request, **more: Any) -> "Options":
    """Options as the flags say; ``more`` are fields that no flag sets, and ``env`` and ``labels`` that
    the flags may override. Raises `InvalidOption` for a value that makes no sense."""
    from sandcell.runtime.container.options import Options, parse_cpus, parse_memory

    given: dict[str, Any] = {
        "name": request.text("name"),
        "replace": request.on("replace"),
        "volumes": tuple(_volume(text) for text in request.texts("volumes")),
        "tmpfs": tuple(request.texts("tmpfs")),
        "workdir": request.text("workdir"),
        "user": request.text("user"),
        "network": request.text("network"),
        "publish": tuple(request.texts("publish")),
        "remove": request.on("remove"),
        "tty": request.on("tty"),
        "hostname": request.text("hostname"),
        "read_only": request.on("read_only"),
        "stop_signal": request.text("stop_signal"),
        **more,
        "env": {**more.get("env", {}), **environment(request)},
        "labels": {**more.get("labels", {}), **_labels(request)},
    }
    if request.on("memory"):
        given["memory"] = parse_memory(request.text("memory"))
    if request.on("cpus"):
        given["cpus"] = parse_cpus(request.text("cpus"))
    if request.on("pids_limit"):
        given["pids_limit"] = _whole("--pids-limit", request.text("pids_limit"))
    if request.on("entrypoint"):
        given["entrypoint"] = tuple(filter(None, [request.text("entrypoint")]))
    if request.on("name") and not request.text("name"):
        raise InvalidOption("use", "--name", "the name is empty")
    # What was not given is left to the defaults; an empty ENTRYPOINT is something given.
    chosen = {key: value for key, value in given.items() if value or key == "entrypoint"}
    return Options(**chosen).check()


def environment(request: Request) -> dict[str, str]:
    """The variables of ``-e``: ``K=V``, or ``K`` alone for the value this notebook's kernel has."""
    from sandcell.runtime.container.options import parse_env

    return dict(parse_env(text, dict(os.environ)) for text in request.texts("env"))


def _volume(text: str) -> str:
    """A source that begins with a dot is a path from where the notebook stands, as in docker."""
    source, sign, rest = text.partition(":")
    return f"{os.path.abspath(source)}{sign}{rest}" if source.startswith(".") else text


def _labels(request: Request) -> dict[str, str]:
    return {key: value for key, _, value in (text.partition("=") for text in request.texts("labels"))}


def _whole(flag: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InvalidOption("use", f"{flag} {text}", "not a whole number") from None
