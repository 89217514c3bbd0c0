"""How the steps of ``root_steps`` are carried out."""

import os
from typing import Any

from sandcell.runtime.container import root_steps as r
from sandcell.runtime.linux import landlock


def change_root(step: r.ChangeRoot, scene: Any) -> None:
    """Nothing open leads back: all descriptors but three streams and the socket are closed."""
    os.chroot(step.path)
    os.chdir("/")


def keep_below(step: r.KeepBelow, scene: Any) -> None:
    """After the rights were given up, for it asks for ``no_new_privs``."""
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    landlock.keep_below(root)
    os.close(root)
