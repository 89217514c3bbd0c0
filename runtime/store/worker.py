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
from typing import Any, NamedTuple, Protocol

from sandcell.runtime.layer.whiteout import XattrFlavour
from sandcell.runtime.linux.idmap import IdMap

UNPACK = "sandcell.runtime.layer.tasks.unpack_layer"
PACK = "sandcell.runtime.layer.tasks.pack_upper"
DIFF = "sandcell.runtime.layer.tasks.diff_upper"
REMOVE = "sandcell.runtime.layer.tasks.remove_tree"


class Worker(Protocol):
    """Calls functions where the ids of unpacked trees make sense."""

    def run(self, task: str, payload: dict[str, Any], stream: int | None = None) -> Any:
        """The result of the function ``task`` called with ``payload``; its errors are raised here.

        ``stream``: a descriptor, which the function gets as the item ``stream``; it stays the caller's. Safe
        between threads.
        """
        ...


class Here:
    """This process itself."""

    def run(self, task: str, payload: dict[str, Any], stream: int | None = None) -> Any:
        """Call the function."""
        module, _, name = task.rpartition(".")
        given = payload if stream is None else {**payload, "stream": stream}
        return getattr(import_module(module), name)(**given)


class Manner(NamedTuple):
    """How layers are unpacked on this host: the owners of their files, where overlay's marks are kept, and
    who does it."""

    idmap: IdMap
    flavour: XattrFlavour
    worker: Worker
