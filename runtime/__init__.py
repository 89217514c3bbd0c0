"""The door of the runtime: everything a notebook, a command line or a script may use.

Names are resolved on first use, so importing the door costs nothing.
"""

TYPE_CHECKING = False  # type checkers know better; importing typing would cost more than all of this

if TYPE_CHECKING:
    from typing import Any

    from sandcell.runtime.build.ops import BuildPlan
    from sandcell.runtime.build.options import BuildOptions
    from sandcell.runtime.container.options import ExecOptions, Options
    from sandcell.runtime.engine import Engine
    from sandcell.runtime.engine.values import Container, Result
    from sandcell.runtime.errors import SandcellError
    from sandcell.runtime.oci.image import Image
    from sandcell.runtime.oci.reference import Reference

__all__ = [
    "BuildOptions",
    "BuildPlan",
    "Container",
    "Engine",
    "ExecOptions",
    "Image",
    "Options",
    "Reference",
    "Result",
    "SandcellError",
]

_HOMES = {
    "BuildOptions": "sandcell.runtime.build.options",
    "BuildPlan": "sandcell.runtime.build.ops",
    "Container": "sandcell.runtime.engine.values",
    "Engine": "sandcell.runtime.engine",
    "ExecOptions": "sandcell.runtime.container.options",
    "Image": "sandcell.runtime.oci.image",
    "Options": "sandcell.runtime.container.options",
    "Reference": "sandcell.runtime.oci.reference",
    "Result": "sandcell.runtime.engine.values",
    "SandcellError": "sandcell.runtime.errors",
}


def __getattr__(name: str) -> "Any":
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)
