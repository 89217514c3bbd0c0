"""The lessons, executed with their solutions: twice in one kernel, and once by somebody without rights.

What a lesson observes comes from the runtime; a test fills in the right predictions and sees that each
check says so, and fills in a wrong one and sees that it does not.
"""

import re
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from sandcell import Engine
from sandcell.magics.demo import LESSON
from tests.plain_user import PlainUser

pytestmark = [pytest.mark.slow, pytest.mark.notebook, pytest.mark.kernel, pytest.mark.timeout(300)]

FOLDER = LESSON.parent
SOLUTIONS = {
    "01_image_to_containers": {"guess-diary": "no", "guess-one": "yes", "guess-end": "exited"},
    "02_a_containers_life": {"guess-counter": "1", "guess-others": "running", "guess-lost": "0"},
    "03_images_never_change": {
        "guess-write": "same",
        "guess-again": "same",
        "guess-share": "1",
        "guess-tag": "yes",
    },
    "04_built_from_instructions": {
        "guess-layers": "3",
        "guess-cache": "cache",
        "guess-copy": "copy",
        "guess-order": "copy and run",
    },
    "05_registries": {"guess-digest": "same", "guess-sent": "1", "guess-tamper": "error"},
    "06_what_is_in_an_image": {"guess-layer": "new", "guess-delete": "not smaller", "guess-once": "no"},
    "07_one_kernel_many_worlds": {"guess-kernel": "same", "guess-namespaces": "1", "guess-see": "no"},
    "08_networks_and_ports": {"guess-interfaces": "1", "guess-port": "published", "guess-talk": "yes"},
    "09_limits_and_cost": {"guess-memory": "killed", "guess-cpu": "2", "guess-start": "hundredth"},
    "10_what_keeps_it_in": {"guess-clock": "refused", "guess-calls": "0", "guess-user": "root"},
    "11_by_hand": {"guess-pid": "1", "guess-upper": "both"},
    "12_your_own": {"guess-guests": "2", "guess-layers": "no", "guess-version": "1"},
}
FOR_A_PLAIN_USER = {
    "guess-talk": "not possible on this host",
    "guess-memory": "not possible on this host",
    "guess-cpu": "not possible on this host",
    "guess-user": "plain user",
}
"""What is observed instead by somebody without rights, on a host that hands out no control groups."""


def _solved(name: str, solutions: dict[str, str]) -> Any:
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    for cell in notebook.cells:
        if cell.id in solutions:
            cell.source = cell.source.replace('guess = ""', f'guess = "{solutions[cell.id]}"')
    return notebook


def _execute(notebook: Any, times: int = 1) -> list[str]:
    """All that the code cells print, for each time in one kernel."""
    client = NotebookClient(notebook, timeout=200, resources={"metadata": {"path": str(FOLDER.parent)}})
    printed = []
    with client.setup_kernel():
        for _ in range(times):
            for index, cell in enumerate(notebook.cells):
                if cell.cell_type == "code":
                    client.execute_cell(cell, index)
            streams = [one for cell in notebook.cells for one in cell.get("outputs", ())]
            printed.append("".join(one["text"] for one in streams if one["output_type"] == "stream"))
    return printed


@pytest.mark.parametrize("name", SOLUTIONS)
def test_a_lesson_is_true_twice_in_one_kernel(name: str) -> None:
    solutions = SOLUTIONS[name]
    for printed in _execute(_solved(name, solutions), 2):
        assert re.findall(r"You predicted: (.+)\. That is right\.", printed) == list(solutions.values())
    left = [container.name for container in Engine().containers(all=True)]
    assert not [one for one in left if one.startswith(f"lesson{name[:2]}")]


def test_a_wrong_prediction_gets_its_explanation() -> None:
    wrong = {"guess-write": "different", "guess-again": "different", "guess-share": "2", "guess-tag": "no"}
    (printed,) = _execute(_solved("03_images_never_change", wrong))
    assert printed.count("That is a good mistake to make here.") == len(wrong)
    assert "A name is no part of an image." in printed


def test_committed_without_outputs_and_each_prediction_has_a_solution() -> None:
    for path in sorted(FOLDER.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        assert not [cell.id for cell in notebook.cells if cell.get("outputs")], path.name
        asked = [cell.id for cell in notebook.cells if 'guess = ""' in cell.source]
        assert path.stem == LESSON.stem or asked == list(SOLUTIONS[path.stem]), path.name


@pytest.fixture(scope="module")
def places(plain_user: PlainUser) -> dict[str, str]:
    """One store for all lessons of the plain user, as a learner has it."""
    home, run = plain_user.directory("lessons"), plain_user.directory("lessons-run")
    return {"SANDCELL_HOME": str(home), "SANDCELL_RUN": str(run)}


@pytest.mark.rootless
@pytest.mark.parametrize("name", SOLUTIONS)
def test_a_lesson_is_true_for_a_plain_user(plain_user: PlainUser, places: dict[str, str], name: str) -> None:
    code = f"from sandcell.magics import demo; demo.main([str(demo.LESSON.parent / '{name}.ipynb')])"
    printed = plain_user.run(code, env=places, timeout=200)
    for question, text in SOLUTIONS[name].items():
        assert f"Observed: {FOR_A_PLAIN_USER.get(question, text)}." in printed
    assert re.search(r"(containers|images) left: ", printed)


def test_every_drawing_is_told_in_words() -> None:
    for path in sorted(FOLDER.glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "markdown" and "```text" in cell.source:
                assert "*In words: " in cell.source, (path.name, cell.id)
