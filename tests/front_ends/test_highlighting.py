"""The colours of our cells in JupyterLab and Notebook 7, as a person sees them: computed styles."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.front_ends.oldest import Oldest
from tests.jupyter_lab import Lab, complaints, press, until

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.notebook, pytest.mark.timeout(400)]

CELLS = (
    "%%image hello\nFROM host AS base\nRUN if true; then def; fi",
    "%%container hello --with python3\nif 1: import os\ndef f(): return os",
    "%%container hello\nif true; then def; fi",
    "%%container --in web\n#!/usr/bin/env -S python3 -u\nif 1: import os",
    "if 1: import os",
)
IMAGE, PYTHON, SHELL = {"FROM", "AS", "RUN"}, {"if", "import", "def", "return"}, {"if", "then", "fi"}
COLOURED = [IMAGE, PYTHON, SHELL, {"if", "import"}, {"if", "import"}]

KEYWORDS = """() => {
    const probe = document.body.appendChild(document.createElement("i"));
    probe.style.color = "var(--jp-mirror-editor-keyword-color)";
    const wanted = getComputedStyle(probe).color;
    probe.remove();
    return [...document.querySelectorAll(".jp-CodeCell")].map((cell) =>
        [...cell.querySelectorAll(".cm-line:not(:first-child) span, .cm-line:only-child span")]
            .filter((token) => getComputedStyle(token).color === wanted)
            .map((token) => token.textContent));
}"""

# A kernel of another language, as the notebook is told it.
OTHER = """
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp
class Kernel(IPythonKernel):
    language_info = {"name": "R", "mimetype": "text/x-rsrc", "file_extension": ".r"}
IPKernelApp.launch_instance(kernel_class=Kernel)
"""


def coloured(page: Any) -> list[set[str]]:
    """What has the colour of keywords in each cell, below the line of its magic."""
    return [set(words) for words in page.evaluate(KEYWORDS)]


def have_colours(page: Any, *expected: set[str]) -> None:
    until(lambda: coloured(page), list(expected), f"the colours {expected}, not {coloured(page)}", 90)


def first_line(page: Any, cell: int, text: str) -> None:
    """Replace the first line of a cell by hand."""
    page.click(f".jp-CodeCell >> nth={cell} >> .cm-content")
    page.keyboard.press("Control+Home")
    page.keyboard.press("Shift+End")
    page.keyboard.insert_text(text)


def test_jupyterlab_lists_the_extension() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "jupyterlab.labextensions", "list"], capture_output=True, text=True
    )
    (line,) = [line for line in (done.stdout + done.stderr).splitlines() if " sandcell v" in line]
    assert "enabled" in line
    assert "OK" in line


def test_colours_follow_the_first_line_and_the_kernel(lab: Lab, page: Any) -> None:
    told = complaints(page)
    other = lab.folder.parent / "data/kernels/other/kernel.json"
    other.parent.mkdir(parents=True)
    argv = [sys.executable, "-c", OTHER, "-f", "{connection_file}"]
    other.write_text(json.dumps({"argv": argv, "display_name": "Other", "language": "R"}))
    page.goto(lab.write("colours.ipynb", *CELLS))
    have_colours(page, *COLOURED)

    first_line(page, 2, "%%container hello --with=python3.12")
    have_colours(page, IMAGE, PYTHON, {"if", "def"}, *COLOURED[3:])
    first_line(page, 2, "%%container hello")
    first_line(page, 0, "%%container hello")
    have_colours(page, SHELL, PYTHON, SHELL, *COLOURED[3:])
    first_line(page, 0, "%%image hello")
    first_line(page, 3, "# now it is Python of the kernel")
    have_colours(page, *COLOURED)

    until(lab.kernel, ("idle", True), "the kernel")
    press(page, "Kernel", "Restart Kernel…")
    with page.expect_response(lambda answer: "/restart" in answer.url, timeout=60_000):
        page.click(".jp-Dialog .jp-mod-accept")
    until(lab.kernel, ("idle", True), "the kernel again")
    have_colours(page, *COLOURED)

    press(page, "Kernel", "Change Kernel…")
    page.select_option(".jp-Dialog select", label="Other")
    page.click(".jp-Dialog .jp-mod-accept")
    # R has no import; what is ours stays.
    have_colours(page, IMAGE, PYTHON, SHELL, {"if"}, {"if"})
    assert told == []


def test_in_notebook_7(lab: Lab, page: Any) -> None:
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(f"{error.message} {error.stack}"))
    lab.write("seven.ipynb", *CELLS)
    page.goto(lab.notebook7("seven.ipynb"))
    have_colours(page, *COLOURED)
    # Notebook has an error of its own when it starts.
    assert [error for error in wrong if "sandcell" in error] == []


def test_in_the_oldest_jupyterlab_and_notebook(oldest: Oldest, oldest_lab: Lab, page: Any) -> None:
    told = complaints(page)
    page.goto(oldest_lab.write("old.ipynb", *CELLS))
    have_colours(page, *COLOURED)
    assert told == []
    page.goto(oldest_lab.notebook7("old.ipynb"))
    have_colours(page, *COLOURED)
