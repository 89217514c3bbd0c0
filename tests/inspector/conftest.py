"""One browser for all tests that look at the inspector, in the JupyterLab of the whole run."""

from collections.abc import Iterator
from typing import Any

import pytest

from sandcell import Engine
from tests.jupyter_lab import Lab, browsing


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """No longer than a module: its event loop must not be there when a server wants one."""
    with browsing() as browser:
        yield browser


@pytest.fixture
def engine(lab: Lab) -> Iterator[Engine]:
    """An engine on the store of the lab, empty but for its images."""
    with Engine(lab.home, lab.run) as engine:
        for one in engine.containers(all=True):
            engine.remove(one, force=True)
        yield engine
        for one in engine.containers(all=True):
            engine.remove(one, force=True)


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1250, "height": 1000}, color_scheme="light")
    yield context.new_page()
    context.close()
