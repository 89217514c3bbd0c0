"""Lesson 00 executed twice in one kernel, its claims checked from outside of it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import nbformat
import pytest
from nbclient import NotebookClient

from sandcell import Engine
from sandcell.magics.demo import LESSON
from tests.plain_user import PlainUser

pytestmark = [pytest.mark.slow, pytest.mark.notebook, pytest.mark.kernel, pytest.mark.timeout(300)]

WORLDS = ("pid", "mnt", "uts", "net", "ipc")


class Seen(msgspec.Struct):
    """What was seen from outside while the notebook ran once."""

    digest: str = ""
    digests: list[str] = []
    layers: list[int] = []
    inner_pids: list[str] = []
    shared_worlds: list[str] = []
    sleeper_alive: bool = False
    printed: dict[str, str] = {}
    left: list[str] = []


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """The same store as the notebook's, asked by another process."""
    with Engine() as engine:
        yield engine


@pytest.fixture(scope="module")
def rounds(engine: Engine) -> list[Seen]:
    """Both times: all cells in order, and a look from outside after some."""
    notebook = nbformat.read(LESSON, as_version=4)
    client = NotebookClient(
        notebook, timeout=200, resources={"metadata": {"path": str(LESSON.parent.parent)}}
    )
    rounds = []
    with client.setup_kernel():
        for _ in range(2):
            seen = Seen()
            for index, cell in enumerate(notebook.cells):
                if cell.cell_type == "code":
                    client.execute_cell(cell, index)
                    seen.printed[cell.id] = _text(cell.outputs)
                    if cell.id in _LOOKS:
                        _LOOKS[cell.id](engine, seen)
            rounds.append(seen)
    return rounds


def _text(outputs: list[dict[str, Any]]) -> str:
    return "".join(
        output["text"] if output["output_type"] == "stream" else output["data"].get("text/plain", "")
        for output in outputs
    )


def _after_build(engine: Engine, seen: Seen) -> None:
    seen.digest = engine.image("lesson00").digest


def _after_sleeper(engine: Engine, seen: Seen) -> None:
    pid = engine.container("lesson00-sleeper").pid
    status = Path(f"/proc/{pid}/status").read_text()
    seen.inner_pids = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[-1:]
    seen.shared_worlds = [
        world
        for world in WORLDS
        if os.readlink(f"/proc/{pid}/ns/{world}") == os.readlink(f"/proc/self/ns/{world}")
    ]


def _after_outside(engine: Engine, seen: Seen) -> None:
    pid = engine.container("lesson00-sleeper").pid
    seen.sleeper_alive = f"process {pid}: " in seen.printed["outside"]


def _after_commit(engine: Engine, seen: Seen) -> None:
    images = [engine.image("lesson00"), engine.image("lesson00:changed")]
    seen.digests = [image.digest for image in images]
    seen.layers = [len(image.layers) for image in images]


def _after_clean(engine: Engine, seen: Seen) -> None:
    seen.left = [c.name for c in engine.containers(all=True) if c.image.startswith("lesson00")]
    seen.left += [entry.name for entry in engine.images() if entry.name == "lesson00:changed"]


_LOOKS: dict[str, Callable[[Engine, Seen], None]] = {
    "build": _after_build,
    "sleeper": _after_sleeper,
    "outside": _after_outside,
    "commit": _after_commit,
    "clean": _after_clean,
}


def test_the_image_never_changes(rounds: list[Seen]) -> None:
    first, second = rounds
    assert first.digest == first.digests[0] == second.digest == second.digests[0]


def test_a_commit_is_a_new_image_on_the_same_layers(rounds: list[Seen]) -> None:
    for seen in rounds:
        assert seen.digests[0] != seen.digests[1]
        assert seen.layers[1] == seen.layers[0] + 1
        assert f"{seen.layers[0]} of them the same" in seen.printed["compare"]


def test_the_sleeping_process_is_number_one_in_worlds_of_its_own(rounds: list[Seen]) -> None:
    for seen in rounds:
        assert seen.inner_pids == ["1"]
        assert seen.shared_worlds == []
        assert seen.sleeper_alive
        assert "process 1: sleep 1000" in seen.printed["inside"]


def test_deleting_inside_deletes_nothing_outside(rounds: list[Seen]) -> None:
    assert Path("/usr").is_dir()
    assert Path("/etc/passwd").is_file()
    assert not Path("/added.txt").exists()
    for seen in rounds:
        assert "Observed: there." in seen.printed["check-files"]
        assert "I am a file of the image." in seen.printed["again"]


def test_the_change_is_shown_and_kept_in_the_new_image_only(rounds: list[Seen]) -> None:
    for seen in rounds:
        assert "+ /added.txt" in seen.printed["diff"]
        assert "- /note.txt" in seen.printed["diff"]
        assert "I was added later." in seen.printed["proof-new"]
        assert "I was added later." not in seen.printed["proof-old"]


def test_nothing_stays_but_the_image(rounds: list[Seen], engine: Engine) -> None:
    assert [seen.left for seen in rounds] == [[], []]
    assert "lesson00:latest" in [entry.name for entry in engine.images()]


@pytest.mark.rootless
def test_a_plain_user_can_run_it_too(plain_user: PlainUser) -> None:
    code = "from sandcell.magics.demo import main; import sys; sys.exit(main([]))"
    home, run = plain_user.directory("lesson"), plain_user.directory("lesson-run")
    env = {"SANDCELL_HOME": str(home), "SANDCELL_RUN": str(run)}
    printed = plain_user.run(code, env=env, timeout=200)
    assert printed.count("Observed: ") == 3
    assert "containers left: []" in printed
