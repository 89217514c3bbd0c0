"""Predictions: first say what you expect, then look.

A question is shown as buttons where the front end has widgets, and can always be answered in the text of
its cell. An answer is locked when the experiment has been looked at: what is known cannot be predicted.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from sandcell.magics.paper import visible
from sandcell.runtime.engine.progress import Answer, Progress

HINTS = Path(__file__).resolve().parents[2] / "notebooks" / "hints.json"

Show = Callable[[dict[str, Any]], None]
"""Shows a bundle of representations by media type."""


class Predictions:
    """The questions of one lesson. ``progress``: where answers are kept; ``show``: how something is put
    on the page; ``widgets``: whether the front end may have buttons."""

    def __init__(self, lesson: str, progress: Progress, show: Show, *, widgets: bool) -> None:
        self._lesson = lesson
        self._progress = progress
        self._show = show
        self._widgets = widgets
        self._options: dict[str, tuple[str, ...]] = {}
        self._boards: dict[str, Any] = {}
        self._hints: dict[str, list[str]] | None = None

    def of(self, question: str) -> Answer:
        """The answer as it stands."""
        return self._progress.of(self._lesson).get(question, Answer())

    def ask(self, question: str, options: Sequence[str], answer: str = "") -> None:
        """Show the question; ``answer`` is what was written in the cell, if anything was."""
        self._options[question] = tuple(options)
        said = self._write(question, answer) if answer.strip() else ""
        text = "\n".join(filter(None, [said, self._state(question)]))
        bundle: dict[str, Any] = {"text/plain": text}
        board = self._board(question) if self._widgets else None
        if board is not None:
            self._boards[question] = board
            board.say(said)
            bundle |= board.bundle()
        self._show(bundle)

    def choose(self, question: str, answer: str) -> str:
        """Predict ``answer``, as a pressed button does; gives what to say to that, empty when taken."""
        said = self._write(question, answer)
        self._refresh(question)
        return said

    def hint(self, question: str) -> str:
        """The next hint, and all that were read before."""
        known = self._known(question)
        if not known:
            return "There is no hint for this one."
        answer = self.of(question)
        read = min(answer.hints + 1, len(known))
        self._put(question, msgspec.structs.replace(answer, hints=read))
        lines = [f"Hint {number} of {len(known)}: {text}" for number, text in enumerate(known[:read], 1)]
        return "\n".join(lines)

    def lock(self, question: str, right: bool | None) -> None:
        """The experiment was looked at. Without an answer nothing is locked: there is nothing to keep."""
        answer = self.of(question)
        if answer.text:
            tries = answer.tries + (not answer.locked)
            self._put(question, msgspec.structs.replace(answer, locked=True, right=right, tries=tries))
            self._refresh(question)

    def unlock(self, question: str) -> None:
        """Let the learner predict again."""
        answer = self.of(question)
        self._put(question, Answer(hints=answer.hints, tries=answer.tries))
        self._refresh(question)

    def forget(self) -> None:
        """Forget all answers of this lesson."""
        self._progress.forget(self._lesson)
        for question in self._boards:
            self._refresh(question)

    def _put(self, question: str, answer: Answer) -> None:
        self._progress.put(self._lesson, question, answer)

    def _known(self, question: str) -> list[str]:
        if self._hints is None:
            found = msgspec.json.decode(HINTS.read_bytes(), type=dict[str, dict[str, list[str]]])
            self._hints = found.get(self._lesson, {})
        return self._hints.get(question, [])

    def _write(self, question: str, answer: str) -> str:
        text, before = answer.strip().lower(), self.of(question)
        options = self._options.get(question, (text,))
        if text not in [option.lower() for option in options]:
            return f"{visible(text)} is none of: {', '.join(options)}."
        if before.locked:
            return "" if before.text == text else "This prediction is locked, so the new one was not taken."
        self._put(question, msgspec.structs.replace(before, text=text))
        return ""

    def _state(self, question: str) -> str:
        answer = self.of(question)
        if answer.locked:
            return (
                f"You predicted: {answer.text}. It is locked, since the answer has been seen. "
                f'lesson.unlock("{question}") lets you predict again.'
            )
        if answer.text:
            return f"You predicted: {answer.text}. It is locked when the answer is seen."
        return (
            f"Your prediction? {' or '.join(self._options[question])}. Write it between the quotes and run "
            f'this cell again, or skip it. lesson.hint("{question}") gives a hint.'
        )

    def _refresh(self, question: str) -> None:
        if question in self._boards:
            self._boards[question].refresh()

    def _board(self, question: str) -> Any:
        try:
            from sandcell.magics.lesson.board import Board
        except ImportError:
            return None  # no widgets are installed: the text is enough
        return Board(self, question, self._options[question])
