"""Running a cell again: which container it replaces, and how many unnamed ones stay.

A container that a cell made without a name carries two labels: the cell, and the session. Only such
containers are ever removed here, and only after they have ended.
"""

import hashlib
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandcell.runtime.engine.values import Container

CELL = "sandcell.cell"
SESSION = "sandcell.session"

KEPT = 10
"""Unnamed containers of one session that stay, unless somebody wants another number."""


def cell_key(shell: Any, session: str, place: str, line: str, body: str) -> str:
    """What tells one magic of one cell from another, the same when the cell is run again.

    The front end's id of the cell together with the notebook's path where they are told (Jupyter
    sends ``cellId``, its server sets ``JPY_SESSION_NAME``); they hold across restarts of the kernel.
    Else the text, which holds within this session. ``place``: its number among the magics of the cell.
    """
    told = _cell_id(shell)
    parts = (os.environ.get("JPY_SESSION_NAME", ""), told, place) if told else (session, line, body, place)
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Reruns:
    """Remembers the unnamed containers that cells made, newest last. ``keep``: how many stay."""

    def __init__(self, session: str, keep: "Callable[[], int]" = lambda: KEPT) -> None:
        self.session = session
        self._keep = keep
        self._by_cell: dict[str, str] = {}
        self._ours: list[str] = []

    def labels(self, cell: str) -> dict[str, str]:
        """What to label an unnamed container with; an empty ``cell`` for one that no cell re-makes."""
        return {CELL: cell, SESSION: self.session} if cell else {SESSION: self.session}

    def adopt(self, containers: "Iterable[Container]") -> None:
        """Take in what earlier sessions left, ``containers`` newest first. What this session has
        made meanwhile stays."""
        for container in containers:
            cell = container.labels.get(CELL, "")
            if cell and unnamed(container):
                self._by_cell.setdefault(cell, container.id)

    def made(self, cell: str, id: str) -> list[str]:
        """A new unnamed container stands. Returns the ids to be removed, if they have ended: the one
        that this cell made before comes first (if there is one), then those too many."""
        gone: list[str] = []
        if cell:
            before = self._by_cell.get(cell)
            self._by_cell[cell] = id
            if before is not None:
                gone.append(before)
                if before in self._ours:
                    self._ours.remove(before)
        self._ours.append(id)
        gone += self._ours[: max(0, len(self._ours) - self._keep())]
        return gone

    def forget(self, id: str) -> None:
        """That container is no more."""
        if id in self._ours:
            self._ours.remove(id)


def unnamed(container: "Container") -> bool:
    """Whether nobody gave it a name."""
    return not container.options.name


def may_go(container: "Container") -> bool:
    """Whether it may be removed without being asked for: unnamed, ours, and ended or never begun."""
    return unnamed(container) and container.state in ("exited", "created") and SESSION in container.labels


def _cell_id(shell: Any) -> str:
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return ""
    parent = kernel.get_parent() if hasattr(kernel, "get_parent") else getattr(kernel, "_parent_header", {})
    metadata = (parent or {}).get("metadata") or {}
    found = metadata.get("cellId")
    return found if isinstance(found, str) else ""
