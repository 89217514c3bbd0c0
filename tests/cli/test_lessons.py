"""``sandcell lessons`` and ``%sandcell lessons``: copies to work in."""

from pathlib import Path

import pytest

from sandcell.magics.tables import lessons_card
from sandcell.runtime.cli import main
from sandcell.runtime.engine.lessons import Lesson, copy_lessons, lessons
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


def test_a_folder_that_cannot_be_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidOption) as raised:
        copy_lessons(tmp_path / "file" / "mine")
    assert raised.value.hint


def test_the_card_tells_which_were_copied() -> None:
    card = lessons_card("mine", [(Lesson("00_a", "00 · A"), True), (Lesson("01_b", "01 · B"), False)])
    assert [line.split()[-1] for line in card.text.splitlines()[1:2]] == ["copied"]
    assert "kept: your work" in card.text
