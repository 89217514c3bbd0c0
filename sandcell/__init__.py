"""Real OCI images and isolated Linux containers in Jupyter cells.

``%load_ext sandcell`` gives a notebook the magics; ``from sandcell import Engine`` gives Python
the same verbs. Nothing is imported until it is asked for, so that loading the extension stays
cheap and the spawner, which needs a few modules only, never pays for the rest.
"""

TYPE_CHECKING = False  # type checkers know better; importing typing would cost more than all of this

if TYPE_CHECKING:
    from typing import Any

    from sandcell.runtime import BuildOptions, Engine, ExecOptions, Options, SandcellError

__version__ = "0.1.0"
__all__ = [
    "BuildOptions",
    "Engine",
    "ExecOptions",
    "Options",
    "SandcellError",
    "__version__",
    "load_ipython_extension",
]


def load_ipython_extension(shell: "Any") -> None:
    """Register the magics in an IPython shell (what ``%load_ext sandcell`` calls)."""
    from sandcell.magics import load

    load(shell)


def unload_ipython_extension(shell: "Any") -> None:
    """Stop the spawner and forget the session; running containers stay running."""
    from sandcell.magics import unload

    unload(shell)


def _jupyter_server_extension_points() -> "list[dict[str, Any]]":
    """What Jupyter's server loads (installing the package enables it)."""
    from sandcell.magics.server.app import SandcellApp

    return [{"module": "sandcell", "app": SandcellApp}]


def __getattr__(name: str) -> "Any":
    if name in ("BuildOptions", "Engine", "ExecOptions", "Options", "SandcellError"):
        from sandcell import runtime

        return getattr(runtime, name)
    raise AttributeError(f"module 'sandcell' has no attribute {name!r}")
