"""Predictions in the lessons: first say what you expect, then look.

A lesson asks a question, the learner writes a guess into a variable, a cell does the experiment,
and ``check`` compares the guess with what was observed. What was observed is read from the
runtime by the cell that calls it, never assumed.
"""

from collections.abc import Mapping


def check(guess: str, observed: str, because: str, *, misread: Mapping[str, str] | None = None) -> None:
    """Print what was observed, and what that says about ``guess``.

    ``guess``: what the learner wrote; case and blanks do not count, and an empty one is no fault.
    ``observed``: the answer that the runtime gave. ``because``: why it is so, one sentence.
    ``misread``: for a wrong guess, what is usually behind it. Nothing is raised, so that "Run all
    cells" goes on.
    """
    said = guess.strip().lower()
    lines = [f"Observed: {observed}."]
    if not said:
        lines.append("You made no prediction. Predict first, or skip.")
    elif said == observed.lower():
        lines.append(f"You predicted: {said}. That is right.")
    else:
        lines.append(f"You predicted: {said}. That is a good mistake to make here.")
        if misread and said in misread:
            lines.append(misread[said])
    print("\n".join([*lines, f"Why: {because}"]))  # noqa: T201 - the output of a cell
