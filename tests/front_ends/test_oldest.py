"""Magics, cards and the inspector with the oldest IPython, ipykernel, anywidget and JupyterLab."""

from collections.abc import Iterator
from typing import Any

import pytest

from sandcell import Engine
from tests.front_ends.oldest import Oldest, floors
from tests.jupyter_lab import Lab, complaints, run_all
from tests.magics.real_kernel import Answer, Kernel

pytestmark = [pytest.mark.slow, pytest.mark.notebook, pytest.mark.kernel, pytest.mark.timeout(400)]

WIDGET = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(scope="module")
def kernel(oldest: Oldest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    base = tmp_path_factory.mktemp("kernel")
    kernel = Kernel(base / "home", base / "run", oldest.env, str(oldest.python))
    yield kernel
    kernel.close()
    with Engine(base / "home", base / "run") as engine:
        for container in engine.containers(all=True):
            engine.remove(container, force=True)


def shown(answer: Answer) -> list[dict[str, Any]]:
    return [message.content["data"] for message in answer.messages if message.kind == "display_data"]


def test_magics_and_cards(kernel: Kernel) -> None:
    for name in ("IPython", "ipykernel", "anywidget"):
        version: str = kernel.value(f"__import__('{name}').__version__")
        assert any(f"{name.lower()}=={version}".startswith(floor) for floor in floors()), version
    assert kernel("%load_ext sandcell").error == ""
    built = kernel("%%image hello\nFROM host:tiny\nRUN echo one > /one\n")
    assert built.error == ""
    assert "hello:latest" in built.messages[-1].content["data"]["text/html"]
    ran = kernel("%%container hello --name web\ncat /one; echo $$; rm /one\n")
    assert ran.stream() == "one\n1\n"
    assert "+0 ~0 -1 · image unchanged" in ran.plain
    assert kernel("%%container hello\nexit 3\n").error.startswith("exit status 3")
    assert "hello:latest" in kernel("%image ls").plain
    assert kernel("%container rm nosuch").error.count("\n") <= 2


def test_an_interrupt(kernel: Kernel) -> None:
    def heard(message: Any) -> None:
        if "started" in message.content.get("text", ""):
            kernel.interrupt()

    answer = kernel("%%container hello\necho started\nsleep 1000\n", heard=heard)
    assert answer.error.startswith("interrupted")


def test_tab(kernel: Kernel) -> None:
    assert "%container unpause" in kernel.completions("%container unp")
    assert "%%container --in web" in kernel.completions("%%container --in w")
    assert "%image history hello:latest" in kernel.completions("%image history hello:")


def test_the_inspector_is_a_widget_with_text_for_who_has_none(kernel: Kernel) -> None:
    widget, still = shown(kernel("%sandcell"))
    assert WIDGET in widget
    assert WIDGET not in still
    assert "hello:latest" in still["text/plain"]
    assert "web" in still["text/plain"]


def test_without_widgets_there_are_cards(kernel: Kernel) -> None:
    kernel("import sys; kept = sys.modules.pop('anywidget'); sys.modules['anywidget'] = None")
    images, containers = shown(kernel("%sandcell"))
    kernel("sys.modules['anywidget'] = kept")
    assert WIDGET not in images
    assert "hello:latest" in images["text/html"]
    assert "web" in containers["text/html"]


@pytest.mark.browser
def test_in_its_jupyterlab(oldest_lab: Lab, page: Any) -> None:
    told = complaints(page)
    cells = ("%load_ext sandcell", "%%image hello\nFROM host:tiny", "%%container hello\necho $$", "%sandcell")
    page.goto(oldest_lab.write("oldest.ipynb", *cells))
    run_all(page, oldest_lab)
    page.wait_for_selector(".sc-plate:has-text('hello')", timeout=60_000)
    page.wait_for_selector(".sc-glass[data-state=exited]")
    assert told == []
    with Engine(oldest_lab.home, oldest_lab.run) as engine:
        for container in engine.containers(all=True):
            engine.remove(container, force=True)
