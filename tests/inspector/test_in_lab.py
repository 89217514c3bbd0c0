"""The inspector in a notebook of a real JupyterLab, used as a person uses it.

With ``SANDCELL_SCREENSHOTS=docs`` the pictures for the README are made anew.
"""

import os
from pathlib import Path
from typing import Any

import pytest

from sandcell import Engine, Options
from tests.inspector.measures import faint
from tests.jupyter_lab import Lab, complaints, dark, run_all, serving, until

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.notebook, pytest.mark.kernel,
              pytest.mark.timeout(240)]  # fmt: skip

HELLO = (
    "%%image hello\nFROM host\nRUN mkdir /app && echo 'print(1)' > /app/main.py\nENV COLOR=blue\n"
    'RUN echo "I am in the image" > /note.txt\nEXPOSE 8000\nCMD ["python3", "-m", "http.server", "8000"]'
)
CHANGED = "%%image hello:2\nFROM hello\nRUN echo changed > /note.txt; rm /app/main.py"
OTHER = "%%image tools\nFROM host\nRUN mkdir /tools && cp /bin/ls /tools/"
WORK = "import time\nwhile True:\n t = time.time()\n while time.time() - t < .2: pass\n time.sleep(.5)\n"
CELL = "%%container hello\ntrap 'exit 0' TERM\necho the cell runs\nwhile :; do sleep 0.05; done"
# A shell that has told nobody what to do on SIGTERM ignores it as pid 1: SIGKILL must follow soon.
DEAF = "%%container hello --name deaf --replace\necho the cell runs; sleep 300"

# As pid 1 it does not hear SIGTERM.
WEB: dict[str, Any] = {"name": "web", "memory": 256 << 20, "pids_limit": 64, "stop_timeout": 1}

RUNS = '.jp-InputPrompt:has-text("[*]")'


def box(name: str) -> str:
    return f'.sc-glass:has(.sc-name:text-is("{name}"))'


def pill(text: str) -> str:
    return f'.sc-detail-head .sc-pill:has-text("{text}")'


def test_everything_can_be_done_by_hand(lab: Lab, engine: Engine, page: Any, tmp_path: Path) -> None:
    told = complaints(page)
    page.set_viewport_size({"width": 1250, "height": 1150})
    page.goto(lab.write("inspect.ipynb", "%load_ext sandcell", HELLO, CHANGED, OTHER, "%sandcell"))
    run_all(page, lab)
    page.wait_for_selector(".sc-plate:has-text('tools')", timeout=90_000)
    page.keyboard.press("Control+b")
    engine.start(engine.create("hello", None, Options(**WEB)))
    engine.start(engine.create("hello", ("python3", "-c", WORK), Options(name="busy", memory=128 << 20)))
    engine.start(engine.create("hello:2", ("sh", "-c", "rm /note.txt; exit 3"), Options(name="failed")))
    engine.wait("failed")
    engine.create("tools", ("sleep", "9"), Options(name="new"))

    page.click(box("web"))
    page.click(".sc-stop")
    page.wait_for_selector(pill("exited"))
    page.click(".sc-start")
    page.wait_for_selector(pill("running"))
    assert engine.container("web").state == "running"

    page.click(".sc-pause")
    page.wait_for_selector(pill("paused"))
    page.click(".sc-unpause")
    page.wait_for_selector(pill("running"))

    page.click(".sc-commit")
    page.fill(".sc-dialog input", "web-changed")
    page.keyboard.press("Enter")
    page.wait_for_selector(".sc-plate:has-text('web-changed')")

    _new_ones(page, engine)
    page.click(box("new"))
    page.click(".sc-remove")
    assert "writable layer and its log are lost" in page.inner_text(".sc-dialog")
    page.keyboard.press("Escape")
    assert "new" in {one.name for one in engine.containers(all=True)}
    page.click(".sc-remove")
    page.click(".sc-dialog .sc-danger")
    page.wait_for_selector(box("new"), state="detached")
    assert "new" not in {one.name for one in engine.containers(all=True)}
    engine.remove_image("web-changed")

    _terminal(page, engine)
    _pictures(page, tmp_path)
    assert told == []


def _new_ones(page: Any, engine: Engine) -> None:
    """Run a container from an image, call it otherwise, and give it limits; only by keys in the dialogs."""
    page.click(".sc-plate:has-text('hello:2')")
    page.click(".sc-create")
    page.keyboard.type("echo begun; sleep 1000")
    page.keyboard.press("Tab")
    page.keyboard.type("draft")
    page.keyboard.press("Enter")
    page.wait_for_selector(pill("running"))
    page.wait_for_selector('.sc-title:text-is("draft")')
    page.click(".sc-detail .sc-rename")
    page.keyboard.press("Control+a")
    page.keyboard.type("report")
    page.keyboard.press("Enter")
    page.wait_for_selector('.sc-title:text-is("report")')
    page.click(".sc-limits")
    page.fill(".sc-dialog label:has-text('memory') input", "64m")
    page.fill(".sc-dialog label:has-text('processes') input", "7")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-lens=inside]:has-text('memory 64m, 7 processes')")
    made = engine.container("report")
    assert (made.image, made.command) == ("hello:2", ("sh", "-c", "echo begun; sleep 1000"))
    assert (made.options.memory, made.options.pids_limit) == (64 << 20, 7)


