"""What a command loads, because what it loads is what it costs."""

import subprocess
import sys

import pytest

_LISTED = """
import sys
from sandcell.runtime.cli import main
main(sys.argv[1:])
print(*sys.modules, sep="\\n")
"""


def loaded_by(*words: str) -> set[str]:
    """The modules that a process has after carrying out that command."""
    answer = subprocess.run(
        [sys.executable, "-c", _LISTED, *words], capture_output=True, text=True, check=True
    )
    return set(answer.stdout.split("\n"))


@pytest.mark.slow
def test_help_loads_no_verb_and_no_engine() -> None:
    ours = {name for name in loaded_by("--help") if name.startswith("sandcell")}
    assert ours == {
        "sandcell",
        "sandcell.runtime",
        "sandcell.runtime.cli",
        "sandcell.runtime.cli.door",
        "sandcell.runtime.cli.group",
    }


@pytest.mark.slow
def test_ps_loads_neither_the_store_nor_what_makes_containers() -> None:
    loaded = loaded_by("ps")
    heavy = {"rich", "asyncio", "hashlib", "json", "isal", "subprocess", "tempfile", "http"}
    rooms = {f"sandcell.runtime.{room}" for room in ("store", "layer", "build", "engine.birth")}
    assert not loaded & (heavy | rooms)
