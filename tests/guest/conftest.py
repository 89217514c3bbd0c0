"""The guest begins as soon as it is known that its tests are wanted, and works while others run."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guest.boot import CHECKOUT, NONE, SECONDS

_begun: list[tuple[subprocess.Popen[str], tempfile.TemporaryDirectory[str]]] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Ask it last."""
    items.sort(key=lambda item: _setting(item) is not None)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start it, to check the settings of which a test was chosen."""
    settings = {setting for item in session.items if (setting := _setting(item))}
    if not settings or session.config.option.collectonly:
        return
    folder = tempfile.TemporaryDirectory(prefix="sandcell-guest-")
    argv = [sys.executable, "-m", "tests.guest.boot", folder.name, ",".join(sorted(settings))]
    pipe = subprocess.PIPE
    begun = subprocess.Popen(
        argv, cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True
    )
    _begun.append((begun, folder))


def _setting(item: pytest.Item) -> str | None:
    if Path(__file__).parent not in item.path.parents or not isinstance(item, pytest.Function):
        return None
    return str(item.callspec.params.get("setting", "")) if hasattr(item, "callspec") else None


def pytest_unconfigure() -> None:
    """End it, if nobody waited for its end."""
    for begun, folder in _begun:
        if begun.poll() is None:
            begun.terminate()
            begun.communicate()
        folder.cleanup()


@pytest.fixture(scope="session")
def report() -> Iterator[dict[tuple[str, str], str]]:
    """(setting, claim) → why it does not hold, empty where it does; of the settings that are tested."""
    begun, folder = _begun[0]
    said, why = begun.communicate(timeout=SECONDS + 200)
    if begun.returncode == NONE:
        pytest.skip(why.strip())
    verdicts = {}
    for line in said.splitlines():
        words = line.split("\t")
        if len(words) == 5:
            verdicts[words[0], words[1]] = "" if words[2] == "ok" else words[4].replace("\x1f", "\n")
    if not verdicts:
        console = Path(folder.name, "console")
        last = console.read_text(errors="replace")[-4000:] if console.exists() else ""
        pytest.fail(f"the guest reported nothing: {said}{why}\n{last}")
    yield verdicts
