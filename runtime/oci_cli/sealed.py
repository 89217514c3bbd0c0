"""Becoming a copy of the interpreter that nobody can write to (``container.program`` tells why).

The second interpreter starts without ``site`` and finds our modules by the path that is handed to it.
"""

import os
import sys

from sandcell.runtime.container.program import open_program

# msgspec looks for typing_extensions only to read annotations that no record here has; finding it would
# take a third of the time that all imports take.
_BOOT = (
    "import gc, sys; gc.disable(); sys.path += {paths!r}; sys.modules['typing_extensions'] = None; "
    "from sandcell.runtime.oci_cli import main; main(sealed=True)"
)


def become(arguments: list[str]) -> None:
    """Execute the copy with the same ``arguments``. ``OSError``."""
    ours = os.path.abspath(__file__)
    for _ in range(4):
        ours = os.path.dirname(ours)
    paths = [ours] if os.path.isfile(f"{ours}/sandcell/__init__.py") else []
    paths += [path for path in sys.path if path != ours and os.path.isdir(f"{path}/msgspec")]
    program = open_program()
    boot = _BOOT.format(paths=paths)
    os.execv(f"/proc/self/fd/{program}", [sys.executable, "-I", "-S", "-c", boot, *arguments])
