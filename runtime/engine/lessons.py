"""The lessons that come with sandcell, and copies of them to work in."""

import json
import os
from pathlib import Path

import msgspec

from sandcell.runtime.errors import InvalidOption, NotFound

# In a checkout beside runtime/, installed beside it in the package.
_FOLDER = Path(__file__).resolve().parents[2] / "notebooks"


class Lesson(msgspec.Struct, frozen=True):
    """``name``: of the file without its ending; ``title``: as its first line says."""

    name: str
    title: str


def lessons() -> tuple[Lesson, ...]:
    """All lessons in their order."""
    return tuple(Lesson(path.stem, _title(path)) for path in sorted(_FOLDER.glob("*.ipynb")))


def copy_lessons(target: str | os.PathLike[str]) -> tuple[tuple[Lesson, bool], ...]:
    """Copy the lessons into the folder ``target``, which is made, and tell for each whether it was copied.

    A file that is there already is a learner's work and stays. ``InvalidOption`` where the folder cannot
    be made or written; what was copied before stays then, and a repeated call goes on.
    """
    found = lessons()
    if not found:
        raise NotFound("copy", "the lessons", "they are not installed", "they are in the source of sandcell")
    folder = Path(target)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return tuple((lesson, _copy(lesson.name, folder)) for lesson in found)
    except OSError as error:
        raise InvalidOption(
            "copy lessons to", str(folder), error.strerror or "it failed", "choose another folder"
        ) from None


def _copy(name: str, folder: Path) -> bool:
    data = (_FOLDER / f"{name}.ipynb").read_bytes()
    try:
        with (folder / f"{name}.ipynb").open("xb") as file:
            file.write(data)
    except FileExistsError:
        return False
    return True


def _title(path: Path) -> str:
    first = json.loads(path.read_bytes())["cells"][0]["source"]
    return str(first[0]).strip().removeprefix("# ")
