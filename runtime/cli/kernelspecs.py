"""Kernelspecs on disk: how Jupyter learns of a kernel (jupyter_client, "Kernel specs")."""

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import msgspec

from sandcell.runtime.errors import BadInput, Conflict, NotFound

_NAME = re.compile(r"[a-z0-9._-]+", re.IGNORECASE)
_PASSED_ON = ("SANDCELL_HOME", "SANDCELL_RUN", "SANDCELL_RUNG")


class Installed(msgspec.Struct, frozen=True):
    """A kernel of ours: its name, its image, the folder of its kernelspec."""

    name: str
    image: str
    directory: str


def name_of(image: str) -> str:
    """A kernel's name for ``image``."""
    return "sandcell-" + re.sub(r"[^a-z0-9._-]+", "-", image.lower())


def check_name(name: str) -> str:
    """``name``, if Jupyter takes it; else ``BadInput``."""
    if not _NAME.fullmatch(name):
        raise BadInput("install kernel", name, "not a kernel's name", "letters, digits, '.', '_' and '-'")
    return name


def folder(prefix: str | None) -> Path:
    """Where kernelspecs are, of an environment or, without ``prefix``, of this user."""
    if prefix is not None:
        return Path(os.path.abspath(prefix), "share", "jupyter", "kernels")
    from jupyter_core.paths import jupyter_data_dir

    return Path(jupyter_data_dir(), "kernels")


def places(prefix: str | None) -> list[Path]:
    """Where Jupyter looks for kernelspecs, first what it prefers; of ``prefix`` alone, if there is one."""
    if prefix is not None:
        return [folder(prefix)]
    from jupyter_core.paths import jupyter_path

    return [Path(place) for place in jupyter_path("kernels")]


def installed(places: list[Path]) -> list[Installed]:
    """All kernels of ours that lie there, of the same name the one that Jupyter takes."""
    found: dict[str, Installed] = {}
    for place in places:
        for path in sorted(place.glob("*/kernel.json")):
            image = _image(path)
            if image is not None:
                found.setdefault(path.parent.name, Installed(path.parent.name, image, str(path.parent)))
    return sorted(found.values(), key=lambda one: one.name)


def refuse_others(place: Path, name: str) -> None:
    """``Conflict`` where another kernel, that is not ours, has that name there."""
    path = place / name / "kernel.json"
    if path.exists() and _image(path) is None:
        raise Conflict("install kernel", name, f"{path.parent} is another kernel's", "choose another --name")


def write(place: Path, name: str, image: str, title: str, flags: list[str]) -> Path:
    """Write the kernelspec and give its folder; one of ours that is there is replaced at once."""
    # -P: a file of the notebook's folder is no module of ours.
    argv = [sys.executable, "-P", "-m", "sandcell.runtime.cli", "kernel", "run", *flags, "--", image]
    spec: dict[str, Any] = {
        "argv": [*argv, "{connection_file}"],
        "display_name": title,
        "language": "python",
        "interrupt_mode": "message",
        "env": {key: os.path.abspath(value) if "/" in value else value for key, value in _passed_on()},
        "metadata": {"debugger": True, "sandcell": {"image": image}},
    }
    path = place / name / "kernel.json"
    half = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        half.write_text(json.dumps(spec, indent=1) + "\n", encoding="utf-8")
        half.replace(path)
    except OSError as error:
        raise BadInput(
            "install kernel", name, f"{error.filename}: {error.strerror}", "try --prefix"
        ) from None
    return path.parent


def remove(places: list[Path], name: str) -> None:
    """Remove the kernelspec. ``NotFound`` without one of that name, ``Conflict`` where it is not ours."""
    for one in installed(places):
        if one.name == name:
            shutil.rmtree(one.directory)
            return
    if any((place / name / "kernel.json").exists() for place in places):
        raise Conflict("remove kernel", name, "sandcell did not install it", "jupyter kernelspec remove")
    raise NotFound("remove kernel", name, "there is no such kernel", "sandcell kernel list")


def _passed_on() -> list[tuple[str, str]]:
    return [(key, os.environ[key]) for key in _PASSED_ON if os.environ.get(key)]


def _image(path: Path) -> str | None:
    try:
        image = json.loads(path.read_bytes())["metadata"]["sandcell"]["image"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(image)
