"""Records what the lessons show on this host, for hosts that cannot: ``python -m tests.lessons.record``.

To be run as root on a machine where everything is allowed, when a lesson was changed. In namespaces of
hostname and store of its own: ``unshare --uts sh -c 'hostname laptop; exec python -m tests.lessons.record'``.
"""

import platform
import re
import sys

import msgspec

from sandcell.magics.lesson.recording import FOLDER, Output, Recording, key_of
from tests.lessons.play import NAMES, Played, Player, cells_of

RUNS = re.compile(r"^%%(image|container)\b|^\s*%(image|container)\b|lesson\.where_possible\(\)", re.MULTILINE)
OBSERVED = re.compile(r"^Observed: (.+)\.$", re.MULTILINE)
LONGEST = 40_000


def runs(source: str) -> bool:
    """Whether a cell does something that a host may refuse, and so needs a recording."""
    return RUNS.search(source) is not None


def recording_of(played: list[Played], rung: str) -> Recording:
    """What was shown and observed; pictures that are too large are kept as text."""
    failed = [f"{one.lesson} {one.cell}: {one.error}\n{one.said}" for one in played if one.error]
    assert not failed, "\n".join(failed)
    cells = {
        key_of(one.source): tuple(_light(output) for output in one.outputs)
        for one in played
        if runs(one.source)
    }
    observed = {one.question: OBSERVED.findall(one.said)[-1] for one in played if one.question}
    return Recording(platform.release(), rung, observed, cells)


def _light(output: Output) -> Output:
    return output if len(output.html) <= LONGEST else Output(output.text)


def main(names: list[str]) -> None:
    """Record the lessons ``names``."""
    player = Player()
    sys.stdout = sys.__stdout__
    FOLDER.mkdir(exist_ok=True)
    for name in names:
        played = [player.run(name, id, source) for id, source in cells_of(name)]
        recording = recording_of(played, player.rung)
        data = msgspec.json.format(msgspec.json.encode(recording), indent=1)
        (FOLDER / f"{name[:2]}.json").write_bytes(data + b"\n")
        print(f"recorded {name}", flush=True)
    player.end()


if __name__ == "__main__":
    main(sys.argv[1:] or NAMES)
