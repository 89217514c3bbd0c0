"""A real Jupyter server with the extension, over a real engine with one small image."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_jupyter.jupyter_core import jp_asyncio_loop
from pytest_jupyter.jupyter_server import jp_server_cleanup

from sandcell import Engine

# The plugin's own again: see tests/conftest.py.
__all__ = ["jp_asyncio_loop", "jp_server_cleanup"]

DOCKERFILE = 'FROM host:tiny\nRUN echo hello > /note\nCMD ["sleep", "1000"]\n'


@pytest.fixture(scope="session")
def engine(session_folder: Path) -> Iterator[Engine]:
    """The engine that the tests look with; the server opens one of its own on the same store."""
    with Engine(session_folder / "server-home", session_folder / "server-run") as engine:
        engine.build(DOCKERFILE, name="small")
        yield engine
        for one in engine.containers(all=True):
            engine.remove(one, force=True)


@pytest.fixture
def clean(engine: Engine) -> Iterator[Engine]:
    """The engine without containers."""
    for one in engine.containers(all=True):
        engine.remove(one, force=True)
    yield engine
    for one in engine.containers(all=True):
        engine.remove(one, force=True)


@pytest.fixture
def jp_server_config(jp_server_config: Any) -> dict[str, Any]:
    return {"ServerApp": {"jpserver_extensions": {"sandcell": True, "jupyter_server_terminals": True}}}


@pytest.fixture
def room(jp_serverapp: Any, clean: Engine) -> Any:
    """The extension's room, with the tests' engine in it."""
    (app,) = jp_serverapp.extension_manager.extension_apps["sandcell"]
    room = app.room
    room._engine = clean
    return room
