"""The plan of a container that root gives a user namespace of its own: its files are opened outside."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sandcell.runtime.container import mapped_steps as m
from sandcell.runtime.container import steps as s
from sandcell.runtime.linux.idmap import IdMap

if TYPE_CHECKING:
    from sandcell.runtime.container.plan import Rootfs


def seen_through(
    idmap: IdMap, rootfs: "Rootfs", files: Sequence[s.Inside], oom_score_adj: int | None
) -> tuple[tuple[m.OpenMapped, ...], list[s.Inside]]:
    """The steps of ``files``, in which every tree of the host is taken from the monitor in place of being
    opened, and the monitor's step that opens them."""
    opened = [step for step in files if isinstance(step, s.OpenTree)]
    root = max((step.key for step in opened), default=0) + len(files)
    given = m.OpenMapped(
        at=rootfs.path,
        lowers=rootfs.lowers,
        upper=rootfs.upper,
        work=rootfs.work,
        volatile=rootfs.volatile,
        uid=idmap.uids[0].outside,
        gid=idmap.gids[0].outside,
        trees=tuple(m.Tree(step.source, step.flags, step.recursive, step.mapped) for step in opened),
        oom_score_adj=oom_score_adj,
    )
    steps: list[s.Inside] = [m.TakeTrees((*(step.key for step in opened), root))]
    for step in files:
        if isinstance(step, s.PivotRoot):
            steps.append(m.EnterTree(root))
        elif not isinstance(step, s.OpenTree | s.MountOverlay):
            steps.append(step)
    return (given,), steps
