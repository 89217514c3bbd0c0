"""The inspector's JavaScript: files that are modules by themselves, and one module for the widget."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sandcell.magics.inspector.widget import STATIC, bundle, styles

FILES = sorted(STATIC.glob("*.js"))
TOP = re.compile(r"^(?:export )?(?:async )?(?:function|class|const|let) (\w+)", re.MULTILINE)
IMPORT = re.compile(r'^import \{ (.*) \} from "\./(\w+\.js)";$', re.MULTILINE)
EXPORT = re.compile(r"^export (?:function|class|const) (\w+)", re.MULTILINE)


def test_names_at_the_top_are_unique_so_that_files_can_be_joined() -> None:
    names = [name for path in FILES for name in TOP.findall(path.read_text())]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_import_is_of_something_that_is_there_and_used(path: Path) -> None:
    text = path.read_text()
    assert len(IMPORT.findall(text)) == len(re.findall(r"^import", text, re.MULTILINE))
    for names, source in IMPORT.findall(text):
        exported = EXPORT.findall((STATIC / source).read_text())
        for name in names.split(", "):
            assert name in exported, f"{source} has no {name}"
            assert len(re.findall(rf"\b{name}\b", text)) > 1, f"{name} is not used"


@pytest.mark.parametrize("path", [*FILES, *STATIC.glob("*.css")], ids=lambda path: path.name)
def test_nothing_turns_text_into_a_page_and_files_stay_small(path: Path) -> None:
    text = path.read_text()
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert word not in text
    assert len(text.splitlines()) <= 300
    assert not re.search(r"https?://(?!www\.w3\.org/)", text), "nothing is fetched from elsewhere"


def test_the_widget_is_one_module_without_imports() -> None:
    text = bundle()
    assert "import {" not in text
    assert re.findall(r"^export .*", text, re.MULTILINE) == ["export default { render };"]
    assert text.index("class State") < text.index("class Inspector") < text.index("async function render")
    assert len(text) < 120_000
    assert ".sc-glass" in styles()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_joined_module_is_javascript(tmp_path: Path) -> None:
    place = tmp_path / "bundle.mjs"
    place.write_text(bundle())
    done = subprocess.run(["node", "--check", place], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
