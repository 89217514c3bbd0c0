"""``binder/``: its scripts and the lessons, in a Debian that refuses what a Binder refuses."""

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

from tests.binder_debian import CHECKOUT, HOME, PREFIX, UID, debian
from tests.binder_root import Binder
from tests.jupyter_lab import Lab, browsing, run_all, until
from tests.lessons.play import NAMES, Day, day
from tests.lessons.test_low_rungs import OF_IMAGES, goes_to_its_end, is_honest, told
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
    pytest.mark.peer("mmdebstrap", "strace"),
    pytest.mark.timeout(500),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a machine with a root of its own"),
]


@pytest.fixture(scope="module")
def binder(session_folder: Path) -> Iterator[Binder]:
    """The machine after its image was built: ``postBuild`` has run, where nothing is allowed."""
    root = debian()
    place = Path(tempfile.mkdtemp(prefix="binder-", dir=session_folder))
    place.chmod(0o755)
    session_folder.chmod(0o711)
    made = Binder(root, place)
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


class Traced:
    """What runs on the machine tried to start and to reach, kept below ``place`` by strace(1)."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def command(self, name: str) -> list[str]:
        """The words that begin a run which is remembered as ``name``."""
        calls = "trace=execve,connect,sendto"
        return ["strace", "-f", "--seccomp-bpf", "-qq", "-e", calls, "-o", str(self._place / name)]

    def _text(self, name: str) -> str:
        text = (self._place / name).read_text()
        before, found, after = text.partition('execve("binder/start"')
        assert found, before[-1000:]
        return found + after

    def started(self, name: str) -> set[str]:
        """The names of all programs that were executed since ``start``; where two calls overlap, what came
        of the first stands elsewhere, and it counts."""
        paths = re.findall(r'execve\("([^"]+)"(?!.* = -1 )', self._text(name))
        # What is executed by a descriptor is the runtime's read-only copy of its own interpreter.
        paths = [path for path in paths if not re.fullmatch(r"/proc/self/fd/\d+", path)]
        return {re.sub(r"^python3\.\d+$", "python3", Path(path).name) for path in paths}

    def asked(self, name: str) -> set[str]:
        """The addresses that somebody wanted to reach."""
        told = re.findall(r'inet_addr\("([^"]+)"|inet_pton\(AF_INET6, "([^"]+)"', self._text(name))
        return {four or six for four, six in told}


@pytest.fixture(scope="module")
def traced(session_folder: Path) -> Traced:
    return Traced(Path(tempfile.mkdtemp(dir=session_folder)))


@pytest.fixture(scope="module")
def nothing_allowed(binder: Binder, traced: Traced) -> Day:
    """All lessons in one kernel there, where not even a user namespace can be had."""
    play = ("binder/start", "python", "-m", "tests.lessons.play")
    return day(binder.run(NOTHING, *play, timeout=300, by=traced.command("none")))


@pytest.mark.parametrize("name", NAMES)
def test_every_lesson_opens_where_nothing_is_allowed(nothing_allowed: Day, name: str) -> None:
    played = nothing_allowed[name]
    goes_to_its_end(played, "none")
    assert "No container can run on this host." in played[0].said
    is_honest(played)
    assert told(played, "Observed: ") == OF_IMAGES.get(name[:2], set())
    shown = [one for one in played if "NOT RUN HERE: " in one.said]
    assert all("recorded on Linux " in one.said for one in shown)
    assert shown


HERE = {"127.0.0.1", "::1", "0.0.0.0", "::"}
"""What only this machine answers; the last two are asked when somebody wants to listen."""

STARTED = {"start", "sh", "cat", "python", "python3", "sandcell", "chmod", "true"}
"""What the doctor and the lessons start on the host."""

INSIDE = {"test", "ls", "sleep"}
"""What the cells of lesson 01 start in containers."""


def test_nothing_is_fetched_and_nothing_else_is_started(
    binder: Binder, nothing_allowed: Day, traced: Traced
) -> None:
    assert nothing_allowed
    words = "sandcell doctor && python -m tests.lessons.play 01_image_to_containers"
    done = binder.run(NO_MOUNT, "binder/start", "sh", "-c", words, by=traced.command("nomount"))
    assert "on rung nomount" in done
    assert {"start", "python"} <= traced.started("none") <= STARTED
    assert {"sh", "python", "sleep"} <= traced.started("nomount") <= STARTED | INSIDE
    assert traced.asked("none") | traced.asked("nomount") <= HERE


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
        # A folded cell has no prompt.
        count = sum(cell["cell_type"] == "code" and not cell["metadata"] for cell in cells)
        until(lambda: page.evaluate(PROMPTS), count, "all cells", 120)
        assert page.locator(ERRORS).count() == 0, page.locator(ERRORS).all_inner_texts()
        text = page.inner_text(".jp-Notebook")
        assert "image unchanged" in text
        assert "nomount" in text, "the card must name its rung"
        if folder := os.environ.get("SANDCELL_SCREENSHOTS"):
            page.screenshot(path=f"{folder}/binder.png")


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
