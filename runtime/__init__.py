"""The door of the runtime: everything a notebook, a command line or a script may use.

Names are resolved on first use, so importing the door costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandcell.runtime.container.options import Options
    from sandcell.runtime.engine import Engine
    from sandcell.runtime.errors import SandcellError

__all__ = ["Engine", "Options", "SandcellError"]

_HOMES = {
    "Engine": "sandcell.runtime.engine",
    "Options": "sandcell.runtime.container.options",
    "SandcellError": "sandcell.runtime.errors",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)