def _terminal(page: Any, engine: Engine) -> None:
    """Open one in ``web``, type, and come back to the notebook."""
    page.click(box("web"))
    page.click(".sc-detail .sc-terminal")
    page.wait_for_selector(".jp-Terminal .xterm-helper-textarea", timeout=30_000, state="attached")
    page.click(".jp-Terminal .xterm-screen")

    def typed() -> bool:
        # What is typed before the page and the terminal are connected is lost: then once more.
        page.keyboard.type("\necho $((6 * 7)) > /typed\n", delay=20)
        for _ in range(20):
            if "typed" in {change.path for change in engine.diff("web")}:
                return engine.container_file("web", "/typed") == b"42\n"
            page.wait_for_timeout(100)
        return False

    until(typed, True, "what was typed")
    page.keyboard.type("exit\n")
    page.click('.lm-TabBar-tab:has-text("inspect.ipynb")')


def _pictures(page: Any, tmp_path: Path) -> None:
    """The inspector in both themes, with curves that have something to show."""
    folder = Path(os.environ.get("SANDCELL_SCREENSHOTS") or tmp_path)
    page.click(box("busy"))
    page.click("[data-tab=overview]")
    points = "document.querySelector('.sc-cpu .sc-curve-line').getAttribute('d').split('L').length"
    until(lambda: page.evaluate(points) > 14, True, "a curve")
    assert faint(page) == []
    _picture(page, folder / "inspector.png")
    dark(page)
    page.click(".sc-lens:has-text('from the host')")
    page.wait_for_selector(".sc-process:has-text('on the host')")
    assert faint(page) == []
    _picture(page, folder / "inspector-dark.png")


def _picture(page: Any, path: Path) -> None:
    page.mouse.move(0, 0)
    page.locator(".sc").screenshot(path=str(path))
    assert path.stat().st_size > 30_000


# When a stop button was pressed, by the clock that containers' times are of.
PRESSED = """addEventListener("click", (event) => {
    if (event.target.closest(".sc-stop")) window.pressed = (performance.timeOrigin + event.timeStamp) / 1000;
}, true)"""


def _stops_within_a_second(page: Any, lab: Lab, engine: Engine) -> None:
    """The quickest of three tries: the others waited for a processor."""
    took: list[float] = []
    while len(took) < 3 and not any(one < 1 for one in took):
        run_all(page, lab)
        took.append(_stop_a_running_cell(page, engine))
    assert min(took) < 1, took


def _stop_a_running_cell(page: Any, engine: Engine) -> float:
    """Press Stop on the container of a cell that runs; seconds from the click to the end of its process.
    How long this browser takes to be told and to draw it is not in it."""
    page.wait_for_selector(".sc-glass[data-state=running]", timeout=60_000)
    page.click(".sc-glass[data-state=running]")
    page.wait_for_selector(pill("running"))
    page.wait_for_selector(RUNS, state="attached")
    page.click("[data-tab=log]")
    page.wait_for_selector(".sc-log:has-text('the cell runs')")
    page.evaluate(PRESSED)
    (one,) = engine.containers()
    page.click(".sc-stop")
    page.wait_for_selector(pill("exited"), timeout=20_000)
    page.wait_for_selector(RUNS, state="detached")
    finished = engine.container(one.id).finished
    assert finished is not None
    return finished - float(page.evaluate("window.pressed"))


def test_stop_stops_a_running_cell_within_a_second(lab: Lab, engine: Engine, page: Any) -> None:
    told = complaints(page)
    engine.build("FROM host:tiny\n", name="hello")
    page.goto(lab.write("stop.ipynb", "%load_ext sandcell", "%sandcell", DEAF))
    _stops_within_a_second(page, lab, engine)
    assert page.inner_text(".sc-status") == "live"
    assert told == []


def test_without_the_server_the_kernel_answers_beside_the_cell(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "notebooks").mkdir()
    off = "--ServerApp.jpserver_extensions={'sandcell': False}"
    with serving(tmp_path, tmp_path / "notebooks", off) as lab, Engine(lab.home, lab.run) as engine:
        engine.build("FROM host:tiny\n", name="hello")
        page = browser.new_page()
        page.goto(lab.write("kernel.ipynb", "%load_ext sandcell", "%sandcell", CELL))
        _stops_within_a_second(page, lab, engine)
        assert "subshell" in page.inner_text(".sc-status")
        page.close()
        for one in engine.containers(all=True):
            engine.remove(one, force=True)
