"""Which claim must hold in which setting: filled by the ``holds_`` modules, read inside and outside."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from sandcell.runtime import Engine

# name → who runs there, in words
SETTINGS = {
    "root": "root, on a machine without systemd",
    "user": "a plain user to whom root gave a part of the tree",
    "bare": "a plain user in a group that has no controllers",
    "other": "a plain user to whom nothing was given",
    "system": "root in a service of systemd's",
    "scope": "a plain user in a scope that systemd delegates",
    "session": "a plain user in a group that belongs to root, as after a login by ssh",
}
_IMAGE = Path("/data/image.tar")
LIMITED = ("root", "user", "system", "scope")


class Place:
    """Where a claim is checked: the setting's name, a folder of its own and, made late, its engine."""

    def __init__(self, setting: str, folder: Path) -> None:
        self.setting = setting
        self.folder = folder
        self._engine: Engine | None = None

    @property
    def engine(self) -> "Engine":
        """With the image of ``tests.engine.claims``."""
        if self._engine is None:
            from sandcell.runtime import Engine
            from tests.engine import claims

            self._engine = Engine(self.folder / "home", self.folder / "run")
            # Building takes its time here, so it is done once, and unpacking once for each user.
            if not _IMAGE.exists():
                claims.prepare(self._engine)
                self._engine.save([claims.IMAGE], _IMAGE)
                _IMAGE.chmod(0o644)
            elif not any(entry.name == claims.IMAGE for entry in self._engine.images()):
                self._engine.load(_IMAGE)
        return self._engine

    def close(self) -> None:
        """End the engine's helper."""
        if self._engine is not None:
            self._engine.close()


class Claim(msgspec.Struct, frozen=True):
    """``check`` raises where it does not hold."""

    name: str
    settings: tuple[str, ...]
    check: Callable[[Place], None]


CLAIMS: list[Claim] = []


def holds(*settings: str) -> Callable[[Callable[[Place], None]], Callable[[Place], None]]:
    """Adds the function to the claims that are checked in ``settings``."""

    def add(check: Callable[[Place], None]) -> Callable[[Place], None]:
        CLAIMS.append(Claim(check.__name__, settings, check))
        return check

    return add
