"""How the steps of ``mapped_steps`` are carried out by the process that becomes a container's."""

import errno
import os
from collections.abc import Callable
from typing import Any

from sandcell.runtime.container import mapped_steps as m
from sandcell.runtime.linux import process
from sandcell.runtime.linux.mounts import AT_FDCWD
from sandcell.runtime.linux.syscall import move_mount, pivot_root

TREES = b"t"


def _take_trees(step: m.TakeTrees, scene: Any) -> None:
    """Wait for the descriptors."""
    said, found = process.receive_descriptors(scene.sync, len(step.keys))
    if said != TREES:
        os._exit(125)  # the monitor gave up, and tells why itself
    if len(found) != len(step.keys):
        raise OSError(errno.EMFILE, "recvmsg")
    scene.trees.update(zip(step.keys, found, strict=True))


def _enter_tree(step: m.EnterTree, scene: Any) -> None:
    """Attach it on top of the root, which this process could not walk away from, and change places."""
    tree = scene.trees.pop(step.key)
    move_mount(tree, AT_FDCWD, b"/")
    os.fchdir(tree)
    os.close(tree)
    pivot_root(b".", b".")


def _mapped_root(_: m.MappedRoot, __: Any) -> None:
    """Take ids that exist in the namespace: before, we had none there."""
    os.setgroups(())
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


PERFORM: dict[type, Callable[[Any, Any], None]] = {
    m.TakeTrees: _take_trees,
    m.EnterTree: _enter_tree,
    m.MappedRoot: _mapped_root,
}
"""What ``inside`` calls for each."""
