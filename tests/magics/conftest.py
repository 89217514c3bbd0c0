"""A real IPython shell in this process, with the magics over a fake engine."""

import atexit
import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell

from sandcell import magics
from tests.magics.fake_engine import FakeEngine


class Ran(msgspec.Struct):
    """What one cell did: its text on both streams, what it displayed, and how it failed."""

    out: str
    err: str
    shown: list[dict[str, Any]]
    error: BaseException | None

    @property
    def text(self) -> str:
        """The plain text of everything displayed."""
        return "\n".join(item["data"].get("text/plain", "") for item in self.shown)

    @property
    def html(self) -> str:
        """The HTML of everything displayed."""
        return "\n".join(item["data"].get("text/html", "") for item in self.shown)


class Notebook:
    """Runs cells as a notebook would, without a kernel."""

    def __init__(self, shell: InteractiveShell, engine: FakeEngine) -> None:
        self.shell = shell
        self.engine = engine
        self.publisher = CapturingDisplayPublisher()
        shell.display_pub = self.publisher

    @property
    def names(self) -> dict[str, Any]:
        return self.shell.user_ns

    def __call__(self, cell: str) -> Ran:
        self.publisher.outputs.clear()
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            result = self.shell.run_cell(cell, store_history=True)
        shown = [dict(item) for item in self.publisher.outputs]
        return Ran(out.getvalue(), err.getvalue(), shown, result.error_in_exec or result.error_before_exec)


@pytest.fixture
def engine(tmp_path: Path) -> FakeEngine:
    return FakeEngine(tmp_path)


@pytest.fixture
def notebook(engine: FakeEngine) -> Iterator[Notebook]:
    shell = InteractiveShell.instance()
    notebook = Notebook(shell, engine)
    magics.load(shell, engine)  # type: ignore[arg-type]
    yield notebook
    magics.unload(shell)
    for run in engine.runs:
        run.close()
    shell.history_manager.end_session()
    InteractiveShell.clear_instance()
    # Else each of some hundred shells collects garbage when the tests end: minutes.
    atexit.unregister(shell.atexit_operations)
