"""What a crash must leave behind: a store that opens, states that are true, and nothing that stays."""

import contextlib
import os
from pathlib import Path

from sandcell.runtime import Engine, Options
from sandcell.runtime.engine.values import Container
from sandcell.runtime.errors import SandcellError
from tests import leftovers
from tests.engine.claims import until
from tests.engine.crafted import TINY


def _ids(base: Path) -> set[str]:
    found: set[str] = set()
    for folder in ("home/containers", "run/containers", "home/builds/containers", "run/builds/containers"):
        if (base / folder).is_dir():
            found |= set(os.listdir(base / folder))
    return found


def _age(base: Path) -> None:
    """Let everything be old enough for ``prune``."""
    for folder in ("containers", "builds/containers"):
        for root in ("home", "run"):
            for path in (base / root / folder).glob("*"):
                with contextlib.suppress(FileNotFoundError):
                    os.utime(path, (1, 1))


def check_and_clear(base: Path) -> None:
    """A fresh engine opens the store, tells the truth, and clears everything away."""
    ids = _ids(base)
    with Engine(base / "home", base / "run") as engine:
        assert engine.run(TINY, ("echo", "works"), Options(remove=True)).text == "works\n"
        for found in engine.containers(all=True):
            if found.state == "running":
                _runs_truly(engine, found)
            engine.remove(found, force=True)
        for image in engine.images():
            engine.image(image.name)
            if image.name != TINY:
                engine.remove_image(image.name, force=True)
        _age(base)
        engine.prune()
        until(lambda: _pruned(engine, base), "an empty store")
    assert leftovers.after_they_end("SANDCELL_NOBODY=", str(base), 30) == {}
    assert not [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(base) in line]
    groups = [place for place, _, _ in os.walk("/sys/fs/cgroup") if os.path.basename(place) in ids]
    assert groups == []


def _runs_truly(engine: Engine, found: Container) -> None:
    assert found.pid is not None
    try:
        assert Path(f"/proc/{found.pid}").exists()
        assert engine.exec(found, ("echo", "true")).text == "true\n"
    except (AssertionError, SandcellError):
        # A short one may have ended since it was listed; then it is listed so no more.
        listed = {one.id: one.state for one in engine.containers(all=True)}
        if listed.get(found.id) == "running":
            raise


def _pruned(engine: Engine, base: Path) -> bool:
    if _ids(base):
        _age(base)
        engine.prune()
    return not _ids(base) and not os.listdir(base / "home" / "names")
