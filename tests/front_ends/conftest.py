"""The browser, and the oldest Jupyter that is supported, for what is looked at in real front ends."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.front_ends.oldest import Oldest
from tests.jupyter_lab import Lab, browsing, serving


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """No longer than a module: its event loop must not be there when a server wants one."""
    with browsing() as browser:
        yield browser


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1000, "height": 1000}, color_scheme="light")
    yield context.new_page()
    context.close()


@pytest.fixture(scope="session")
def oldest(tmp_path_factory: pytest.TempPathFactory) -> Oldest:
    """Skips, with the reason, where it cannot be had."""
    return Oldest.get(Path(sys.executable), tmp_path_factory.mktemp("oldest"))


@pytest.fixture(scope="session")
def oldest_lab(oldest: Oldest, session_folder: Path) -> Iterator[Lab]:
    """The oldest JupyterLab, with the wheel installed."""
    place = session_folder / "oldest"
    (place / "notebooks").mkdir(parents=True)
    with serving(place, place / "notebooks", python=str(oldest.python), env=oldest.env) as lab:
        yield lab
