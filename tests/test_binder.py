"""``binder/``: its scripts and the first lesson, on a machine that refuses what a Binder refuses."""

import json
import os
import re
import shutil
import socket
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from tests.binder_root import CHECKOUT, HOME, PREFIX, UID, Binder
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
LESSONS = sorted((CHECKOUT / "notebooks").glob("*.ipynb"))
MOST_MEMORY = 450_000_000
"""Bytes that the processes of a lesson may have together: small hubs give a learner no more."""
ERRORS = ".jp-RenderedText[data-mime-type='application/vnd.jupyter.error']"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.kernel,
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
    # A lesson that failed leaves its containers running.
    made.run(NO_MOUNT, "binder/start", "sh", "-c", "sandcell ps -aq | xargs -r sandcell rm -f")
    # What a container leaves is removed after its end was told: some of it may go meanwhile.
    shutil.rmtree(place, ignore_errors=True)


def test_images_are_built_without_namespaces_and_found_by_what_start_starts(binder: Binder) -> None:
    said = binder.run(
        NOTHING, "binder/start", "sh", "-c", 'echo "$SANDCELL_HOME"; stat -c %u "$SANDCELL_HOME"'
    )
    assert said.split() == [f"{PREFIX}/share/sandcell", "1000"]
    images = binder.run(NO_MOUNT, "binder/start", "sandcell", "images", "--format", "json")
    names = {json.loads(line)["Repository"] for line in images.splitlines()}
    assert {"lessons/host", "lessons/host-tiny"} <= names
    ran = binder.run(
        NO_MOUNT, "binder/start", "sandcell", "run", "--rm", "lessons/host-tiny", "sh", "-c", "echo $$"
    )
    assert ran == "1\n"


def held() -> int:
    """Bytes of memory that the processes of uid 1000 hold now: proc(5), Pss."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if folder.stat().st_uid == UID:
                found = re.search(r"^Pss: +([0-9]+) kB", (folder / "smaps_rollup").read_text(), re.MULTILINE)
                total += int(found[1]) << 10 if found else 0
        except OSError:
            pass  # it has ended
    return total


@contextmanager
def watched() -> Iterator[list[int]]:
    """The most that `held` told while the body ran, looked at ten times a second."""
    peak, done = [0], Event()

    def look() -> None:
        while not done.wait(0.1):
            peak[0] = max(peak[0], held())

    thread = Thread(target=look)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


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


ASKED = pytest.mark.skipif(
    not os.environ.get("SANDCELL_TEST_BINDER"),
    reason="takes minutes: SANDCELL_TEST_BINDER=1 ./dev test tests/test_binder.py",
)


@ASKED
@pytest.mark.browser
@pytest.mark.notebook
def test_the_first_lesson_runs_in_jupyterlab_from_the_link_that_opens_it(binder: Binder) -> None:
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


@ASKED
@pytest.mark.notebook
@pytest.mark.parametrize("path", LESSONS, ids=[path.stem for path in LESSONS])
def test_every_lesson_runs_there(binder: Binder, path: Path) -> None:
    lesson = f"notebooks/{path.name}"
    with watched() as peak:
        said = binder.run(
            NO_MOUNT, "binder/start", "python", "-m", "sandcell.magics.demo", lesson, timeout=280
        )
    assert "left: " in said or path.stem.startswith("12"), said[-2000:]
    print(f"{path.stem}: at most {peak[0] >> 20} MiB")
    assert peak[0] < MOST_MEMORY
