"""The inspector where only anywidget's own promises hold, as in VS Code and Colab: a model, an element, one
module that is given as text, and a policy that lets nothing else in."""

import os
import queue
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandcell import Engine, Options
from sandcell.magics.inspector import widget
from tests.inspector.measures import faint
from tests.jupyter_lab import complaints, until

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.notebook, pytest.mark.kernel,
              pytest.mark.timeout(120)]  # fmt: skip

PLACE = "https://host.invalid/"
# Stricter than VS Code's own, which lets scripts of its resources and eval in as well.
POLICY = "default-src 'none'; script-src 'nonce-host' blob:; style-src 'unsafe-inline'; img-src data:"
HOST = Path(__file__).with_name("bare_host.js").read_text()
LOOKED_AT = os.environ.get("SANDCELL_LOOKED_AT")


class Bare:
    """A page of such a front end, and this process in the place of its kernel."""

    def __init__(self, page: Any, engine: Engine, kind: str) -> None:
        self.page = page
        self.asked: list[str] = []
        page.on("request", lambda request: self.asked.append(request.url))
        page.route(PLACE, lambda route: route.fulfill(
            content_type="text/html", headers={"Content-Security-Policy": POLICY},
            body=f'<!doctype html><meta charset="utf-8"><body class="{kind}"><div id="cell"></div>'
                 f'<script nonce="host">{HOST}</script>',
        ))  # fmt: skip
        page.goto(PLACE)
        self._answers: queue.Queue[Any] = queue.Queue()
        self.widget = widget.show(engine)
        self.widget.send = self._answers.put  # type: ignore[method-assign, assignment]
        values = {name: getattr(self.widget, name) for name in ("key", "store", "chosen")}
        page.evaluate("([text, styles, values]) => start(text, styles, values)",
                      [widget.bundle(), widget.styles(), values])  # fmt: skip

    def carry(self) -> None:
        """What either side has said, to the other."""
        for message in self.page.evaluate("sent.splice(0)"):
            self.widget.hear(message)
        while not self._answers.empty():
            self.page.evaluate("message => deliver(message)", self._answers.get())

    def sees(self, selector: str) -> None:
        """Wait until it is there."""

        def there() -> bool:
            self.carry()
            return bool(self.page.locator(selector).first.is_visible())

        until(there, True, selector)

    def does(self, done: Callable[[], bool], what: str) -> None:
        """Wait until the kernel has done something."""

        def is_done() -> bool:
            self.carry()
            return done()

        until(is_done, True, what)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "home", tmp_path / "run") as engine:
        yield engine
        widget.close_all()
        for one in engine.containers(all=True):
            engine.remove(one, force=True)


@pytest.mark.parametrize("kind", ["vscode-dark", "vscode-light"])
def test_the_inspector_needs_nothing_but_the_model(engine: Engine, page: Any, kind: str) -> None:
    engine.build("FROM host:tiny\nRUN echo hello > /note\n", name="hello")
    command = ("sh", "-c", "trap 'exit 0' TERM; echo it runs; rm /note; while :; do sleep 0.05; done")
    engine.start(engine.create("hello", command, Options(name="web", memory=64 << 20)))
    told = complaints(page)
    bare = Bare(page, engine, kind)
    bare.sees(".sc-plate:has-text('hello')")
    page.click('.sc-glass:has-text("web")')
    bare.sees(".sc-lenses td:text-is('pid 1')")
    # What is asked goes by the model: a running cell keeps it waiting, and that would be said.
    assert page.inner_text(".sc-status") == "live; buttons wait until the running cell ends"
    assert faint(page) == []
    if LOOKED_AT:
        page.screenshot(path=str(Path(LOOKED_AT) / f"bare-{kind}.png"))
    page.click("[data-tab=files]")
    bare.sees('.sc-row[data-change=D]:has-text("note")')
    page.click("[data-tab=log]")
    bare.sees(".sc-log:has-text('it runs')")
    page.click("[data-tab=network]")
    bare.sees(".sc-network:has-text('which does not answer here')")
    page.click(".sc-detail .sc-terminal")
    bare.sees(".sc-dialog:has-text('sandcell exec -it web sh')")
    page.keyboard.press("Escape")
    page.click(".sc-detail .sc-stop")
    # The kernel is busy with a cell, as it were.
    page.wait_for_selector(".sc-status:text-is('queued until the cell ends')")
    assert engine.container("web").state == "running"
    bare.does(lambda: engine.container("web").state == "exited", "the stop")
    bare.sees('.sc-glass[data-state=exited]:has-text("web")')
    page.click(".sc-detail .sc-remove")
    bare.sees(".sc-dialog .sc-danger")
    page.click(".sc-dialog .sc-danger")
    bare.does(lambda: not engine.containers(all=True), "the removal")
    page.click(".sc-plate:has-text('hello')")
    page.click(".sc-detail .sc-save")
    bare.sees(".sc-dialog:has-text('sandcell save')")
    page.keyboard.press("Escape")
    assert page.evaluate("end()") == 0, "it listens no more"
    assert [url for url in bare.asked if url != PLACE and not url.startswith("blob:")] == []
    assert told == []
