"""What is known about a host: what was observed (``Facts``) and what follows from it (``Host``).

Facts are kept in the cache and hold no judgement, so better advice in a newer version needs no
new probe. All are frozen values; a test makes any host it likes by hand.
"""

from typing import Literal

import msgspec

Rung = Literal["root", "rootless", "nomount", "chroot", "none"]
State = Literal["real", "emulated", "shared"]

# What a container's use is limited in, by the names of cgroups(7).
LIMITED = ("memory", "cpu", "pids")
# Those that are reached through a user namespace.
USER_RUNGS: tuple[Rung, ...] = ("rootless", "nomount")
RUNGS: tuple[Rung, ...] = ("root", "rootless", "nomount", "chroot", "none")


class Trial(msgspec.Struct, frozen=True, omit_defaults=True):
    """How one trial went. ``errno`` 0: it worked. ``step``: what was being done when it failed, in
    words, by the system call ``call``. ``filtered``: a system-call filter gave the answer. ``own``:
    tried with our own rights, not as root of a new user namespace."""

    errno: int = 0
    step: str = ""
    call: str = ""
    filtered: bool = False
    own: bool = False

    @property
    def ok(self) -> bool:
        """True when the host allowed it."""
        return self.errno == 0


class Groups(msgspec.Struct, frozen=True, omit_defaults=True):
    """Control groups as a container could use them. ``version``: v1, v2, hybrid or none.

    ``usable``: of memory, cpu and pids, those that a new group has or can be given. ``refused``:
    why no group could be made, ``fix``: what would help; both empty when one could.
    """

    version: str = "none"
    usable: tuple[str, ...] = ()
    refused: str = ""
    fix: str = ""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What was observed; nothing here is guessed.

    ``entry``: how the trials were made, with our ``own`` rights or as root of a new ``user``
    namespace. ``capabilities``: the effective set as a mask. ``seccomp``: 2 when a filter is on.
    ``label``: of AppArmor or SELinux, empty without. ``sysctls``: name → value of those read.
    ``nested``: in a user namespace other than the machine's first. ``masked``: what is mounted
    over parts of /proc. ``filesystem``: type below the store. ``mapper``: path of newuidmap, empty
    without. ``ranges``: (first, count) for uids and gids. ``scratch_errno``: why no directory
    could be made in the store, 0 when one could. ``fault``: why there are no trials at all.
    """

    entry: Literal["own", "user"] = "own"
    trials: dict[str, Trial] = {}
    groups: Groups = Groups()
    kernel: str = ""
    machine: str = ""
    uid: int = 0
    capabilities: int = 0
    no_new_privs: bool = False
    seccomp: int = 0
    label: str = ""
    sysctls: dict[str, int] = {}
    nested: bool = False
    masked: tuple[str, ...] = ()
    chrooted: bool = False
    store: str = ""
    filesystem: str = ""
    scratch_errno: int = 0
    mapper: str = ""
    ranges: tuple[tuple[int, int], ...] = ()
    fault: str = ""

    def worked(self, name: str) -> bool:
        """True when that trial was made and allowed."""
        trial = self.trials.get(name)
        return trial is not None and trial.ok


class Facet(msgspec.Struct, frozen=True):
    """One side of a container on this host: files, processes, network, hostname, ipc, users,
    limits, system calls.

    ``state``: ``real`` (the container has its own), ``emulated`` (something like it) or ``shared``
    (the host's). ``reason``: why it is not real, one sentence; empty when it is. ``fix``: how to
    get it; may be empty.
    """

    name: str
    state: State
    reason: str = ""
    fix: str = ""


class Check(msgspec.Struct, frozen=True):
    """One thing that was tried. When not ``ok``: ``errno``, the ``layer`` that refused (seccomp,
    AppArmor, SELinux, no_new_privs, sysctl, delegation, masked /proc, capabilities, file system,
    id ranges, tool, kernel), in ``detail`` what was refused and how the layer was found out, and
    ``fix``."""

    name: str
    ok: bool
    errno: int = 0
    layer: str = ""
    detail: str = ""
    fix: str = ""


class Host(msgspec.Struct, frozen=True):
    """What a container can be on this machine, for this user, on this store.

    ``rung``: root, rootless, nomount, chroot or none (docs/house.md, "The ladder"). ``kernel``:
    release as uname(2) gives it; ``machine``: x86_64 or aarch64.
    """

    rung: Rung
    facets: tuple[Facet, ...]
    kernel: str
    machine: str
    checks: tuple[Check, ...]

    def facet(self, name: str) -> Facet:
        """The facet of that name; ``KeyError`` when there is none."""
        for facet in self.facets:
            if facet.name == name:
                return facet
        raise KeyError(name)

    def check(self, name: str) -> Check | None:
        """The check of that name, or ``None`` when it was not tried here."""
        for check in self.checks:
            if check.name == name:
                return check
        return None

    @property
    def refused(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if not check.ok)

    @property
    def many_ids(self) -> bool:
        """True when ranges of subordinate ids were really mapped: then a user namespace has more
        users than one."""
        found = [self.check(name) for name in ("newuidmap", "newgidmap")]
        return all(check is not None and check.ok for check in found)

    @property
    def obstacle(self) -> Check | None:
        """The first thing that keeps containers from running here; ``None`` when they run."""
        return self.refused[0] if self.rung == "none" and self.refused else None

    @property
    def mounting(self) -> bool:
        """True where a container's files are put together by mounting."""
        return self.rung in ("root", "rootless")

    @property
    def copying(self) -> bool:
        """True where a container's files are a copy of its image's: nothing can be mounted, or no
        overlay on the store's file system."""
        overlay = self.check("overlay")
        return not self.mounting or (overlay is not None and not overlay.ok)
