"""Errors as a person at a notebook should read them: operation, object, cause, hint; no traceback.

IPython asks an exception for ``_render_traceback_()`` before it draws one of its own. The errors of
the runtime get theirs here, when they leave a magic, and stay what they are: ``except
ImageNotFound`` around a magic works.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sandcell.runtime.errors import BuildFailed, DockerfileError, SandcellError

_AROUND = 2
"""Lines of the cell shown before and after the one at fault."""

_LONGEST = 12
"""Lines at fault that are shown; a longer instruction is cut."""


class CellFailed(Exception):
    """A cell whose program ended with another status than it should have.

    ``status``: the exit status. The text says what happened and what to look at.
    """

    def __init__(self, message: str, status: int, hint: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.hint = hint

    def _render_traceback_(self) -> list[str]:
        return _lines(str(self), self.hint)


class Interrupted(KeyboardInterrupt):
    """A cell that the person interrupted. It stops Run All, as any interrupt does."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


@contextmanager
def told(cell: str = "", instead: Callable[[SandcellError], bool] | None = None) -> Iterator[None]:
    """Let errors of the runtime leave with a text for people and without a chain.

    ``cell``: the text of the cell, for errors that name its lines. ``instead``: asked first; where it has
    shown something in place of the error, nothing is raised.
    """
    try:
        yield
    except SandcellError as error:
        if instead is not None and instead(error):
            return
        raise speak(error, cell) from None
    except (CellFailed, Interrupted):
        raise
    except KeyboardInterrupt:
        raise Interrupted("interrupted") from None


def speak(error: SandcellError, cell: str = "") -> SandcellError:
    """The same error, which now tells itself in a notebook."""
    lines = told_lines(error, cell)
    render: Callable[[], list[str]] = lambda: lines  # noqa: E731 - a method of this one error
    speaking: Any = error
    speaking._render_traceback_ = render
    return error


def told_lines(error: SandcellError, cell: str = "") -> list[str]:
    """The text of an error: what, why, the lines of the cell at fault marked with ``>``, the hint."""
    marked: list[str] = []
    if isinstance(error, DockerfileError | BuildFailed):
        marked = marked_lines(cell or "", error.lines, error.source)
    return _lines(str(error), error.hint, marked)


def marked_lines(cell: str, lines: tuple[int, int], source: str = "") -> list[str]:
    """Lines ``lines[0]`` to ``lines[1]`` of a cell (from 1) marked, with a few around them.

    ``source`` is shown where the cell does not reach that far.
    """
    first, last = lines
    text = cell.splitlines()
    if first < 1:
        return []
    if last > len(text):
        text = [""] * (first - 1) + source.splitlines()
        last = min(last, len(text))
    start, end = max(1, first - _AROUND), min(len(text), last + _AROUND)
    shown: list[str] = []
    for number in range(start, end + 1):
        at_fault = first <= number <= last
        if at_fault and number - first >= _LONGEST:
            if number == last:
                shown.append("      …")
            continue
        if at_fault or text[number - 1].strip():
            shown.append(f"{'  >' if at_fault else '   '} {number:3} | {text[number - 1]}")
    return shown


def _lines(message: str, hint: str = "", marked: list[str] | None = None) -> list[str]:
    lines = [message]
    if marked:
        lines += ["", *marked, ""]
    if hint:
        lines.append(f"  hint: {hint}")
    return lines
