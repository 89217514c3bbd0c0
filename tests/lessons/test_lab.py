"""Lesson 00 in a real JupyterLab and a real browser, as a learner sees it.

With ``SANDCELL_SCREENSHOTS=docs`` the pictures for the README are made anew.
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.jupyter_lab import Lab, browsing, dark, run_all, serving, until

CHECKOUT = Path(__file__).resolve().parent.parent.parent
PROMPTS = """[...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]
    .filter(prompt => /\\[\\d+\\]/.test(prompt.textContent)).length"""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A JupyterLab with the lessons and an empty store."""
    shutil.copytree(CHECKOUT / "notebooks", tmp_path / "notebooks")
    with serving(tmp_path, tmp_path / "notebooks") as lab:
        yield lab


@pytest.fixture
def page() -> Iterator[Any]:
    """A page of a real browser, tall enough for the whole lesson."""
    with browsing() as browser:
        yield browser.new_page(viewport={"width": 1100, "height": 7000})


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.notebook
@pytest.mark.kernel
@pytest.mark.timeout(400)
def test_lesson_00_runs_in_jupyterlab_without_an_error(lab: Lab, page: Any, tmp_path: Path) -> None:
    told: list[str] = []
    page.on("pageerror", lambda error: told.append(str(error)))
    page.goto(lab.notebook("00_start_here.ipynb"))
    page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=60_000)
    page.keyboard.press("Control+b")
    run_all(page, lab)
    notebook = json.loads((CHECKOUT / "notebooks/00_start_here.ipynb").read_text())
    # A folded cell has no prompt that shows.
    folded = [cell["metadata"].get("jupyter", {}).get("source_hidden") for cell in notebook["cells"]]
    kinds = [cell["cell_type"] for cell in notebook["cells"]]
    cells = sum(kind == "code" and not hidden for kind, hidden in zip(kinds, folded, strict=True))
    until(lambda: page.evaluate(PROMPTS), cells, "all cells", 200)
    # One short line of a failed cell would be an error output as well.
    assert page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.error']").count() == 0
    text = page.inner_text(".jp-Notebook")
    assert "Inside, I am process number 1." in text
    assert "image unchanged" in text
    assert "containers left: []" in text
    _predict(page, lab)
    assert told == []
    folder = Path(os.environ.get("SANDCELL_SCREENSHOTS") or tmp_path)
    _picture(page, folder / "lesson00.png")
    dark(page)
    _picture(page, folder / "lesson00-dark.png")


def _predict(page: Any, lab: Lab) -> None:
    """Read a hint and press a button: the answer is said, and kept in the learner's file."""
    question = page.locator(".jp-CodeCell:has-text('lesson.predict(\"pid\"')")
    question.get_by_role("button", name="Hint").click()
    question.get_by_text("Hint 1 of 2: ").wait_for(timeout=60_000)
    question.get_by_role("button", name="another").click()
    question.get_by_text("Your prediction: another.").wait_for(timeout=60_000)
    kept = json.loads((lab.home / "lessons.json").read_text())
    assert kept["00"]["pid"] == {"text": "another", "hints": 1}
    assert question.get_by_role("button", name="Unlock").count() == 0  # nothing was looked at since


def _picture(page: Any, path: Path) -> None:
    """From the first headline of a chapter to the fresh container's output: the README's four cells."""
    first = page.locator("h2:has-text('Build an image')").bounding_box()
    last = page.locator(".jp-CodeCell:has-text('--name lesson00-fresh')").bounding_box()
    bottom = last["y"] + last["height"]
    clip = {"x": 66, "y": first["y"] - 12, "width": 1000, "height": bottom - first["y"] + 12}
    page.screenshot(path=str(path), clip=clip)
    assert path.stat().st_size > 20_000
