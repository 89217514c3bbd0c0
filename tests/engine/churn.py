"""Makes many containers on a network, several at once, and tells what is left: see ``test_churn``.

``python -m tests.engine.churn HOME RUN CYCLES``, in a network namespace that nobody else uses.
"""

import contextlib
import os
import sys
import threading
from pathlib import Path

import msgspec

from sandcell.runtime import Engine, Options
from sandcell.runtime.linux import network, nftables
from sandcell.runtime.linux.namespaces import loopback_up
from tests import leftovers
from tests.engine.claims import until
from tests.engine.crafted import TINY

_AT_ONCE = 8
_PATIENCE = 30.0


def _cycle(engine: Engine, number: int, known: set[str]) -> None:
    """One life, ended and removed in one of the ways there are."""
    options = Options(name=f"churn-{number}", network="bridge", publish=("7000",), remove=number % 2 == 0)
    made = engine.create(TINY, ("sh", "-c", "echo $$ > /x; exec sleep 1000"), options)
    known.add(made.id)
    engine.start(made)
    assert engine.exec(made, ("true",)).status == 0
    if number % 3:
        engine.stop(made, 0)
    engine.remove(made, force=True)


def _left(base: Path, known: set[str]) -> dict[str, list[str]]:
    """Whatever is still there of them, by kind."""
    links = [link.name for link in network.links() if link.name != "lo"]
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    found = {
        "files": os.listdir(base / "home/containers"),
        "names": os.listdir(base / "home/names"),
        "run files": [
            f"{place}/{name}"
            for place, folders, files in os.walk(base / "run")
            for name in (*folders, *files)
            if name in known
        ],
        "networks": [path.name for path in (base / "run/networks").glob("*.json")],
        "mounts": [line for line in mounts if str(base) in line or "nsfs" in line.split()],
        "groups": [place for place, _, _ in os.walk("/sys/fs/cgroup") if os.path.basename(place) in known],
        "links": links,
        "rules": [name for _, name in nftables.tables() if "sandcell" in name],
        "processes": list(leftovers.processes("SANDCELL_NOBODY=", f"{base}/home/rootfs").values()),
    }
    return {kind: left for kind, left in found.items() if left}


def main(home: str, run: str, cycles: int) -> dict[str, list[str]]:
    """Live through all of it; what is left in the end, by kind, and what failed on the way."""
    loopback_up()
    known: set[str] = set()
    failed: list[str] = []
    base = Path(home).parent
    with Engine(home, run) as engine:
        engine.image(TINY)

        def work(first: int) -> None:
            for number in range(first, cycles, _AT_ONCE):
                try:
                    _cycle(engine, number, known)
                except Exception as error:
                    failed.append(f"{number}: {error!r}")

        threads = [threading.Thread(target=work, args=(first,)) for first in range(_AT_ONCE)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        most = len(os.listdir("/proc/self/ns")) * 4
        with contextlib.suppress(AssertionError):
            until(lambda: _namespaces(engine) <= most, "their namespaces are gone", _PATIENCE)
        spaces = _namespaces(engine)
    with contextlib.suppress(AssertionError):
        until(lambda: not _left(base, known), "nothing of them", _PATIENCE)
    left = _left(base, known)
    if failed or len(known) != cycles:
        left["failed"] = failed
    if spaces > most:
        left["namespaces"] = [str(spaces)]
    return left


def _namespaces(engine: Engine) -> int:
    """How many namespaces the helper and its reserve hold, when all containers are gone."""
    found = set()
    for pid in [engine.launcher.pid, *_descendants(engine.launcher.pid)]:
        with contextlib.suppress(FileNotFoundError):  # it has ended meanwhile
            for name in os.listdir(f"/proc/{pid}/ns"):
                found.add(os.readlink(f"/proc/{pid}/ns/{name}"))
    return len(found)


def _descendants(pid: int | None) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [found for child in map(int, children) for found in (child, *_descendants(child))]


if __name__ == "__main__":
    print(msgspec.json.encode(main(sys.argv[1], sys.argv[2], int(sys.argv[3]))).decode())
