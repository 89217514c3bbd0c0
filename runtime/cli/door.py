"""What every verb is handed: the engine, opened on first use."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandcell.runtime.engine import Engine


class Door:
    """Holds the one engine of a command.

    ``verb`` is the sub-command being carried out, ``""`` before it is known; the exit status of a
    failure depends on it.
    """

    def __init__(self, engine: "Engine | None" = None) -> None:
        self.verb = ""
        self._engine = engine
        self._ours = engine is None

    @property
    def engine(self) -> "Engine":
        """The engine handed in, else one over the store of this user (made once)."""
        if self._engine is None:
            from sandcell.runtime import Engine

            self._engine = Engine()
        return self._engine

    def close(self) -> None:
        """Close the engine if it was opened here. Calling it again does nothing."""
        if self._ours and self._engine is not None:
            self._engine.close()
            self._engine = None
