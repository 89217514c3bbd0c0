"""The magics themselves: functions that hand the line, the cell and the session on.

Lines are not expanded by IPython (``no_var_expand``): the line grammar does that argument by
argument. IPython is only ever imported here, for a shell that exists already.
"""

from collections.abc import Callable
from typing import Any

from sandcell.magics import container, image, lifecycle, sandcell
from sandcell.magics.complain import told
from sandcell.magics.grammar import CONTAINER_CELL, IMAGE_CELL, overview
from sandcell.magics.session import Session
from sandcell.magics.verbs import dispatch

Names = dict[str, Any] | None


def register(session: Session) -> Callable[[], None]:
    """Put ``%%image``, ``%%container``, ``%image``, ``%container`` and ``%sandcell`` into the shell;
    returns what takes them out again."""
    from IPython.core import magic

    shell = session.shell

    def image_cell(line: str, cell: str, local_ns: Names = None) -> None:
        with told(cell, session.instead):
            image.build_cell(session, line, cell, local_ns)

    def container_cell(line: str, cell: str, local_ns: Names = None) -> None:
        with told(instead=session.instead):
            container.run_cell(session, line, cell, local_ns)

    def image_line(line: str, local_ns: Names = None) -> None:
        with told(instead=session.instead):
            dispatch(session, "image", image.VERBS, line, local_ns)

    def container_line(line: str, local_ns: Names = None) -> None:
        with told(instead=session.instead):
            dispatch(session, "container", lifecycle.VERBS, line, local_ns)

    def sandcell_line(line: str, local_ns: Names = None) -> None:
        with told(instead=session.instead):
            sandcell.run_line(session, line, local_ns)

    ours: tuple[tuple[str, str, Callable[..., None], str], ...] = (
        ("cell", "image", image_cell, IMAGE_CELL.help()),
        ("cell", "container", container_cell, CONTAINER_CELL.help()),
        ("line", "image", image_line, overview("image")),
        ("line", "container", container_line, overview("container")),
        ("line", "sandcell", sandcell_line, overview("sandcell")),
    )
    mark: Any = magic
    for kind, name, function, text in ours:
        function.__doc__ = text
        shell.register_magic_function(mark.needs_local_scope(mark.no_var_expand(function)), kind, name)
    shell.input_transformers_cleanup.append(complete_empty_cell)
    shell.configurables.append(session.settings)

    def forget() -> None:
        for kind, name, _, _ in ours:
            shell.magics_manager.magics[kind].pop(name, None)
        shell.input_transformers_cleanup.remove(complete_empty_cell)
        shell.configurables.remove(session.settings)

    return forget


def complete_empty_cell(lines: list[str]) -> list[str]:
    """Give a cell that is nothing but our ``%%`` line an empty body.

    IPython refuses a cell magic without a body by itself, and its hint (``%container hello``) is not
    what is meant; with a body our own error can say what is.
    """
    alone = len(lines) == 1 and lines[0].startswith(("%%container", "%%image"))
    if alone and not lines[0].rstrip().endswith("?"):
        return [lines[0].rstrip("\n") + "\n", "\n"]
    return lines
