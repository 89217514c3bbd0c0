"""The lessons, played with their solutions: twice, beside each other, after a restart, by whom it may be.

What a lesson observes comes from the runtime. Predictions are the recorded answers, so each check has to say
that they are right; and each has to say something else when what it is about is changed.
"""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import nbformat
import pytest
from nbclient import NotebookClient

from tests.engine.test_low_rungs import as_root, needs_root
from tests.lessons.mutations import MUTATIONS, observed
from tests.lessons.play import (
    ASKED,
    CHECKED,
    NAMES,
    NOTEBOOKS,
    Day,
    Played,
    answered,
    answers_of,
    cells_of,
    day,
)
from tests.plain_user import CHECKOUT, PlainUser

pytestmark = [pytest.mark.timeout(500)]
PLACES = """
import os, sys
os.environ.update(SANDCELL_HOME=sys.argv[1] + "/home", SANDCELL_RUN=sys.argv[1] + "/run")
from tests.lessons import play
"""
QUESTIONS = {
    (name[:2], found) for name in NAMES for _, source in cells_of(name) for found in CHECKED.findall(source)
}
# Of the quiz at the end. Its one change is of everything, and each verdict must be another.
STATEMENTS = re.findall(r'^    "(.+\.)": "",$', dict(cells_of("12_your_own"))["quiz"], re.MULTILINE)
# What is not to be had on a host that hands out no control groups or has no pasta.
NOT_FOR_EVERYBODY = {"memory", "cpu", "talk"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Day:
    """All lessons twice in one shell; the second time each check is looked at again after a change."""
    code = f"{PLACES}play.twice(play.NAMES)"
    return day(as_root(tmp_path_factory.mktemp("lessons"), code, timeout=480))


@pytest.mark.slow
@pytest.mark.kernel
@needs_root
@pytest.mark.parametrize("name", NAMES)
def test_a_lesson_is_true_twice_in_one_kernel(root: Day, name: str) -> None:
    played = [one for one in root[name] if not one.cell.startswith("again:")]
    assert not [f"{one.cell}: {one.error}\n{one.said}" for one in played if one.error]
    assert [one.cell for one in played] == [id for id, _ in cells_of(name)] * 2
    checks = [one for one in played if one.question]
    assert [one.question for one in checks] == list(answers_of(name)) * 2
    for one in checks:
        assert "That is right.\nWhy: " in one.said, one
    assert "containers left: []" in played[-1].said


@pytest.mark.slow
@pytest.mark.kernel
@needs_root
@pytest.mark.parametrize(("lesson", "question"), sorted(QUESTIONS))
def test_a_check_sees_what_has_changed(root: Day, lesson: str, question: str) -> None:
    (name,) = [name for name in NAMES if name.startswith(lesson)]
    before, again = _looks(root[name], question)
    assert again.error == ""
    assert observed(again.said) not in ("", observed(before.said))
    assert "That is a good mistake to make here." in again.said
    assert "That is right." not in again.said
    # Why it is so elsewhere is no reason for this, but for an answer that depends on the host.
    assert ("Why: " in again.said) is (question == "user")


def _looks(played: list[Played], question: str) -> tuple[Played, Played]:
    """How the check went before and after the change."""
    first, second, again = [one for one in played if one.question == question]
    assert (first.cell, f"again:{second.cell}") == (second.cell, again.cell)
    return second, again


@pytest.mark.slow
@pytest.mark.kernel
@needs_root
def test_the_quiz_tries_each_statement(root: Day) -> None:
    before, after = [one.said for one in root["12_your_own"] if one.cell.endswith("solutions")][1:]
    assert len(STATEMENTS) == 7
    for statement in STATEMENTS:
        told = [re.findall(rf"observed (\w+) +{re.escape(statement)}", said) for said in (before, after)]
        assert told in ([["no"], ["yes"]], [["yes"], ["no"]]), statement


def test_every_check_has_its_change() -> None:
    assert set(MUTATIONS) == QUESTIONS | {("12", "quiz")}


def test_each_question_is_asked_before_it_is_checked_and_has_hints() -> None:
    hints = json.loads((NOTEBOOKS / "hints.json").read_text())
    for name in NAMES:
        sources = [source for _, source in cells_of(name)]
        asked = [found[1] for source in sources if (found := ASKED.match(source))]
        assert asked == [found for source in sources for found in CHECKED.findall(source)], name
        assert asked == list(answers_of(name)) == list(hints[name[:2]]), name
        assert all(len(steps) == 2 for steps in hints[name[:2]].values())


def test_a_recorded_answer_is_one_of_the_options() -> None:
    for name in NAMES:
        for _, source in cells_of(name):
            if found := ASKED.match(source):
                options = re.findall(r'"([^"]*)"', source)[1:-1]
                assert answers_of(name)[found[1]] in options, (name, source)


def test_everything_of_a_lesson_carries_its_label() -> None:
    for name in NAMES:
        for id, source in cells_of(name):
            if source.startswith("%%image") and "FROM lesson" not in source:
                assert f'LABEL sandcell.lesson="{name[:2]}"' in source, (name, id)


def test_committed_without_outputs_and_every_drawing_is_told_in_words() -> None:
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            assert not cell.get("outputs"), path.name
            if cell.cell_type == "markdown" and "```text" in cell.source:
                assert "*In words: " in cell.source, (path.name, cell.id)


def test_drawings_are_narrow_and_checks_are_folded() -> None:
    """A line that is too long is broken in a narrow window; a check that is seen gives its answer away."""
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            drawn = re.findall(r"```text\n(.*?)```", cell.source, re.DOTALL)
            wide = [line for drawing in drawn for line in drawing.splitlines() if len(line) > 64]
            assert wide == [], (path.name, cell.id)
            if CHECKED.search(cell.source):
                assert cell.metadata.get("jupyter") == {"source_hidden": True}, (path.name, cell.id)


def test_each_lesson_has_a_drawing_and_something_to_change() -> None:
    for name in NAMES:
        text = (NOTEBOOKS / f"{name}.ipynb").read_text()
        for part in ("```text", "**Predict.**", "**Change it.**"):
            assert part in text, (name, part)


ROW = re.compile(r"^\| (?:(.*) )?\| (\d\d) `([\w-]+)` \| `(.+)` \|$", re.MULTILINE)
CLAIMS = ROW.findall((CHECKOUT / "docs" / "lessons.md").read_text())


@pytest.mark.slow
@pytest.mark.kernel
@needs_root
@pytest.mark.parametrize(("lesson", "cell", "prints"), [row[1:] for row in CLAIMS])
def test_a_claim_is_shown_by_its_cell(root: Day, lesson: str, cell: str, prints: str) -> None:
    (name,) = [name for name in NAMES if name.startswith(lesson)]
    shown = [one.said for one in root[name] if one.cell == cell]
    assert len(shown) == 2
    for said in shown:
        assert prints in said


def test_every_claim_has_a_cell() -> None:
    assert len(CLAIMS) == len(
        re.findall(r"^\|.*`", (CHECKOUT / "docs" / "lessons.md").read_text(), re.MULTILINE)
    )
    assert len({claim for claim, *_ in CLAIMS if claim}) >= 16


class Learner(msgspec.Struct):
    """A plain user's day: the lessons ``played``, how their checks went when the kernels were ``restarted``,
    and the file of predictions that was ``kept``."""

    played: Day
    restarted: Day
    kept: dict[str, Any]


@pytest.fixture(scope="module")
def learner(plain_user: PlainUser) -> Learner:
    """A plain user who has two notebooks open: half of the lessons in each, in one store."""
    place = plain_user.directory("lessons")
    plain_user.directory("lessons/tmp")
    played = day(_both(plain_user, place, "play.main(sys.argv[2:], leave=True)"))
    restarted = day(_both(plain_user, place, "play.restarted(sys.argv[2:])"))
    return Learner(played, restarted, json.loads((place / "home/lessons.json").read_text()))


def _both(user: PlainUser, place: Path, code: str) -> str:
    """What two processes print that run ``code``, each with half of the lessons."""
    running = [
        subprocess.Popen(
            user.command(user.python, "-c", PLACES + code, str(place), *names),
            env=user.environment({"TMPDIR": str(place / "tmp")}),
            cwd="/",
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for names in (NAMES[::2], NAMES[1::2])
    ]
    try:
        told = [one.communicate(timeout=480) for one in running]
    finally:
        for one in running:
            one.kill()
    assert [one.returncode for one in running] == [0, 0], told
    return "".join(out for out, _ in told)


def is_true(played: list[Played]) -> None:
    """No cell failed, and each check was right, or says why it can only be so elsewhere."""
    assert not [f"{one.cell}: {one.error}\n{one.said}" for one in played if one.error]
    for one in played:
        if one.question == "user":
            assert "Observed: plain user." in one.said or os.geteuid() != 0
        elif one.question:
            recorded = one.question in NOT_FOR_EVERYBODY and "RECORDED on Linux" in one.said
            assert "That is right." in one.said or recorded, one


@pytest.mark.slow
@pytest.mark.kernel
@pytest.mark.rootless
@pytest.mark.parametrize("name", NAMES)
def test_a_lesson_is_true_for_a_plain_user_beside_another_lesson(learner: Learner, name: str) -> None:
    assert [one.cell for one in learner.played[name]] == [id for id, _ in cells_of(name) if id != "clean"]
    is_true(learner.played[name])


@pytest.mark.slow
@pytest.mark.kernel
@pytest.mark.rootless
@pytest.mark.parametrize("name", NAMES)
def test_checks_look_anew_after_the_kernel_was_restarted(learner: Learner, name: str) -> None:
    looked = learner.restarted[name]
    assert [one.question for one in looked if one.question] == list(answers_of(name))
    is_true(looked)
    assert "containers left: []" in looked[-1].said
    kept = learner.kept[name[:2]]
    assert list(kept) == list(answers_of(name))
    assert all(answer["locked"] for answer in kept.values())


@pytest.mark.slow
@pytest.mark.notebook
@pytest.mark.kernel
def test_a_wrong_prediction_gets_its_explanation_in_jupyter() -> None:
    wrong = {"write": "different", "again": "different", "share": "2", "tag": "no"}
    printed = _execute("03_images_never_change", wrong)
    # Once as text and once as a picture.
    assert printed.count("That is a good mistake to make here.") == 2 * len(wrong)
    assert "A name is no part of an image." in printed
    assert "application/vnd.jupyter.widget-view+json" in printed  # the questions have buttons


def _execute(name: str, answers: dict[str, str]) -> str:
    """All that a lesson's cells show in a Jupyter kernel."""
    notebook: Any = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    for cell in notebook.cells:
        cell.source = answered(cell.source, answers)
    client = NotebookClient(notebook, timeout=200, resources={"metadata": {"path": str(CHECKOUT)}})
    with client.setup_kernel():
        for index, cell in enumerate(notebook.cells):
            client.execute_cell(cell, index)
    return "".join(
        str(one.get("text") or one.get("data")) for c in notebook.cells for one in c.get("outputs", ())
    )
