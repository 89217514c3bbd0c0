"""``sandcell lessons`` and ``%sandcell lessons``: copies to work in."""

from pathlib import Path

import pytest

from sandcell import Engine
from sandcell.magics.tables import lessons_card
from sandcell.runtime.cli import main
from sandcell.runtime.engine.lessons import Lesson, copy_lessons, lessons, standings
from sandcell.runtime.engine.progress import Answer, Progress
from sandcell.runtime.errors import InvalidOption


def test_every_lesson_has_a_number_and_a_title() -> None:
    for number, lesson in enumerate(lessons()):
        assert lesson.name.startswith(f"{number:02d}_")
        assert lesson.title.startswith(f"{number:02d} · ")


def test_what_a_learner_has_written_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "mine"
    assert main(["lessons", str(folder)]) == 0
    first = folder / f"{lessons()[0].name}.ipynb"
    first.write_text("my work")
    (folder / f"{lessons()[1].name}.ipynb").unlink()
    capsys.readouterr()
    assert main(["lessons", str(folder)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said] == ["kept", "copied", *["kept"] * (len(lessons()) - 2)]
    assert first.read_text() == "my work"


def test_progress_is_shown_for_each_lesson(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    lesson = lessons()[1]
    assert lesson.standing({}) == "not begun"
    answers = {"a": Answer(text="no", locked=True, right=True), "b": Answer(text="yes"), "c": Answer(hints=1)}
    assert lesson.standing(answers) == f"2 of {lesson.questions} predicted, 1 right"
    with Engine(tmp_path / "home", tmp_path / "run") as engine:
        progress = Progress(engine.places.home)
        progress.put("01", "diary", answers["a"])
        assert standings(engine.places.home)[lesson.name] == f"1 of {lesson.questions} predicted, 1 right"
    assert main(["lessons", str(tmp_path / "mine")]) == 0
    assert "(not begun)" in capsys.readouterr().out


def test_a_folder_that_cannot_be_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidOption) as raised:
        copy_lessons(tmp_path / "file" / "mine")
    assert raised.value.hint


def test_the_card_tells_which_were_copied() -> None:
    card = lessons_card("mine", [(Lesson("00_a", "00 · A"), True), (Lesson("01_b", "01 · B"), False)])
    assert [line.split()[-1] for line in card.text.splitlines()[1:2]] == ["copied"]
    assert "kept: your work" in card.text
