"""Rows: the most memory that a lesson takes, its Jupyter kernel, our processes and its containers together.

Small hubs give a learner 512 MB. Proportional set sizes (proc(5)) are summed ten times a second.
"""

import os
import re
import subprocess
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from tests.bench.record import Bound
from tests.bench.row import Row, Side, Sides
from tests.bench.world import World

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
MOST = 450.0
"""Megabytes."""
_MARK = b"SANDCELL_BENCH_LESSON="


def family() -> int:
    """Bytes of all processes that were started with the mark, and of those that descend from them."""
    parents: dict[int, int] = {}
    ours: set[int] = set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            stat = Path("/proc", name, "stat").read_text()
            parents[int(name)] = int(stat.rpartition(")")[2].split()[1])
            if _MARK in Path("/proc", name, "environ").read_bytes():
                ours.add(int(name))
        except OSError:
            continue  # it has ended
    return sum(_held(pid) for pid in parents if _belongs(pid, parents, ours))


def _belongs(pid: int, parents: dict[int, int], ours: set[int]) -> bool:
    while pid > 1:
        if pid in ours:
            return True
        pid = parents.get(pid, 0)
    return False


def _held(pid: int) -> int:
    try:
        found = re.search(r"^Pss: +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) << 10 if found else 0


def peak(notebook: Path, environment: dict[str, str]) -> float:
    """Play a lesson in a Jupyter kernel; the most that it held, in megabytes."""
    argv = [sys.executable, "-m", "sandcell.magics.demo", str(notebook)]
    marked = {**os.environ, **environment, _MARK.decode().rstrip("="): "1"}
    most = 0
    with subprocess.Popen(argv, env=marked, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT) as one:
        while one.poll() is None:
            most = max(most, family())
            time.sleep(0.1)
    if one.returncode:
        raise RuntimeError(f"{notebook.stem} failed")
    return most / 1e6


def against_nobody(notebook: Path, world: World, stack: ExitStack) -> Sides:
    """There is no peer: a bound of our own is held."""
    assert world.engine  # its store is there
    return Sides(
        Side("kernel, runtime, containers", lambda: peak(notebook, world.environment)),
        [],
        Bound("ours", MOST),
    )


ROWS = tuple(
    Row(f"memory.{path.stem}", partial(against_nobody, path), rounds=1, unit="MB", gaps=(0.0,))
    for path in sorted(NOTEBOOKS.glob("*.ipynb"))
)
