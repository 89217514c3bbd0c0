"""Who a process believes to be, where there is only one id to be: credentials(7), kept for it as numbers.

Pure: the rules of setuid(2), setresuid(2), setgroups(2) and their like. Whoever has the effective user 0
may become anybody. Refusals are ``PermissionError``.
"""

import errno
import os
from collections.abc import Sequence

import msgspec

SAME = 0xFFFFFFFF  # (uid_t) -1: left as it is
Three = tuple[int, int, int]


class Pretence(msgspec.Struct, frozen=True):
    """Real, effective and saved ids. ``groups``: as last set, ``None`` where they never were."""

    users: Three = (0, 0, 0)
    groups: Three = (0, 0, 0)
    others: tuple[int, ...] | None = None

    @property
    def plain(self) -> bool:
        """True for who never became anybody else."""
        return self == _NOBODY_ELSE

    def after(self, name: str, arguments: Sequence[int]) -> "Pretence":
        """What it is after the system call ``name``, one of setuid(2)'s family."""
        mine = self.users if name.endswith("uid") else self.groups
        changed = _changed(name[3:-3], mine, arguments, privileged=self.users[1] == 0)
        if name.endswith("uid"):
            return msgspec.structs.replace(self, users=changed)
        return msgspec.structs.replace(self, groups=changed)

    def with_groups(self, groups: tuple[int, ...]) -> "Pretence":
        """With these supplementary groups: setgroups(2)."""
        if self.users[1] != 0:
            raise _refused()
        return msgspec.structs.replace(self, others=groups)

    def told(self, name: str) -> int:
        """What getuid(2), geteuid(2), getgid(2), getegid(2) return."""
        return (self.users if name.endswith("uid") else self.groups)["e" in name[3:-3]]


_NOBODY_ELSE = Pretence()


def _changed(kind: str, mine: Three, arguments: Sequence[int], *, privileged: bool) -> Three:
    allowed: tuple[int, ...] = mine
    if kind == "":  # setuid: for root all three, else the effective one alone
        wanted: Three = (arguments[0],) * 3 if privileged else (SAME, arguments[0], SAME)
        allowed = (mine[0], mine[2])
    elif kind == "re":
        real, effective = arguments[:2]
        moved = real != SAME or effective not in (SAME, mine[0])
        wanted = (real, effective, (mine[1] if effective == SAME else effective) if moved else SAME)
        if not privileged and real not in (SAME, mine[0], mine[1]):
            raise _refused()
    else:
        wanted = (arguments[0], arguments[1], arguments[2])
    if not privileged and any(id not in (SAME, *allowed) for id in wanted):
        raise _refused()
    one, two, three = (old if new == SAME else new for new, old in zip(wanted, mine, strict=True))
    return one, two, three


def _refused() -> PermissionError:
    return PermissionError(errno.EPERM, os.strerror(errno.EPERM))
