"""A kernel that runs in a container, chosen and used in JupyterLab."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sandcell import Engine
from tests.jupyter_lab import Lab, complaints, press, until

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.notebook, pytest.mark.kernel,
              pytest.mark.timeout(240)]  # fmt: skip

WHERE = "import os, socket\nprint('in', socket.gethostname(), os.getppid())"
SLEEP = "import time\nprint('begun', flush=True)\ntime.sleep(600)"


def run(page: Any, cell: int) -> None:
    page.click(f".jp-CodeCell >> nth={cell} >> .jp-InputPrompt")
    page.keyboard.press("Control+Enter")


def output(page: Any, cell: int, text: str) -> None:
    page.wait_for_selector(f'.jp-CodeCell >> nth={cell} >> .jp-OutputArea-output:has-text("{text}")')


def ids(engine: Engine) -> set[str]:
    return {container.id for container in engine.containers(all=True)}


def host_name(engine: Engine) -> str:
    """Of the one container that there is."""
    until(lambda: len(ids(engine)), 1, "one container")
    return f"in {ids(engine).pop()[:12]} 1"


def wrapper(connections: Path) -> int:
    """The process on the host that stands between Jupyter and the kernel in the container."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_text().split("\0")
        except OSError:
            continue
        if {"kernel", "run", "host:kernel"} <= set(words) and words[-2].startswith(str(connections)):
            return int(entry.name)
    raise AssertionError("there is no wrapper")


def install(lab: Lab) -> None:
    """``sandcell kernel install`` for this JupyterLab; the kernelspec keeps the store of who installs it."""
    places = {
        "SANDCELL_HOME": lab.home, "SANDCELL_RUN": lab.run, "JUPYTER_DATA_DIR": lab.folder.parent / "data"
    }  # fmt: skip
    words = ["kernel", "install", "--name", "boxed", "--display-name", "Boxed", "host:kernel"]
    subprocess.run(
        [sys.executable, "-m", "sandcell.runtime.cli", *words],
        env={**os.environ, **{name: str(place) for name, place in places.items()}},
        check=True,
        timeout=100,
    )


def test_it_is_chosen_used_and_leaves_nothing(lab: Lab, page: Any) -> None:
    told = complaints(page)
    install(lab)
    with Engine(lab.home, lab.run) as engine:
        for container in engine.containers(all=True):
            engine.remove(container, force=True)
        page.goto(lab.write("boxed.ipynb", WHERE, SLEEP))
        until(lab.kernel, ("idle", True), "a kernel")
        press(page, "Kernel", "Change Kernel…")
        page.select_option(".jp-Dialog select", label="Boxed")
        page.click(".jp-Dialog .jp-mod-accept")
        page.wait_for_selector('.jp-Toolbar-kernelName:has-text("Boxed")')

        run(page, 0)
        output(page, 0, host_name(engine))
        run(page, 1)
        output(page, 1, "begun")
        press(page, "Kernel", "Interrupt Kernel")
        output(page, 1, "KeyboardInterrupt")

        (before,) = ids(engine)
        press(page, "Kernel", "Restart Kernel…")
        page.click(".jp-Dialog .jp-mod-accept")
        until(lambda: before in ids(engine), False, "the end of the container before")
        run(page, 0)
        output(page, 0, host_name(engine))

        (before,) = ids(engine)
        os.kill(wrapper(lab.folder.parent / "runtime"), signal.SIGKILL)
        until(lambda: before in ids(engine), False, "the end of the container whose wrapper was killed")
        # JupyterLab says that the kernel died, and that it comes again.
        page.click(".jp-Dialog .jp-mod-accept")
        run(page, 0)
        output(page, 0, host_name(engine))

        press(page, "Kernel", "Shut Down Kernel")
        until(lambda: ids(engine), set(), "the end of the container")
    assert told == []
