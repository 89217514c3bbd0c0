"""Everything a notebook needs: magics, cards, progress. Speaks to the runtime through its door.

``%load_ext sandcell`` calls `load`; what costs time is imported and started behind its back.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandcell.runtime.engine import Engine

_STATE = "_sandcell_unload"


def load(shell: Any, engine: "Engine | None" = None) -> None:
    """Register magics, drawings and completions in an IPython shell, and open the engine in the
    background. Loading again replaces what was loaded.

    ``engine``: use this one instead of the store of the user; it is closed by `unload`.
    """
    from sandcell.magics import completion, register, show
    from sandcell.magics.session import Session

    unload(shell)
    session = Session(shell, engine)
    session.warm()
    parts = [part.register(session) for part in (register, show, completion)]

    shell._sandcell_session = session

    def undo() -> None:
        del shell._sandcell_session
        for forget in parts:
            forget()
        session.close()

    setattr(shell, _STATE, undo)


def unload(shell: Any) -> None:
    """Take everything out again and end the session; running containers stay running. Without a
    session it does nothing."""
    undo = getattr(shell, _STATE, None)
    if undo is not None:
        delattr(shell, _STATE)
        undo()
