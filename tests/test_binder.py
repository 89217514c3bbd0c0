"""``binder/``: its scripts and the first lesson, on a machine that refuses what a Binder refuses."""

import json
import os
import shutil
import socket
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.binder_root import CHECKOUT, HOME, PREFIX, Binder
from tests.jupyter_lab import Lab, browsing, run_all, until
from tests.linux.test_host import FILTER, NO_MOUNT

LESSON = "notebooks/00_start_here.ipynb"
NOTHING = f"""{FILTER}
refuse("mount", "unshare", "setns", "chroot")
refuse("clone", args=(Arg(0, "MASKED_EQ", 1 << 28, 1 << 28),))
"""
"""What the builder of a Binder refuses: no namespace of any kind, no mount."""

PROMPTS = """[...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]
    .filter(prompt => /\\[\\d+\\]/.test(prompt.textContent)).length"""
ERRORS = ".jp-RenderedText[data-mime-type='application/vnd.jupyter.error']"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.rootless,
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a machine with a root of its own"),
]


@pytest.fixture(scope="module")
def binder(session_folder: Path) -> Iterator[Binder]:
    """The machine after its image was built: ``postBuild`` has run, where nothing is allowed."""
    place = Path(tempfile.mkdtemp(prefix="binder-", dir=session_folder))
    place.chmod(0o755)
    session_folder.chmod(0o711)
    made = Binder(place)
    said = made.run(NOTHING, "binder/postBuild")
    assert "rung none" in said
    yield made
    shutil.rmtree(place)


def test_images_are_built_without_namespaces_and_found_by_what_start_starts(binder: Binder) -> None:
    said = binder.run(
        NOTHING, "binder/start", "sh", "-c", 'echo "$SANDCELL_HOME"; stat -c %u "$SANDCELL_HOME"'
    )
    assert said.split() == [f"{PREFIX}/share/sandcell", "1000"]
    images = binder.run(NO_MOUNT, "binder/start", "sandcell", "images", "--format", "json")
    names = {json.loads(line)["Repository"] for line in images.splitlines()}
    assert {"lessons/host", "lessons/host-tiny"} <= names


@contextmanager
def served(binder: Binder) -> Iterator[Lab]:
    """What a Binder starts: JupyterLab, by way of ``start``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    lab = Lab(
        f"http://127.0.0.1:{port}", Path(HOME), Path(PREFIX) / "share/sandcell", Path("/tmp/sandcell-1000")
    )
    given = [f"--port={port}", "--no-browser", "--IdentityProvider.token=t", "--LabApp.news_url=None"]
    server = binder.popen(NO_MOUNT, "binder/start", "jupyter", "lab", *given)

    def answers() -> bool:
        assert server.poll() is None, server.stdout and server.stdout.read()
        try:
            urllib.request.urlopen(f"{lab.base}/api?token=t", timeout=5).close()
        except (urllib.error.URLError, OSError):
            return False
        return True

    try:
        until(answers, True, "JupyterLab", 100)
        yield lab
    finally:
        server.terminate()
        server.communicate(timeout=60)


@pytest.mark.browser
@pytest.mark.notebook
def test_the_first_lesson_runs_there_from_the_link_that_opens_it(binder: Binder) -> None:
    with served(binder) as lab, browsing() as browser:
        page: Any = browser.new_page(viewport={"width": 1100, "height": 7000})
        page.goto(lab.notebook(LESSON))
        run_all(page, lab)
        cells = json.loads((CHECKOUT / LESSON).read_text())["cells"]
        count = sum(cell["cell_type"] == "code" for cell in cells)
        until(lambda: page.evaluate(PROMPTS), count, "all cells", 120)
        assert page.locator(ERRORS).count() == 0, page.locator(ERRORS).all_inner_texts()
        text = page.inner_text(".jp-Notebook")
        assert "image unchanged" in text
        assert "nomount" in text, "the card must name its rung"
