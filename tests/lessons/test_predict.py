"""What a prediction is answered."""

from typing import Any

import pytest

from sandcell.magics.predict import check


@pytest.mark.parametrize(
    ("guess", "answer"),
    [
        ("", "You made no prediction. Predict first, or skip."),
        (" There ", "You predicted: there. That is right."),
        ("gone", "You predicted: gone. That is a good mistake to make here.\nMany think so."),
        ("maybe", "You predicted: maybe. That is a good mistake to make here."),
    ],
)
def test_a_guess_meets_what_was_observed(guess: str, answer: str, capsys: Any) -> None:
    check(guess, "there", because="it never left.", misread={"gone": "Many think so."})
    assert capsys.readouterr().out == f"Observed: there.\n{answer}\nWhy: it never left.\n"
