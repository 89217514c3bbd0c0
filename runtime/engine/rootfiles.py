"""Reading a small file of a container's file system without mounting it: the topmost layer that has
it wins, a whiteout hides it, and no link leads out of the layer."""

import os
import stat
from collections.abc import Sequence

from sandcell.runtime.linux.syscall import RESOLVE_IN_ROOT, openat2

_MOST = 1 << 20


def read_file(layers: Sequence[str], path: str) -> str:
    """The text of ``path`` in the stack ``layers`` (lowest first); empty where there is none."""
    for layer in reversed(layers):
        try:
            root = os.open(layer, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fd = openat2(root, path, os.O_PATH, resolve=RESOLVE_IN_ROOT)
        except OSError:
            continue
        finally:
            os.close(root)
        try:
            # Looked at before it is opened: what an image calls a file may be a fifo or a device.
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return ""
            with open(f"/proc/self/fd/{fd}", "rb") as file:
                return file.read(_MOST).decode(errors="replace")
        except OSError:
            return ""
        finally:
            os.close(fd)
    return ""
