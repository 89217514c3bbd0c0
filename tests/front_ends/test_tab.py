"""Tab in JupyterLab: instructions, flags, images and containers."""

from typing import Any

import pytest

from sandcell import Engine, Options
from tests.jupyter_lab import Lab, complaints, run_all, until

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.notebook, pytest.mark.kernel,
              pytest.mark.timeout(240)]  # fmt: skip

CELLS = ("%load_ext sandcell\n%container ls\nprint('ready')", "", "", "", "")


def test_names_are_completed_by_the_kernel(lab: Lab, page: Any) -> None:
    told = complaints(page)

    def tab(cell: int, text: str, choose: str) -> None:
        page.click(f".jp-CodeCell >> nth={cell} >> .cm-content")
        page.keyboard.insert_text(text)
        page.keyboard.press("Tab")
        page.click(f'.jp-Completer-item:has-text("{choose}")')

    def written(cell: int) -> str:
        lines = page.locator(f".jp-CodeCell >> nth={cell} >> .cm-line")
        return "\n".join(lines.all_inner_texts())

    with Engine(lab.home, lab.run) as engine:
        engine.build("FROM host:tiny\n", name="long-name-of-an-image")
        made = [
            engine.create("host:tiny", ("sleep", "9"), Options(name=name)) for name in ("tab-one", "tab-two")
        ]
        page.goto(lab.write("tab.ipynb", *CELLS))
        run_all(page, lab)
        page.wait_for_selector('.jp-OutputArea-output:has-text("ready")', timeout=60_000)

        tab(1, "%%image x\nFROM host\nENTRYP", "ENTRYPOINT")
        until(lambda: written(1), "%%image x\nFROM host\nENTRYPOINT", "an instruction")
        tab(2, "%%image x\nFROM long-n", "long-name-of-an-image:latest")
        until(lambda: written(2), "%%image x\nFROM long-name-of-an-image:latest", "an image")
        tab(3, "%%container host --pids", "--pids-limit")
        until(lambda: written(3), "%%container host --pids-limit", "a flag")
        tab(4, "%%container --in tab-", "tab-two")
        until(lambda: written(4), "%%container --in tab-two", "a container")
        for container in made:
            engine.remove(container, force=True)
    assert told == []
