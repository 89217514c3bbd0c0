"""Who handles unpacked trees: this process as root, else one inside a user namespace.

The tasks are the functions of ``sandcell.runtime.layer.tasks``, called by dotted name with a payload
of keyword arguments that JSON can hold; results and errors are described there:

==================================================  ==============================================
``sandcell.runtime.layer.tasks.unpack_layer``       a layer file becomes a snapshot directory
``sandcell.runtime.layer.tasks.pack_upper``         a writable directory becomes a layer file
``sandcell.runtime.layer.tasks.diff_upper``         what a writable directory changes
``sandcell.runtime.layer.tasks.remove_tree``        a tree is deleted
==================================================  ==============================================

A worker must map the ids of the ``IdMap`` the trees belong to and see the paths of this process.
"""

from importlib import import_module
from typing import Any, Protocol

UNPACK = "sandcell.runtime.layer.tasks.unpack_layer"
PACK = "sandcell.runtime.layer.tasks.pack_upper"
DIFF = "sandcell.runtime.layer.tasks.diff_upper"
REMOVE = "sandcell.runtime.layer.tasks.remove_tree"


class Worker(Protocol):
    """Calls functions where the ids of unpacked trees make sense."""

    def run(self, task: str, payload: dict[str, Any]) -> Any:
        """The result of the function ``task`` called with ``payload``; its errors are raised here."""
        ...


class Here:
    """This process itself."""

    def run(self, task: str, payload: dict[str, Any]) -> Any:
        """Call the function."""
        module, _, name = task.rpartition(".")
        return getattr(import_module(module), name)(**payload)
