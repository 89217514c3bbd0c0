"""Plays lessons in an IPython shell of this process, cell by cell, as a learner who predicts.

``python -m tests.lessons.play [LESSON…]`` prints one JSON object for each cell. Predictions are what was
recorded, so that everything is right where nothing is special about the host.
"""

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from sandcell.magics.lesson.recording import Output, load

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
NAMES = [path.stem for path in sorted(NOTEBOOKS.glob("*.ipynb"))]
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
ASKED = re.compile(r'lesson\.predict\("([\w-]+)",.*answer=""\)')
CHECKED = re.compile(r'@lesson\.check\(\s*"([\w-]+)"')


class Played(msgspec.Struct):
    """A cell that was run: what it ``said`` in plain text, and the ``error`` that ended it, if any."""

    lesson: str
    cell: str
    source: str
    said: str
    error: str = ""
    outputs: tuple[Output, ...] = ()

    @property
    def question(self) -> str:
        """What the cell checks, empty when it checks nothing."""
        found = CHECKED.search(self.source)
        return found[1] if found else ""


def cells_of(name: str) -> list[tuple[str, str]]:
    """The code cells of a lesson: (id, source)."""
    notebook = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text())
    return [(c["id"], "".join(c["source"])) for c in notebook["cells"] if c["cell_type"] == "code"]


def answers_of(name: str) -> dict[str, str]:
    """The recorded answers of a lesson, by question."""
    return load(name[:2]).observed


def answered(source: str, answers: dict[str, str]) -> str:
    """A cell with the prediction written into it."""
    asked = ASKED.search(source)
    if asked is None or asked[1] not in answers:
        return source
    return source.replace('answer=""', f'answer="{answers[asked[1]]}"')


Day = dict[str, list[Played]]
"""Lesson → its cells as they were played."""


def day(printed: str) -> Day:
    """What a process that played lessons printed."""
    found: Day = {name: [] for name in NAMES}
    for line in printed.splitlines():
        played = msgspec.json.decode(line, type=Played)
        found[played.lesson].append(played)
    return found


def _tell(played: Played) -> None:
    print(msgspec.json.encode(played).decode(), flush=True)


def _text(shown: Any, kind: str) -> str:
    return str.__str__(shown.data.get(kind, ""))


class Player:
    """One shell, which is one kernel to the lessons."""

    def __init__(self) -> None:
        from IPython.core.interactiveshell import InteractiveShell
        from traitlets.config import Config

        quiet = Config({"HistoryManager": {"enabled": False}, "InteractiveShell": {"colors": "NoColor"}})
        self.shell: Any = InteractiveShell.instance(config=quiet)

    @property
    def rung(self) -> str:
        """On which rung the lesson that runs stands."""
        rung: str = self.shell.user_ns["engine"].host.rung
        return rung

    def run(self, lesson: str, id: str, source: str) -> Played:
        """Run one cell."""
        from IPython.utils.capture import capture_output

        with capture_output() as seen:
            done = self.shell.run_cell(source, store_history=True)
        shown = [Output(_text(one, "text/plain"), _text(one, "text/html")) for one in seen.outputs]
        written = _ANSI.sub("", seen.stdout + seen.stderr)
        outputs = [Output(written), *shown] if written else shown
        error = done.error_before_exec or done.error_in_exec
        said = "\n".join(one.text for one in outputs)
        return Played(lesson, id, source, said, repr(error) if error else "", tuple(outputs))

    def play(self, name: str, answers: dict[str, str] | None = None) -> Iterator[Played]:
        """Run the cells of a lesson from top to bottom, predicting ``answers``."""
        for id, source in cells_of(name):
            yield self.run(name, id, answered(source, answers or {}))

    def end(self) -> None:
        """As when a kernel is shut down."""
        from sandcell import magics

        magics.unload(self.shell)
        self.shell.reset(new_session=False, aggressive=False)


def twice(names: list[str]) -> None:
    """Play each lesson twice in one shell. The second time, each check is looked at again after what it is
    about was changed; that line is marked by ``again:`` before the cell's name."""
    from tests.lessons.mutations import MUTATIONS

    player = Player()
    sys.stdout = sys.__stdout__
    for name in names:
        answers = answers_of(name)
        for number in (1, 2):
            for played in player.play(name, answers):
                _tell(played)
                question = played.question or ("quiz" if "solutions" in played.cell else "")
                if number == 1 or not question:
                    continue
                engine = player.shell.user_ns["engine"]
                undo = MUTATIONS[name[:2], question](engine, player.shell.user_ns)
                for _ in undo or [None]:
                    again = player.run(name, f"again:{played.cell}", played.source)
                    _tell(again)
    player.end()


def main(names: list[str], *, leave: bool = False) -> None:
    """Play the lessons ``names`` one after the other in one shell; ``leave`` out their last cells, which
    clear up."""
    _some(names, lambda lesson, id, source: not (leave and id == "clean"))


REDONE = {
    "02": {"create", "start", "count", "stop", "again", "kill", "remove", "new"},
    "04": {"watch", "rebuild", "swapped"},
    "05": {id for id, _ in cells_of("05_registries")},
    "08": {"web", "talk"},
    "09": {"memory", "cpu"},
    "11": {"program", "by-hand"},
    "12": {"functions"},
}
"""What to run in a new kernel before a lesson's checks look anew: functions, a registry that ended with the
kernel, experiments that were undone or done again under the same name later in the lesson, and what some
hosts refuse, for a recording is shown only where something was refused."""


def restarted(names: list[str]) -> None:
    """Go on with lessons that another process has left: load, look at each question anew, clear up."""

    def needed(lesson: str, id: str, source: str) -> bool:
        return id in {"load", "clean", *REDONE.get(lesson[:2], ())} or "@lesson.check" in source

    _some(names, needed)


def _some(names: list[str], which: Callable[[str, str, str], bool]) -> None:
    player = Player()
    sys.stdout = sys.__stdout__
    for name in names:
        for id, source in cells_of(name):
            if which(name, id, source):
                _tell(player.run(name, id, answered(source, answers_of(name))))
    player.end()


if __name__ == "__main__":
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    main(sys.argv[1:] or NAMES)
