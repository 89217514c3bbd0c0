"""Predictions, their locks, hints and progress, without a container."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from sandcell.magics.lesson import head
from sandcell.magics.lesson.predictions import Predictions
from sandcell.magics.lesson.recording import Output, Recording, key_of, load, recorded_card
from sandcell.runtime.engine.progress import Answer, Progress
from sandcell.runtime.linux.host_model import Check, Facet, Host


class Page:
    """What was shown."""

    def __init__(self, folder: Path, *, widgets: bool = False) -> None:
        self.bundles: list[dict[str, Any]] = []
        self.progress = Progress(str(folder))
        self.questions = Predictions("01", self.progress, self.bundles.append, widgets=widgets)

    @property
    def text(self) -> str:
        """The plain text of what was shown last."""
        return str(self.bundles[-1]["text/plain"])


def test_an_answer_in_the_text_is_taken_and_kept(tmp_path: Path) -> None:
    page = Page(tmp_path)
    page.questions.ask("diary", ("yes", "no"))
    assert page.text.startswith("Your prediction? yes or no. Write it")
    page.questions.ask("diary", ("yes", "no"), " NO ")
    assert page.text == "You predicted: no. It is locked when the answer is seen."
    later = Page(tmp_path)  # another kernel
    later.questions.ask("diary", ("yes", "no"))
    assert later.text.startswith("You predicted: no.")


def test_what_is_no_option_is_not_taken(tmp_path: Path) -> None:
    page = Page(tmp_path)
    page.questions.ask("diary", ("yes", "no"), "maybe")
    assert page.text.startswith("maybe is none of: yes, no.\nYour prediction?")
    assert page.progress.of("01") == {}


def test_a_look_locks_an_answer_and_only_unlocking_opens_it(tmp_path: Path) -> None:
    page = Page(tmp_path)
    page.questions.ask("diary", ("yes", "no"), "yes")
    page.questions.lock("diary", False)
    page.questions.ask("diary", ("yes", "no"), "no")
    assert page.text.startswith(
        "This prediction is locked, so the new one was not taken.\nYou predicted: yes."
    )
    assert 'lesson.unlock("diary")' in page.text
    assert page.questions.of("diary") == Answer(text="yes", locked=True, right=False, tries=1)
    page.questions.unlock("diary")
    page.questions.ask("diary", ("yes", "no"), "no")
    page.questions.lock("diary", True)
    page.questions.lock("diary", True)  # the cell was run again
    assert page.questions.of("diary") == Answer(text="no", locked=True, right=True, tries=2)


def test_without_an_answer_nothing_is_locked(tmp_path: Path) -> None:
    page = Page(tmp_path)
    page.questions.lock("diary", True)
    assert page.questions.of("diary") == Answer()


def test_hints_come_one_by_one_and_are_remembered(tmp_path: Path) -> None:
    page = Page(tmp_path)
    assert page.questions.hint("diary").startswith("Hint 1 of 2: ")
    assert page.questions.hint("diary").count("\n") == 1
    assert page.questions.hint("diary").count("\n") == 1
    assert page.questions.of("diary").hints == 2
    assert page.questions.hint("nothing") == "There is no hint for this one."


def test_buttons_answer_lock_and_open(tmp_path: Path) -> None:
    page = Page(tmp_path, widgets=True)
    page.questions.ask("diary", ("yes", "no"))
    assert "application/vnd.jupyter.widget-view+json" in page.bundles[-1]
    board: Any = page.questions._boards["diary"]
    board._options.value = "yes"
    assert page.questions.of("diary").text == "yes"
    assert "Your prediction: yes." in board._said.value
    assert board._again.layout.display == "none"
    page.questions.lock("diary", False)
    assert (board._options.disabled, board._again.layout.display) == (True, "")
    board._hint.click()
    assert board._said.value.startswith("Hint 1 of 2: ")
    board._again.click()
    assert (board._options.disabled, board._options.value) == (False, None)
    page.questions.ask("diary", ("yes", "no"), "no")
    page.questions.forget()
    assert page.progress.all() == {}
    assert page.questions._boards["diary"]._options.value is None


def test_buttons_are_drawn_anew_when_they_are_locked(tmp_path: Path) -> None:
    page = Page(tmp_path, widgets=True)
    page.questions.ask("counter", ("0", "1"), "1")
    options: Any = page.questions._boards["counter"]._options
    # The front end compares labels with the numbers of its buttons.
    assert not [label for at, label in enumerate(options._options_labels) if label == str(at)]
    assert options.value == "1"


def test_two_notebooks_answer_at_once(tmp_path: Path) -> None:
    def answer(lesson: str) -> None:
        for number in range(20):
            Progress(str(tmp_path)).put(lesson, f"{number}", Answer(text="x"))

    threads = [threading.Thread(target=answer, args=(f"{one:02d}",)) for one in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: len(found) for name, found in Progress(str(tmp_path)).all().items()} == {
        f"{one:02d}": 20 for one in range(4)
    }


def test_a_file_that_cannot_be_read_is_kept_aside(tmp_path: Path) -> None:
    (tmp_path / "lessons.json").write_text("{half")
    progress = Progress(str(tmp_path))
    assert progress.all() == {}
    progress.put("01", "diary", Answer(text="no"))
    assert progress.of("01") == {"diary": Answer(text="no")}
    assert (tmp_path / "lessons.json.old").read_text() == "{half"
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".new")]


def test_a_recording_says_that_it_is_one() -> None:
    recording = Recording("6.1", "root", {}, {})
    card = recorded_card(recording, (Output("hello\n"), Output("a card", "<b>card</b>")), "seccomp says no")
    assert card.text.splitlines() == [
        "NOT RUN HERE: seccomp says no",
        "recorded on Linux 6.1, rung root:",
        "  : hello",
        "  : a card",
    ]
    for word in ("NOT RUN HERE", "recorded", "seccomp says no", "<b>card</b>", "hello"):
        assert word in card.html


def test_a_changed_cell_has_another_key_and_a_lesson_of_yours_no_recording() -> None:
    assert key_of("%%container a\ntrue\n") == key_of("%%container a\ntrue")
    assert key_of("%%container a\ntrue") != key_of("%%container a\nfalse")
    assert load("99") == Recording()


FILTER = Check("user namespace", False, 1, "seccomp", "unshare is refused", "ask for another profile")


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (Host("root", (Facet("files", "real"),), "6.1", "x86_64", ()), ["real in every way"]),
        (
            Host("nomount", (Facet("files", "emulated", "a copy"),), "6.1", "x86_64", ()),
            ["rung nomount", "files", "emulated", "a copy"],
        ),
        (
            Host("none", (), "6.1", "x86_64", (FILTER,)),
            ["No container can run", "Refused by seccomp: unshare is refused.", "ask for another profile"],
        ),
        (Host("none", (), "6.1", "x86_64", ()), ["Rung none was asked for"]),
    ],
)
def test_a_lesson_begins_with_what_this_host_is(host: Host, words: list[str]) -> None:
    card = head.card("01", host)
    for word in words:
        assert word in card.text
        assert word in card.html
