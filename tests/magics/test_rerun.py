"""Running a cell again replaces what it made; other unnamed containers are bounded."""

from types import SimpleNamespace
from typing import Any

import pytest

from sandcell import magics
from sandcell.magics.rerun import KEPT, Reruns, cell_key
from tests.magics.conftest import Notebook


def names(notebook: Notebook) -> list[str]:
    """All containers, when the chores of the last cell are done."""
    notebook("%container ls")
    return [one.name for one in notebook.engine.containers(all=True)]


class Kernel:
    """What ipykernel tells of the request that runs: the front end's id of the cell."""

    def __init__(self) -> None:
        self.cell: str | None = None

    def get_parent(self) -> dict[str, Any]:
        return {"metadata": {"cellId": self.cell} if self.cell else {}}


@pytest.fixture
def kernel(notebook: Notebook) -> Any:
    notebook.shell.kernel = Kernel()
    yield notebook.shell.kernel
    del notebook.shell.kernel


def test_the_same_text_replaces_its_container_and_says_so(notebook: Notebook) -> None:
    notebook("%%container host\ntrue")
    first = names(notebook)
    ran = notebook("%%container host\ntrue")
    assert f"replaces {first[0]}" in ran.text
    assert len(names(notebook)) == 1
    assert names(notebook) != first


def test_another_text_is_another_cell_without_ids(notebook: Notebook) -> None:
    notebook("%%container host\ntrue")
    notebook("%%container host\ntrue # changed")
    assert len(names(notebook)) == 2


def test_with_ids_a_changed_cell_is_the_same_cell(notebook: Notebook, kernel: Kernel) -> None:
    kernel.cell = "a"
    notebook("%%container host\ntrue")
    kernel.cell = "b"
    notebook("%%container host\ntrue")
    assert len(names(notebook)) == 2
    kernel.cell = "a"
    ran = notebook("%%container host --memory 64m\necho changed")
    assert "replaces" in ran.text
    assert len(names(notebook)) == 2


def test_named_containers_are_never_replaced(notebook: Notebook, kernel: Kernel) -> None:
    kernel.cell = "a"
    notebook("%%container host --name one\ntrue")
    notebook("%%container host --name two\ntrue")
    assert names(notebook) == ["two", "one"]


def test_running_containers_are_never_replaced(notebook: Notebook, kernel: Kernel) -> None:
    kernel.cell = "a"
    notebook("%%container host -d\nsleep 9")
    notebook("%%container host\ntrue")
    notebook("%%container host\ntrue")
    assert len(names(notebook)) == 2
    assert len(notebook.engine.containers()) == 1


def test_a_named_one_from_a_rename_stays(notebook: Notebook, kernel: Kernel) -> None:
    kernel.cell = "a"
    notebook("%%container host\ntrue")
    import msgspec

    (made,) = notebook.engine.containers(all=True)
    renamed = msgspec.structs.replace(made.options, name="kept")
    notebook.engine._set(made, name="kept", options=renamed)
    notebook("%%container host\ntrue")
    assert "kept" in names(notebook)


def test_several_runs_in_one_cell_each_have_their_place(notebook: Notebook, kernel: Kernel) -> None:
    kernel.cell = "a"
    cell = "for n in range(3):\n    get_ipython().run_line_magic('container', 'run host true')"
    notebook(cell)
    first = names(notebook)
    assert len(first) == 3
    notebook(cell)
    assert len(names(notebook)) == 3
    assert not set(first) & set(names(notebook))


def test_a_new_session_replaces_what_the_same_cell_of_the_last_one_made(
    notebook: Notebook, kernel: Kernel
) -> None:
    kernel.cell = "a"
    notebook("%%container host\ntrue")
    first = names(notebook)
    magics.load(notebook.shell, notebook.engine)  # type: ignore[arg-type]
    ran = notebook("%%container host\ntrue")
    assert f"replaces {first[0]}" in ran.text
    assert len(names(notebook)) == 1


def test_the_newest_ten_unnamed_ones_stay(notebook: Notebook) -> None:
    notebook("%%container host --name kept\ntrue")
    for number in range(KEPT + 4):
        notebook(f"%%container host\necho {number}")
    found = names(notebook)
    assert len(found) == KEPT + 1
    assert "kept" in found


def test_one_that_never_started_is_replaced_too(notebook: Notebook, kernel: Kernel) -> None:
    kernel.cell = "a"
    for _ in range(3):
        notebook("%%container host --with nosuchprogram\nx")
    assert len(names(notebook)) == 1
    notebook("%%container host\ntrue")
    assert len(names(notebook)) == 1


def test_one_removed_by_somebody_else_is_no_error(notebook: Notebook) -> None:
    notebook("%%container host\ntrue")
    (made,) = notebook.engine.containers(all=True)
    notebook.engine.remove(made)
    ran = notebook("%%container host\ntrue")
    assert ran.error is None
    assert "replaces" not in ran.text


def test_keys_hold_across_restarts_only_with_an_id_from_the_front_end() -> None:
    kernel = Kernel()
    shell = SimpleNamespace(kernel=kernel)
    assert cell_key(shell, "s1", "0", "host", "x") != cell_key(shell, "s2", "0", "host", "x")
    kernel.cell = "abc"
    assert cell_key(shell, "s1", "0", "host", "x") == cell_key(shell, "s2", "0", "other", "y")
    assert cell_key(shell, "s1", "0", "", "") != cell_key(shell, "s1", "1", "", "")
    assert cell_key(SimpleNamespace(), "s", "0", "", "\ud800")


def test_what_is_to_go_is_told_once() -> None:
    reruns = Reruns("s")
    assert reruns.made("c", "1") == []
    assert reruns.made("c", "2") == ["1"]
    assert reruns.made("d", "3") == []
    assert reruns.labels("c") == {"sandcell.cell": "c", "sandcell.session": "s"}
