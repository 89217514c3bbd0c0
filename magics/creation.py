"""The flags that describe a new container, turned into the engine's options."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sandcell.magics.arguments import Request
from sandcell.runtime.container import run_flags
from sandcell.runtime.errors import InvalidOption

if TYPE_CHECKING:
    from sandcell.runtime.container.options import Options


def options_of(request: Request, usual: Mapping[str, Any], **more: Any) -> "Options":
    """Options as the flags say, ``usual`` where they say nothing; ``more`` are fields that no flag sets,
    and ``env`` and ``labels`` that the flags may override. Raises `InvalidOption` for a value that makes
    no sense."""
    from sandcell.runtime.container.options import Options, parse_cpus, parse_memory

    networks = request.texts("network")
    mounts = run_flags.mounted(request.texts("mount"))
    given: dict[str, Any] = {
        **run_flags.fields(request.flags),
        "name": request.text("name"),
        "replace": request.on("replace"),
        "volumes": (*map(_volume, request.texts("volumes")), *mounts["volume"]),
        "tmpfs": (*request.texts("tmpfs"), *mounts["tmpfs"]),
        "workdir": request.text("workdir"),
        "user": request.text("user"),
        "network": networks[0] if networks else "",
        "more_networks": networks[1:],
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
        given["pids_limit"] = run_flags.whole("--pids-limit", request.texts("pids_limit"))
    if request.on("entrypoint"):
        given["entrypoint"] = tuple(filter(None, [request.text("entrypoint")]))
    given = {key: value for key, value in given.items() if value not in (None, "")}
    given = {**usual, **given}
    if request.on("name") and not request.text("name"):
        raise InvalidOption("use", "--name", "the name is empty")
    # What was not given is left to the defaults; an empty ENTRYPOINT is something given.
    chosen = {
        key: value for key, value in given.items() if value not in (None, "", (), {}) or key == "entrypoint"
    }
    return Options(**chosen).check()


def environment(request: Request) -> dict[str, str]:
    """The variables of ``-e``: ``K=V``, or ``K`` alone for the value this notebook's kernel has."""
    from sandcell.runtime.container.options import parse_env

    files = [line for path in request.texts("env_file") for line in run_flags.lines("--env-file", path)]
    # As in docker, a name alone in a file that has no value here is nothing; on the line it is a mistake.
    words = [line for line in files if "=" in line or line in os.environ]
    return dict(parse_env(text, dict(os.environ)) for text in (*words, *request.texts("env")))


def _volume(text: str) -> str:
    """A source that begins with a dot is a path from where the notebook stands, as in docker."""
    source, sign, rest = text.partition(":")
    return f"{os.path.abspath(source)}{sign}{rest}" if source.startswith(".") else text


def _labels(request: Request) -> dict[str, str]:
    files = (line for path in request.texts("label_file") for line in run_flags.lines("--label-file", path))
    return run_flags.pairs((*files, *request.texts("labels")))
