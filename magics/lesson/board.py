"""A question as buttons: the options, a hint, and the way to open a locked answer again."""

import html
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

if TYPE_CHECKING:
    from sandcell.magics.lesson.predictions import Predictions


class Board:
    """The buttons of one question. What is pressed goes to ``predictions``, which keep it."""

    def __init__(self, predictions: "Predictions", question: str, options: tuple[str, ...]) -> None:
        self._predictions = predictions
        self._question = question
        self._said: Any = widgets.HTML()
        # Labels that are their buttons' numbers, as 0 and 1, would not be drawn anew: no blank is seen there.
        self._options: Any = widgets.ToggleButtons(
            options=[(f" {option} ", option) for option in options],
            value=None,
            style={"button_width": "auto"},
        )
        self._texts = {option.lower(): option for option in options}
        self._hint: Any = widgets.Button(description="Hint", icon="lightbulb-o", tooltip="Show the next hint")
        self._again: Any = widgets.Button(
            description="Unlock", icon="unlock", tooltip="Predict again; the answer has been seen"
        )
        for button in (self._hint, self._again):
            button.layout.width = "auto"
        self._options.observe(self._chosen, "value")
        self._hint.on_click(lambda _: self.say(predictions.hint(question)))
        self._again.on_click(lambda _: self._unlock())
        self._box: Any = widgets.VBox(
            [widgets.HBox([self._options, self._hint, self._again]), self._said],
        )
        self._quiet = False
        self.refresh()

    def bundle(self) -> dict[str, Any]:
        """The widget's own representation, without a text: ours is better."""
        return _bundle(self._box)

    def say(self, text: str) -> None:
        """Show ``text`` below the buttons, or how the prediction stands."""
        self._said.value = "<br>".join(html.escape(line) for line in (text or self._standing()).splitlines())

    def refresh(self) -> None:
        """Show the answer as it is kept."""
        answer = self._predictions.of(self._question)
        self._quiet = True
        self._options.value = self._texts.get(answer.text)
        self._quiet = False
        self._options.disabled = answer.locked
        self._again.layout.display = "" if answer.locked else "none"
        self.say("")

    def _standing(self) -> str:
        answer = self._predictions.of(self._question)
        if answer.locked:
            return "Locked: the answer has been seen."
        if answer.text:
            return f"Your prediction: {answer.text}. Now run the next cells."
        return "Predict, or skip it."

    def _chosen(self, change: Any) -> None:
        if not self._quiet and change["new"] is not None:
            self.say(self._predictions.choose(self._question, change["new"]))

    def _unlock(self) -> None:
        self._predictions.unlock(self._question)


def reset_button(reset: Callable[[], str]) -> dict[str, Any]:
    """A button that begins the lesson anew and says what became of it, as a bundle without a text."""
    said: Any = widgets.HTML()
    button: Any = widgets.Button(
        description="Begin this lesson anew",
        icon="undo",
        tooltip="Removes the containers and images of this lesson, and your predictions",
        layout={"width": "auto"},
    )

    def pressed(_: Any) -> None:
        said.value = "<br>".join(html.escape(line) for line in reset().splitlines())

    button.on_click(pressed)
    return _bundle(widgets.HBox([button, said]))


def _bundle(widget: Any) -> dict[str, Any]:
    found: dict[str, Any] = dict(widget._repr_mimebundle_())
    found.pop("text/plain", None)
    return found
