"""Loading and unloading, help, errors, and drawings of the runtime's own values."""

import subprocess
import sys
from typing import Any

import pytest

from sandcell import magics
from sandcell.magics.complain import marked_lines
from sandcell.magics.tables import Diff
from sandcell.runtime.engine.values import Container, Result
from tests.magics.conftest import Notebook
from tests.magics.fake_engine import FakeEngine, change


def test_unloading_takes_everything_out_again(notebook: Notebook) -> None:
    shell = notebook.shell
    notebook("%image ls")
    magics.unload(shell)
    assert notebook.engine.closed
    for kind in ("cell", "line"):
        assert not {"image", "container", "sandcell"} & set(shell.magics_manager.magics[kind])
    assert not shell.input_transformers_cleanup or "sandcell" not in str(shell.input_transformers_cleanup)
    assert all("sandcell" not in str(matcher) for matcher in shell.Completer.custom_matchers)
    magics.unload(shell)


def test_loading_again_replaces(notebook: Notebook) -> None:
    magics.load(notebook.shell, FakeEngine(notebook.engine.room))  # type: ignore[arg-type]
    assert notebook.engine.closed
    assert len(notebook.shell.Completer.custom_matchers) <= 1
    assert notebook("%image ls").error is None


def test_the_engine_is_warmed_in_the_background(notebook: Notebook) -> None:
    notebook("%image ls")
    assert ("warm",) in notebook.engine.calls


@pytest.mark.slow
def test_loading_imports_little() -> None:
    code = (
        "import sys, msgspec\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "import sandcell.magics.session\n"
        "shell = InteractiveShell()\n"
        "sandcell.magics.session.Session.warm = lambda self: None\n"
        "before = set(sys.modules)\n"
        "shell.run_line_magic('load_ext', 'sandcell')\n"
        "print(*sorted(set(sys.modules) - before))\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    ours = {name for name in out if name.startswith("sandcell.runtime")}
    assert ours <= {
        "sandcell.runtime.errors", "sandcell.runtime.events",
        "sandcell.runtime.container", "sandcell.runtime.container.run_flags",
        "sandcell.runtime.oci", "sandcell.runtime.oci.reference", "sandcell.runtime.oci.digest",
    }  # fmt: skip
    assert not {"rich", "click", "ipywidgets", "httpx", "difflib", "isal"} & set(out)


@pytest.mark.parametrize("magic", ["%%image", "%%container", "%container", "%image", "%sandcell"])
def test_question_mark_shows_complete_help(notebook: Notebook, magic: str) -> None:
    text = notebook(f"{magic}?").out
    expected = {"%%image": "--build-arg K=V", "%%container": "--no-raise-error", "%sandcell": "doctor"}
    assert expected.get(magic, "VERB --help") in text


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((2, 2), ["      1 | FROM a", "  >   2 | RUN b \\", "      3 |   c", "      4 | CMD d"]),
        ((2, 3), ["      1 | FROM a", "  >   2 | RUN b \\", "  >   3 |   c", "      4 | CMD d"]),
        ((0, 0), []),
    ],
)
def test_lines_at_fault_are_marked(lines: tuple[int, int], expected: list[str]) -> None:
    assert marked_lines("FROM a\nRUN b \\\n  c\nCMD d\n", lines) == expected


def test_a_long_instruction_at_fault_is_cut() -> None:
    cell = "FROM a\n" + "RUN x \\\n" * 50 + "  y\n"
    shown = marked_lines(cell, (2, 52))
    assert len(shown) < 16
    assert shown[-1].strip() == "…"


def test_lines_beyond_the_cell_come_from_the_error() -> None:
    assert marked_lines("", (7, 7), "RUN y") == ["  >   7 | RUN y"]


def test_errors_keep_their_type_and_tell_themselves(notebook: Notebook) -> None:
    ran = notebook(
        "from sandcell.runtime.errors import ImageNotFound\n"
        "try:\n    get_ipython().run_line_magic('image', 'history nope')\n"
        "except ImageNotFound as error:\n    print(error.object)"
    )
    assert ran.out == "nope\n"


def test_mistakes_of_ours_keep_their_traceback(notebook: Notebook) -> None:
    notebook.engine.images = lambda filters: 1 / 0  # type: ignore[method-assign, assignment, return-value]
    ran = notebook("%image ls")
    assert isinstance(ran.error, ZeroDivisionError)
    assert "Traceback" in ran.out


def drawn(notebook: Notebook, value: Any) -> dict[str, str]:
    data, _ = notebook.shell.display_formatter.format(value)
    return dict(data)


def test_values_of_the_runtime_are_drawn(notebook: Notebook) -> None:
    notebook("%%container host --name web --as r\necho hi")
    container: Container = notebook.engine.container("web")
    result: Result = notebook.names["r"]
    image = notebook.engine.image("host")
    for value, told in (
        (image, "image"),
        (image.layers[0], "layer"),
        (container, "container web"),
        (result, "result  exit 0"),
        (notebook.engine.explain("host"), "plan: a container"),
        (Diff("web", (change("A", "x"),)), "changes in web: +1"),
    ):
        data = drawn(notebook, value)
        assert data["text/plain"].startswith(told), told
        assert data["text/html"].startswith("<div"), told
    assert "FROM host" in drawn(notebook, container)["text/html"]


def test_a_container_that_is_gone_is_still_drawn(notebook: Notebook) -> None:
    notebook("%%container host --name web --as r\ntrue")
    container = notebook.engine.container("web")
    notebook.engine.remove(container)
    assert drawn(notebook, container)["text/plain"].startswith("container web")


def test_drawings_end_with_unloading(notebook: Notebook) -> None:
    image = notebook.engine.image("host")
    drawn(notebook, image)
    magics.unload(notebook.shell)
    assert "text/html" not in drawn(notebook, image)


def test_values_of_the_runtime_come_alive(notebook: Notebook) -> None:
    notebook("%image ls")
    made = notebook.engine.create("host")
    result = Result(status=0, stdout=b"", stderr=b"", duration=1.0, container=made)
    for value in (made, result, Diff(made.name, ())):
        value.live()  # type: ignore[union-attr]
        assert made.name in "".join(str(one["data"]) for one in notebook.publisher.outputs)
        notebook.publisher.outputs.clear()
    magics.unload(notebook.shell)
    assert not hasattr(result, "live")
