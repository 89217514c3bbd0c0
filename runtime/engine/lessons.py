"""The lessons that come with sandcell, and copies of them to work in."""

import json
import os
from pathlib import Path

import msgspec

from sandcell.runtime.engine.progress import Answers, Progress
from sandcell.runtime.errors import InvalidOption, NotFound

# In a checkout beside runtime/, installed beside it in the package.
_FOLDER = Path(__file__).resolve().parents[2] / "notebooks"


class Lesson(msgspec.Struct, frozen=True):
    """``name``: of the file without its ending; ``title``: as its first line says; ``questions``: how many
    predictions it asks for."""

    name: str
    title: str
    questions: int = 0

    def standing(self, answers: Answers) -> str:
        """How far somebody with these answers is, in words."""
        predicted = sum(bool(answer.text) for answer in answers.values())
        right = sum(answer.right is True for answer in answers.values())
        if not predicted:
            return "not begun"
        return f"{predicted} of {self.questions} predicted, {right} right"


def lessons() -> tuple[Lesson, ...]:
    """All lessons in their order."""
    return tuple(_lesson(path) for path in sorted(_FOLDER.glob("*.ipynb")))


def standings(home: str) -> dict[str, str]:
    """Name of each lesson → how far the owner of the store ``home`` is with it, in words."""
    progress = Progress(home).all()
    return {lesson.name: lesson.standing(progress.get(lesson.name[:2], {})) for lesson in lessons()}


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


def _lesson(path: Path) -> Lesson:
    cells = ["".join(cell["source"]) for cell in json.loads(path.read_bytes())["cells"]]
    title = cells[0].partition("\n")[0].strip().removeprefix("# ")
    return Lesson(path.stem, title, sum(cell.startswith("lesson.predict(") for cell in cells))
