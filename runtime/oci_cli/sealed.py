"""Becoming a copy of the interpreter that nobody can write to (``container.program`` tells why).

A small interpreter is replaced where it runs. Else the copy is executed: a second interpreter, without
``site`` as the first, which finds our modules by the path that is handed to it.
"""

import os
import sys

from sandcell.runtime.container.program import leave_program, open_program

_BOOT = (
    "import gc, sys; gc.disable(); sys.path += {paths!r}; "
    "from sandcell.runtime.oci_cli import main; main(sealed=True)"
)


def become(arguments: list[str]) -> None:
    """Return as that copy, or execute it with the same ``arguments``. ``OSError``."""
    if not _left():
        _execute(arguments)


def _left() -> bool:
    if not (sys.flags.no_site and sys.flags.isolated):
        return False  # who knows what it has loaded
    try:
        leave_program()
    except OSError:
        return False
    return True


def _execute(arguments: list[str]) -> None:
    ours = os.path.abspath(__file__)
    for _ in range(4):
        ours = os.path.dirname(ours)
    paths = [ours] if os.path.isfile(f"{ours}/sandcell/__init__.py") else []
    paths += [path for path in sys.path if path != ours and os.path.isdir(f"{path}/msgspec")]
    program = open_program()
    boot = _BOOT.format(paths=paths)
    os.execv(f"/proc/self/fd/{program}", [sys.executable, "-I", "-S", "-c", boot, *arguments])
