"""Lesson 00 in a real JupyterLab and a real browser, as a learner sees it.

With ``SANDCELL_SCREENSHOTS=docs`` the picture for the README is made anew.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent.parent
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
)
PROMPTS = """[...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]
    .filter(prompt => /\\[\\d+\\]/.test(prompt.textContent)).length"""


def until(answer: Any, wanted: Any, what: str, seconds: float = 60) -> None:
    """Wait for what another process does; bounded."""
    deadline = time.monotonic() + seconds
    while answer() != wanted:
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.1)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[str]:
    """The address of a JupyterLab with the lessons and an empty store."""
    shutil.copytree(CHECKOUT / "notebooks", tmp_path / "notebooks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
        "JUPYTER_DATA_DIR": str(tmp_path / "data"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "SANDCELL_HOME": str(tmp_path / "home"),
        "SANDCELL_RUN": str(tmp_path / "run"),
    }
    options = [f"--port={port}", "--no-browser", "--allow-root", "--IdentityProvider.token=t"]
    options += [f"--ServerApp.root_dir={tmp_path / 'notebooks'}", "--LabApp.news_url=None"]
    with open(tmp_path / "log", "w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options], env=environment, stdout=log, stderr=log
        )
    base = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            urllib.request.urlopen(f"{base}/api?token=t", timeout=5).close()
        except (urllib.error.URLError, OSError):
            return False
        return True

    try:
        until(answers, True, "JupyterLab")
        yield f"{base}/lab/tree/00_start_here.ipynb?token=t"
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture
def page() -> Iterator[Any]:
    """A page of a real browser, tall enough for the whole lesson."""
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS.split())
        yield browser.new_page(viewport={"width": 1100, "height": 7000})
        browser.close()


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.notebook
@pytest.mark.kernel
def test_lesson_00_runs_in_jupyterlab_without_an_error(lab: str, page: Any, tmp_path: Path) -> None:
    told: list[str] = []
    page.on("pageerror", lambda error: told.append(str(error)))
    page.goto(lab)
    page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=60_000)
    until(lambda: _kernel(lab), ("idle", True), "the kernel")
    page.keyboard.press("Control+b")
    page.click('.lm-MenuBar-itemLabel:text-is("Run")')
    page.click('.lm-Menu-itemLabel:text-is("Run All Cells")')
    notebook = json.loads((CHECKOUT / "notebooks/00_start_here.ipynb").read_text())
    cells = sum(cell["cell_type"] == "code" for cell in notebook["cells"])
    until(lambda: page.evaluate(PROMPTS), cells, "all cells", 90)
    # One short line of a failed cell would be an error output as well.
    assert page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.error']").count() == 0
    text = page.inner_text(".jp-Notebook")
    assert "Inside, I am process number 1." in text
    assert "image unchanged" in text
    assert "containers left: []" in text
    assert told == []
    folder = Path(os.environ.get("SANDCELL_SCREENSHOTS") or tmp_path)
    _picture(page, folder / "lesson00.png")
    assert (folder / "lesson00.png").stat().st_size > 20_000


def _kernel(lab: str) -> tuple[str, bool]:
    """How the notebook's kernel is, and whether the page is connected to it."""
    address = lab.replace("/lab/tree/00_start_here.ipynb", "/api/sessions")
    with urllib.request.urlopen(address, timeout=5) as answer:
        kernels = [session["kernel"] for session in json.load(answer)]
    return (kernels[0]["execution_state"], kernels[0]["connections"] > 0) if kernels else ("none", False)


def _picture(page: Any, path: Path) -> None:
    """From the first headline of a chapter to the fresh container's output: the README's four cells."""
    first = page.locator("h2:has-text('Build an image')").bounding_box()
    last = page.locator(".jp-CodeCell:has-text('--as fresh')").bounding_box()
    bottom = last["y"] + last["height"]
    clip = {"x": 66, "y": first["y"] - 12, "width": 1000, "height": bottom - first["y"] + 12}
    page.screenshot(path=str(path), clip=clip)
