"""Where on this host control groups can be made, found out by reading. cgroups(7).

Three kinds of host: v1 (a tree for each controller), v2 (one tree for all) and hybrid (controllers
on v1, beside an idle v2 tree, which is left alone). Root makes groups at the top of a tree. Anybody
else makes them below the group this process is in, where it was given to them.
"""

import os
from collections.abc import Callable
from typing import Literal

import msgspec

from sandcell.runtime.linux.process import read_text

# A group is made in these v1 trees unless more is asked for; touching each costs time.
USUAL = ("memory", "pids", "cpu", "cpuacct", "freezer", "devices")

# Processes that stood in a v2 group before it got children are moved into this child of it.
LEAF = "sandcell.host"

_V1_TEXT = (
    "blkio cpu cpuacct cpuset devices freezer hugetlb memory misc net_cls net_prio perf_event pids rdma"
)
_V1 = frozenset(_V1_TEXT.split())

_DELEGATE = "systemd-run --user --scope -p Delegate=yes -- COMMAND"
_SYSTEMD = "/run/systemd/system"


class CgroupLayout(msgspec.Struct, frozen=True, kw_only=True):
    """The trees, and whether we may make groups in them.

    ``bases``: controller → directory under which groups are made; on v2 the same for all.
    ``writable``: groups can be made. Else ``refused`` says why not and ``fix`` what would help.
    ``note``: what is worth telling though it works.
    """

    version: Literal["v1", "v2", "hybrid", "none"]
    bases: dict[str, str] = {}
    writable: bool = False
    refused: str = ""
    fix: str = ""
    note: str = ""

    @property
    def unified(self) -> bool:
        """True where groups are made on v2."""
        return self.version == "v2"

    @property
    def base(self) -> str:
        """The directory under which v2 groups are made; empty on v1."""
        return self.bases.get("", "")

    @property
    def controllers(self) -> frozenset[str]:
        """Those that a new group has or can be given, as its own version names them."""
        if not self.unified:
            return frozenset(self.bases)
        try:
            return frozenset(read_text(f"{self.base}/cgroup.controllers").split())
        except OSError:
            return frozenset()

    @property
    def mounts(self) -> tuple[tuple[str, str, str], ...]:
        """What shows a container its own groups below /sys/fs/cgroup: (directory, file system type,
        mount data); on v2 one entry without a directory. Trees it has no group in are left out."""
        if self.unified:
            return (("", "cgroup2", ""),)
        together: dict[str, list[str]] = {}
        for controller in USUAL:
            if controller in self.bases:
                together.setdefault(self.bases[controller], []).append(controller)
        return tuple((",".join(names), "cgroup", ",".join(names)) for names in together.values())


class Tree(msgspec.Struct, frozen=True):
    """A mounted tree: where, which part of it (``root``), read-only or not, v1 controllers."""

    place: str
    root: str
    readonly: bool
    controllers: tuple[str, ...]
    unified: bool


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks: the groups it is in (controller → path, ``""`` for v2) and what it may do.

    ``delegated`` and ``writable`` ask about a directory. ``systemd``: it manages this machine.
    """

    uid: int
    groups: dict[str, str]
    systemd: bool
    writable: Callable[[str], bool]
    delegated: Callable[[str], bool]


_here: list[CgroupLayout] = []


def layout() -> CgroupLayout:
    """The layout for this process; read once, kept."""
    if not _here:
        process = Process(
            uid=os.geteuid(),
            groups=parse_membership(read_text("/proc/self/cgroup")),
            systemd=os.path.isdir(_SYSTEMD),
            writable=may_write,
            delegated=is_delegated,
        )
        _here.append(decide(parse_mounts(read_text("/proc/self/mountinfo")), process))
    return _here[0]


def around(path: str, pid: int) -> CgroupLayout:
    """The layout in which somebody of this user made the group ``path`` that the process ``pid`` is in,
    or below: on v2 each scope of systemd's has a place of its own, and ours may be another."""
    here = layout()
    if here.version != "v2":
        return here
    try:
        inside = parse_membership(read_text(f"/proc/{pid}/cgroup")).get("", "")
        trees = parse_mounts(read_text("/proc/self/mountinfo"))
    except OSError:
        return here
    above, found, rest = inside.partition(f"/{path}")
    tree = next((tree for tree in trees if tree.unified), None)
    base = _own(tree, above or "/") if tree is not None and found and rest[:1] in ("", "/") else ""
    if not base or base == here.base:
        return here
    return CgroupLayout(version="v2", bases={"": base}, writable=may_write(base))


def whole() -> CgroupLayout:
    """The trees from their tops, whoever may write where: for groups that systemd makes."""
    trees = parse_mounts(read_text("/proc/self/mountinfo"))
    bases: dict[str, str] = {}
    for tree in trees:
        for controller in tree.controllers:
            bases.setdefault(controller, tree.place)
    version = layout().version
    if version == "v2":
        bases = {"": next(tree.place for tree in trees if tree.unified)}
    return CgroupLayout(version=version, bases=bases, writable=bool(bases))


