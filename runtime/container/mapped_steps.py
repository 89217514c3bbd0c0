"""Steps of a container whose first process, begun by root, is in a user namespace of its own.

Its files keep the owners they have, and are seen through the namespace's map: idmapped mounts. Only root
may make these, and only root may walk to the store. So a helper of the monitor opens every tree of the
host, the container's root included, and the first process is given the descriptors. mount_setattr(2),
user_namespaces(7).
"""

import msgspec

from sandcell.runtime.container.steps_outside import Step


class Tree(msgspec.Struct, frozen=True, array_like=True):
    """A mount or file of the host. ``flags``: MS_*; ``mapped``: its owners are seen through the map."""

    source: str
    flags: int = 0
    recursive: bool = False
    mapped: bool = False


class OpenMapped(Step, frozen=True, tag=True, array_like=True):
    """Stack the layers (lowest first) seen through the new namespace's map, open ``trees``, and give all of
    them to the first process, the stack as the last. ``at``: an empty directory to mount it on meanwhile;
    ``uid``, ``gid``: what its root is outside. ``oom_score_adj``: of the process, which may not write its
    own. proc(5)"""

    at: str
    lowers: tuple[str, ...]
    upper: str
    work: str
    volatile: bool
    uid: int
    gid: int
    trees: tuple[Tree, ...] = ()
    oom_score_adj: int | None = None

    def describe(self) -> str:
        """What is opened, and how it is seen."""
        return f"open {len(self.lowers)} layers and {len(self.trees)} places of the host through the id map"


class TakeTrees(Step, frozen=True, tag=True, array_like=True):
    """Take what ``OpenMapped`` opened, under these keys in its order."""

    keys: tuple[int, ...]

    def describe(self) -> str:
        """What is awaited."""
        return "take what was opened through the id map"


class EnterTree(Step, frozen=True, tag=True, array_like=True):
    """Make the tree the root; the old one lies on top of it until ``DropOldRoot``. pivot_root(2)"""

    key: int

    def describe(self) -> str:
        """What happens."""
        return "make the stacked layers the root"


class MappedRoot(Step, frozen=True, tag=True, array_like=True):
    """Be root of the user namespace that was entered; ``uid``, ``gid``: what that is outside."""

    uid: int
    gid: int

    def describe(self) -> str:
        """Who we become."""
        return "become root of its user namespace"
