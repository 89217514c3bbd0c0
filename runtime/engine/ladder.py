"""The ladder as it stands here: every rung, which one we are on, and what keeps us from those above."""

from typing import Literal

import msgspec

from sandcell.runtime.linux.host_model import RUNGS, Check, Host, Rung

_NEEDS: dict[Rung, tuple[str, ...]] = {
    "root": ("mount as root",),
    "rootless": ("user namespace", "mount"),
    "nomount": ("user namespace", "chroot"),
    "chroot": ("chroot",),
    "none": (),
}
_ROOTS: tuple[Rung, ...] = ("root", "chroot")


class Step(msgspec.Struct, frozen=True):
    """One rung. ``place``: above us, here, or below. ``why``: what keeps us from one above, a few words;
    ``check``: the trial that failed, where one did."""

    rung: Rung
    place: Literal["above", "here", "below"]
    why: str = ""
    check: Check | None = None


def ladder(host: Host) -> tuple[Step, ...]:
    """All rungs from the highest to the lowest."""
    here = RUNGS.index(host.rung)
    steps = []
    for number, rung in enumerate(RUNGS):
        if number < here:
            steps.append(_above(host, rung))
        else:
            steps.append(Step(rung, "here" if number == here else "below"))
    return tuple(steps)


def _above(host: Host, rung: Rung) -> Step:
    for name in _NEEDS[rung]:
        check = host.check(name)
        if check is not None and not check.ok:
            return Step(rung, "above", f"{check.layer} refuses: {name}", check)
    obstacle = host.obstacle
    if rung in _ROOTS and host.check("mount as root") is None:
        return Step(rung, "above", "you are not root")
    if obstacle is not None:
        return Step(rung, "above", f"{obstacle.layer} refuses: {obstacle.name}", obstacle)
    return Step(rung, "above", f"rung {host.rung} was asked for")