def parse_mounts(mountinfo: str) -> tuple[Tree, ...]:
    """The control group trees in the text of /proc/PID/mountinfo. proc(5)."""
    trees = []
    for line in mountinfo.splitlines():
        mount, _, source = line.partition(" - ")
        fields, kind = mount.split(" "), source.split(" ")
        if kind[0] not in ("cgroup", "cgroup2"):
            continue
        options = kind[2].split(",")
        # Named trees have no controllers; the other words are mount options.
        names = tuple(word for word in options if word in _V1) if kind[0] == "cgroup" else ()
        readonly = "ro" in fields[5].split(",") or "ro" in options
        trees.append(
            Tree(_unescaped(fields[4]), _unescaped(fields[3]), readonly, names, kind[0] == "cgroup2")
        )
    return tuple(trees)


def parse_membership(text: str) -> dict[str, str]:
    """Controller → path from the text of /proc/PID/cgroup; the v2 path under ``""``."""
    groups = {}
    for line in text.splitlines():
        number, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            if number == "0" or controller:
                groups[controller] = path
    return groups


def decide(trees: tuple[Tree, ...], process: Process) -> CgroupLayout:
    """Which layout these trees are for this process. Reads a directory's rights, writes nothing."""
    ones = [tree for tree in trees if tree.controllers]
    twos = [tree for tree in trees if tree.unified]
    if ones:
        return _v1(ones, process, hybrid=bool(twos))
    if twos:
        # Where a tree is mounted twice, one that can be written serves better.
        return _v2(min(twos, key=lambda tree: tree.readonly), process)
    return CgroupLayout(
        version="none",
        refused="no control group file system is mounted",
        fix="mount -t cgroup2 none /sys/fs/cgroup",
    )


def _v1(trees: list[Tree], process: Process, *, hybrid: bool) -> CgroupLayout:
    bases: dict[str, str] = {}
    refusals = []
    for tree in sorted(trees, key=lambda tree: tree.readonly):
        base = tree.place
        if process.uid:
            base = _own(tree, process.groups.get(tree.controllers[0], "/")) or base
        if tree.readonly or not process.writable(base):
            refusals.append(base)
            continue
        for controller in tree.controllers:
            bases.setdefault(controller, base)
    version: Literal["v1", "hybrid"] = "hybrid" if hybrid else "v1"
    note = "controllers are on cgroup v1; the v2 tree beside them is not used" if hybrid else ""
    if "freezer" in bases or "pids" in bases:
        return CgroupLayout(version=version, bases=bases, writable=True, note=note)
    if process.uid:
        cause = f"cgroup v1, and {refusals[0]} does not belong to uid {process.uid}"
        fix = "run as root, or boot with systemd.unified_cgroup_hierarchy=1"
    else:
        cause = f"{refusals[0]} cannot be written" if refusals else "neither freezer nor pids is mounted"
        fix = "mount the cgroup v1 trees writable"
    return CgroupLayout(version=version, refused=cause, fix=fix, note=note)


def _v2(tree: Tree, process: Process) -> CgroupLayout:
    own = _own(tree, process.groups.get("", "/"))
    if own.endswith("/" + LEAF):
        own = own[: -len(LEAF) - 1]
    if tree.readonly:
        return CgroupLayout(
            version="v2",
            refused=f"{tree.place} is mounted read-only",
            fix="start the surrounding container with its cgroup writable",
        )
    if process.uid == 0 and not (own and own != tree.place and process.delegated(own)):
        base, note = tree.place, ""
        if process.systemd:
            note = "systemd writes to this tree too; sandcell keeps to a group of its own"
    else:
        base, note = own, ""
    needed = ("", "/cgroup.procs", "/cgroup.subtree_control")
    if base and all(process.writable(base + name) for name in needed):
        return CgroupLayout(version="v2", bases={"": base}, writable=True, note=note)
    where = base or tree.place
    if process.systemd and process.uid:
        cause, fix = f"systemd manages {where} and has not delegated it to uid {process.uid}", _DELEGATE
    else:
        cause, fix = f"uid {process.uid} may not write to {where}", f"let root give {where} to that user"
    return CgroupLayout(version="v2", refused=cause, fix=fix)


def _own(tree: Tree, path: str) -> str:
    """The directory of the group ``path``; empty where this mount does not show it."""
    if path.startswith("/.."):
        return ""  # outside of the cgroup namespace that the mount belongs to
    if tree.root == "/":
        return tree.place + path.rstrip("/")
    if path == tree.root or path.startswith(tree.root + "/"):
        return tree.place + path[len(tree.root) :]
    return ""


def may_write(path: str) -> bool:
    """May this process write there? Asked with its effective ids; nothing is tried."""
    return os.access(path, os.W_OK, effective_ids=True)


def is_delegated(path: str) -> bool:
    """Has systemd marked the group as one that it leaves to others? systemd.resource-control(5)."""
    for name in ("user.delegate", "trusted.delegate"):
        try:
            if os.getxattr(path, name) == b"1":
                return True
        except OSError:
            continue
    return False


def _unescaped(text: str) -> str:
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text
