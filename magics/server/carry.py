"""Images and files of containers as archives, to and from a descriptor. Whoever calls closes it."""

import os
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeAlias, cast

from sandcell.magics.inspector.model import image_value

if TYPE_CHECKING:
    from sandcell.runtime.engine import Engine

Form: TypeAlias = Literal["oci-archive", "docker-archive"]


def _open(end: int, mode: str) -> BinaryIO:
    return cast("BinaryIO", os.fdopen(os.dup(end), mode))


def save(engine: "Engine", out: int, image: str, form: Form = "oci-archive") -> None:
    """An image as ``oci-archive`` or ``docker-archive``."""
    with _open(out, "wb") as file:
        engine.save(image, file, form=form)


def load(engine: "Engine", source: int, name: str = "") -> dict[str, Any]:
    """All images of an archive; ``name``: what to call a single one."""
    with _open(source, "rb") as file:
        loaded = engine.load(file, name=name or None)
    return {"images": [image_value(one.image, [one.name] if one.name else []) for one in loaded]}


def import_image(engine: "Engine", source: int, name: str = "") -> dict[str, Any]:
    """An image of the tar of a root file system."""
    with _open(source, "rb") as file:
        made = engine.import_image(file, name=name or None)
    return image_value(made, [name] if name else [])


def export(engine: "Engine", out: int, id: str) -> None:
    """All files of a container, its image's and its own."""
    with _open(out, "wb") as file:
        engine.export(id, file)


def read(engine: "Engine", out: int, id: str, path: str) -> None:
    """A file or a directory of a container with all below it."""
    engine.read_archive(id, path, out)


def write(engine: "Engine", source: int, id: str, path: str) -> dict[str, Any]:
    """The files of an archive into a directory of a container; they belong to root there."""
    engine.write_archive(id, path, source)
    return {"path": path}
