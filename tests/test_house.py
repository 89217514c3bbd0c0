"""The whole checkout keeps the rules of the house; and the rules notice when it does not."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import house

CHECKOUT = Path(__file__).resolve().parent.parent
CODE = ("runtime", "magics")


def files(pattern: str, *folders: str) -> list[tuple[str, str]]:
    """(path, text) of the files below ``folders`` that match ``pattern``."""
    paths = sorted(path for folder in folders for path in (CHECKOUT / folder).rglob(pattern))
    assert paths, f"no {pattern} below {folders}"
    return [(str(path.relative_to(CHECKOUT)), path.read_text()) for path in paths if path.is_file()]


def succeeds(*argv: str, timeout: float = 300) -> None:
    """Run a tool of the test environment in the checkout; its output is the failure."""
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@pytest.mark.slow
def test_ruff() -> None:
    succeeds(sys.executable, "-m", "ruff", "check", "--no-cache", ".")


@pytest.mark.slow
def test_format() -> None:
    succeeds(sys.executable, "-m", "ruff", "format", "--check", "--no-cache", ".")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_types() -> None:
    succeeds(sys.executable, "-m", "mypy")


@pytest.mark.slow
def test_imports_go_one_way() -> None:
    succeeds(str(Path(sys.executable).with_name("lint-imports")), "--no-cache")


@pytest.mark.parametrize("check", [house.too_long, house.unfinished, house.undocumented])
def test_code(check: Callable[[str, str], list[str]]) -> None:
    assert [line for path, text in files("*.py", *CODE) for line in check(path, text)] == []


def test_names() -> None:
    assert [line for path, _ in files("*.py", *CODE, "tests") for line in house.bad_name(path)] == []


@pytest.mark.parametrize("check", [house.too_long, house.patched])
def test_tests(check: Callable[[str, str], list[str]]) -> None:
    # A benchmark waits on purpose: it measures what comes after an idle gap.
    judged = [(path, text) for path, text in files("*.py", "tests") if not path.startswith("tests/bench/")]
    assert [line for path, text in judged for line in check(path, text)] == []


def test_notebooks_are_committed_without_outputs() -> None:
    assert [
        line for path, text in files("*.ipynb", "notebooks") for line in house.with_outputs(path, text)
    ] == []


@pytest.mark.parametrize(
    ("check", "text", "word"),
    [
        (house.too_long, "x\n" * 451, "451"),
        (house.unfinished, "x = 1  # " + house.UNFINISHED[0], ":1:"),
        (house.undocumented, "x = 1", "no docstring"),
        (house.undocumented, '"""Doc."""\ndef f(): pass', "f has no docstring"),
        (house.undocumented, '"""Doc."""\nclass C:\n    """Doc."""\n    def m(self): pass', "m has no"),
        (house.patched, "def test(monkeypatch): pass", "monkeypatch"),
        (house.patched, "from unittest.mock import patch", "mock"),
        (house.patched, "import time\ntime.sleep(1)", "sleeps"),
        (
            house.with_outputs,
            json.dumps({"cells": [{"cell_type": "code", "outputs": [], "execution_count": 3}]}),
            "execution count",
        ),
        (
            house.with_outputs,
            json.dumps({"cells": [{"cell_type": "code", "outputs": ["x"]}]}),
            "outputs",
        ),
    ],
)
def test_the_rules_notice(check: Callable[[str, str], list[str]], text: str, word: str) -> None:
    (line,) = check("file.py", text)
    assert word in line


def test_the_rules_let_good_files_pass() -> None:
    good = (
        '"""Doc."""\n\n\ndef f() -> None:\n    """Doc."""\n\n\nclass _Hidden:\n    def m(self) -> None: ...\n'
    )
    for check in (house.too_long, house.unfinished, house.undocumented, house.patched):
        assert check("file.py", good) == []
    waits = "import time\ndef until(condition):\n    while not condition(): time.sleep(0.01)"
    assert house.patched("file.py", waits) == []
    base = '"""Doc."""\nclass B:\n    """Doc."""\n    def m(self):\n        """Doc."""\n'
    assert house.undocumented("f", base + 'class C(B):\n    """Doc."""\n    def m(self): ...') == []
    assert len(house.undocumented("f", base + 'class C(B):\n    """Doc."""\n    def n(self): ...')) == 1
    assert house.bad_name("runtime/oci/digest.py") == []
    assert house.bad_name("runtime/utils/digest.py") == ["runtime/utils/digest.py: utils says nothing"]
    cell = {"cell_type": "code", "outputs": [], "execution_count": None}
    assert house.with_outputs("n", json.dumps({"cells": [cell, {"cell_type": "markdown"}]})) == []


def loaded_by(statement: str) -> set[str]:
    """The modules that a bare interpreter has after ``statement`` and had not before."""
    program = (
        f"import sys; sys.path[:0] = {sys.path!r}\nbefore = set(sys.modules)\n"
        f"{statement}\nprint(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], cwd=CHECKOUT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_door_is_light() -> None:
    loaded = loaded_by("import sandcell, sandcell.runtime")
    ours = {name for name in loaded if name.partition(".")[0] == "sandcell"}
    assert ours == {"sandcell", "sandcell.runtime"}
    others = {name.partition(".")[0] for name in loaded - ours}
    assert others - set(sys.stdlib_module_names) == set()
    assert not others & {"asyncio", "subprocess", "ctypes", "json", "pathlib", "inspect", "dataclasses"}


# A container's way to life is paid for in the spawner. Beside sandcell and msgspec, with what that
# brings along, it may load light modules of the standard library only.
HEAVY = {
    "asyncio", "click", "concurrent", "dataclasses", "email", "http", "importlib.metadata", "inspect",
    "IPython", "isal", "logging", "multiprocessing", "pathlib", "pyroute2", "requests", "rich", "shutil",
    "ssl", "subprocess", "tempfile", "traitlets", "unittest", "urllib", "zipfile",
}  # fmt: skip


@pytest.mark.parametrize("module", ["spawner", "monitor", "mapped", "exec", "inside"])
def test_the_spawner_is_light(module: str) -> None:
    loaded = loaded_by(f"import sandcell.runtime.container.{module}") - loaded_by("import msgspec")
    tops = {name.partition(".")[0] for name in loaded}
    assert tops - set(sys.stdlib_module_names) == {"sandcell"}
    assert loaded & HEAVY == set()


def test_the_light_test_sees_heavy_modules() -> None:
    assert {"click", "pathlib", "inspect"} <= loaded_by("import click, pathlib")


def test_dev_says_what_it_can_do() -> None:
    done = subprocess.run([CHECKOUT / "dev", "help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert all(f"./dev {verb}" in done.stdout for verb in ("demo", "lab", "test", "bench"))


def test_dev_refuses_what_it_does_not_know() -> None:
    done = subprocess.run([CHECKOUT / "dev", "tset"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "no such command: tset" in done.stderr


def test_dev_is_plain_posix_shell() -> None:
    succeeds("sh", "-n", "dev")
    assert (CHECKOUT / "dev").read_text().startswith("#!/bin/sh\n")
