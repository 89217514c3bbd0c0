"""What ``./dev demo`` prints of a notebook."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sandcell.magics.demo import LESSON, Printer, main


def test_outputs_in_plain_form() -> None:
    screen = io.StringIO()
    printer = Printer(screen, color=False)
    printer.text("# Title")
    printer.source("one\ntwo")
    printer.outputs(
        [
            {"output_type": "stream", "name": "stdout", "text": "a\nb\n"},
            {"output_type": "display_data", "data": {"text/html": "<b>", "text/plain": "a card"}},
            {"output_type": "error", "traceback": ["\x1b[31mred\x1b[0m"]},
        ]
    )
    printer.outputs([])
    assert screen.getvalue() == "\n# Title\n\n    one\n    two\n  │ a\n  │ b\n  │ a card\n  │ red\n"


def test_a_notebook_that_is_not_there(capsys: Any, tmp_path: Path) -> None:
    assert main([str(tmp_path / "none.ipynb")]) == 1
    assert "is not there" in capsys.readouterr().err


def test_lessons_are_committed_without_outputs() -> None:
    for path in LESSON.parent.glob("*.ipynb"):
        for cell in json.loads(path.read_text())["cells"]:
            assert not cell.get("outputs"), f"{path.name}: {cell['id']}"
            assert cell.get("execution_count") is None


@pytest.mark.slow
@pytest.mark.notebook
def test_a_failing_cell_is_printed_and_ends_the_demo(tmp_path: Path) -> None:
    def cell(source: str) -> dict[str, Any]:
        made = {"cell_type": "code", "id": f"c{len(source)}", "metadata": {}, "outputs": []}
        return {**made, "execution_count": None, "source": source}

    cells = [cell("print('fine')"), cell("1/0 "), cell("print('never')")]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    notebook = {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    path = tmp_path / "n" / "x.ipynb"
    path.parent.mkdir()
    path.write_text(json.dumps(notebook))
    words = [sys.executable, "-m", "sandcell.magics.demo", str(path)]
    answer = subprocess.run(words, capture_output=True, text=True)
    assert answer.returncode == 1
    assert "    print('fine')\n  │ fine\n" in answer.stdout
    assert "ZeroDivisionError" in answer.stdout
    assert "never" not in answer.stdout
    assert answer.stdout.rstrip().endswith("./dev lab")
