"""Control groups: processes counted, limited, stopped and ended together. cgroups(7).

One ``Cgroup`` stands for a group on every kind of host; ``layout()`` tells which kind this one is.

Getting in is the dear part. Writing a pid to ``cgroup.procs`` makes the kernel wait for every fork
on the machine, which after an idle moment takes 7 to 15 ms. Two ways avoid it: on v2 a process is
born inside (``open`` gives what clone3 wants), and on v1 a process with a single thread moves itself
through the group's ``doors``, which needs no such wait and takes 0.1 ms for six trees.
"""

import errno
import os
from collections.abc import Iterable

from sandcell.runtime.errors import Conflict, HostRefused, InvalidOption
from sandcell.runtime.linux import cgroups_v1, cgroups_v2
from sandcell.runtime.linux.cgroups_files import groups, members, read, wait_until, write
from sandcell.runtime.linux.cgroups_layout import USUAL, CgroupLayout, around, layout, parse_membership, whole
from sandcell.runtime.linux.cgroups_limits import Limits, Usage, check, put, settled, unavailable

__all__ = [
    "USUAL",
    "Cgroup",
    "CgroupLayout",
    "Limits",
    "Usage",
    "around",
    "enter",
    "layout",
    "parse_membership",
    "whole",
]

_PATIENCE = 5.0
_TRIES = 20


class Cgroup:
    """The group ``path`` (``sandcell/ID``) below where ``layout`` lets us make groups.

    Only a name until ``create``: any process may hold one and ask. A ``child`` follows the
    processes of one command inside the group; limits and counts stay the group's.
    """

    __slots__ = ("_made", "_parent", "layout", "path")

    def __init__(self, path: str, layout: CgroupLayout, parent: "Cgroup | None" = None) -> None:
        parts = path.strip("/").split("/")
        if not all(parts) or ".." in parts or "." in parts:
            raise InvalidOption("name", "a control group", f"{path!r} is no path of one", "as sandcell/ID")
        self.path = "/".join(parts)
        self.layout = layout
        self._parent = parent
        self._made: dict[str, str] = {}  # v1: what `create` made, so that it is not looked for again

    def create(self, controllers: Iterable[str] = USUAL) -> frozenset[str]:
        """Make the group where ``controllers`` (v1 names) are; gives those that it really has.

        ``cpu`` brings ``cpuacct`` along. Repeating it is no error. ``HostRefused`` when no group
        can be made; then nothing of it is left.
        """
        if not self.layout.writable:
            raise HostRefused("make", "a control group", self.layout.refused, self.layout.fix)
        wanted = set(controllers)
        try:
            if self.layout.unified:
                self._make(self._tracker)
                return cgroups_v2.hand_down(self.layout.base, self._tracker, wanted)
            wanted |= {"cpuacct"} if "cpu" in wanted else set()
            places = {name: self._place(name) for name in self.layout.bases if name in wanted}
            for directory in dict.fromkeys((*places.values(), self._tracker)):
                self._make(directory)
            if "cpuset" in places:
                cgroups_v1.prepare_cpuset(self.layout.bases["cpuset"], places["cpuset"])
            self._made = places
            return frozenset(places)
        except OSError as error:
            self.prune()
            cause = f"{error.filename}: {os.strerror(error.errno or 0)}"
            raise HostRefused("make", f"control group {self.path}", cause, "see `sandcell doctor`") from None
        except HostRefused:
            self.prune()
            raise

    def child(self, name: str) -> "Cgroup":
        """The group ``name`` in this one, without limits of its own. It is made when something is
        put into it."""
        return Cgroup(f"{self.path}/{name}", self.layout, self)

    def limit(self, limits: Limits) -> None:
        """Set limits. ``InvalidOption`` for a value that the kernel or sense refuses, ``HostRefused``
        for a controller that the group has not; those before it in ``Limits`` are set then."""
        check(limits)
        limits = settled(limits)
        if self.layout.unified:
            cgroups_v2.limit(self._tracker, limits)
        else:
            cgroups_v1.limit(self._places(), limits)

    def write(self, controller: str, name: str, text: str) -> None:
        """Write ``text`` into the group's file ``name``; ``controller`` names its tree on v1. Errors as
        of ``limit``."""
        if not self.layout.unified and controller not in self.layout.bases:
            raise unavailable(controller)
        put(self._tracker if self.layout.unified else self._place(controller), controller, name, text)

    @property
    def freezer(self) -> str:
        """The file that tells whether the group is frozen."""
        return f"{self._tracker}/{'cgroup.freeze' if self.layout.unified else 'freezer.state'}"

    def has(self, controller: str, name: str) -> bool:
        """True where the group has the file ``name``; ``controller`` as of ``write``."""
        if not self.layout.unified and controller not in self.layout.bases:
            return False
        where = self._tracker if self.layout.unified else self._place(controller)
        return bool(name) and os.path.exists(f"{where}/{name}")

    @property
    def exists(self) -> bool:
        """True when somebody has made the group."""
        return self.layout.writable and os.path.isdir(self._tracker)

    @property
    def frozen(self) -> bool:
        """True between ``freeze`` and ``thaw``."""
        return read(self.freezer) in ("1", "FROZEN", "FREEZING")

    def directories(self) -> dict[str, str]:
        """v1: where the group is, by controller; v2: its one directory under ``""``."""
        return {"": self._tracker} if self.layout.unified else self._places()

    def possible(self) -> list[str]:
        """Every directory that the group has, or may have when it is made."""
        return self._directories()

    def open(self) -> int | None:
        """A descriptor for clone3's CLONE_INTO_CGROUP; ``None`` on v1, which has no such thing."""
        if not self.layout.unified:
            return None
        self._ready()
        return os.open(self._tracker, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def doors(self) -> tuple[int, ...]:
        """Descriptors through which a process moves itself in: see ``enter``. Empty on v2, where a
        process is born inside. The caller closes them."""
        if self.layout.unified:
            return ()
        self._ready()
        flags = os.O_WRONLY | os.O_CLOEXEC
        return tuple(os.open(f"{directory}/tasks", flags) for directory in self._homes())

    def add(self, pid: int) -> None:
        """Move a process, all its threads, into the group. ``ProcessLookupError`` when it has ended."""
        self._ready()
        for directory in self._homes():
            write(f"{directory}/cgroup.procs", str(pid))

    def pids(self) -> list[int]:
        """The processes in the group and below it, as this pid namespace sees them."""
        return members(self._tracker)

    def usage(self) -> Usage:
        """What the group uses now; all unknown once it is gone."""
        if self.layout.unified:
            return cgroups_v2.usage(self._tracker)
        return cgroups_v1.usage(self._places() if self._parent is None else {})

    def kill(self) -> None:
        """SIGKILL to every process in the group and below, also to one that forks all the time.

        Returns when all are condemned, which is shortly before all have ended. Nothing happens
        where the group is empty or gone.
        """
        (cgroups_v2 if self.layout.unified else cgroups_v1).kill(self._tracker)

    def freeze(self, seconds: float = _PATIENCE) -> None:
        """Stop every process in the group and below until ``thaw``. ``HostRefused`` when they do
        not all stand still in time, or v1 has no freezer; then they run on."""
        version = cgroups_v2 if self.layout.unified else cgroups_v1
        if not version.freeze(self._tracker, seconds):
            version.thaw(self._tracker)
            cause = f"not all of it stopped within {seconds:g} s, or this host has no freezer"
            raise HostRefused("freeze", f"control group {self.path}", cause, "try again")

    def thaw(self) -> None:
        """Let everything run again; no error where nothing was frozen."""
        (cgroups_v2 if self.layout.unified else cgroups_v1).thaw(self._tracker)

    def remove(self, seconds: float = _PATIENCE) -> None:
        """Remove the group and those below it, waiting until their last processes have ended.

        What is gone already is no error. ``Conflict`` when something still runs after ``seconds``.
        """
        own, self._made = self._directories(), {}
        if not wait_until(lambda: all(_removed(directory) for directory in own), seconds):
            still = ", ".join(str(pid) for pid in self.pids()[:5]) or "others"
            cause = f"processes run in it: {still}"
            raise Conflict("remove", f"control group {self.path}", cause, "end them first")

    def prune(self) -> None:
        """Remove the group if it is empty; else leave it. For the parent of all groups."""
        for directory in self._directories():
            try:
                os.rmdir(directory)
            except OSError as error:
                if error.errno in (errno.EBUSY, errno.ENOTEMPTY):
                    return  # somebody is in it, and whoever is its last comes here, too

    @property
    def _tracker(self) -> str:
        """The directory that knows all processes of the group."""
        if self.layout.unified:
            return f"{self.layout.base}/{self.path}"
        return self._place("freezer" if "freezer" in self.layout.bases else "pids")

    def _place(self, controller: str) -> str:
        return f"{self.layout.bases[controller]}/{self.path}"

    def _places(self) -> dict[str, str]:
        """v1: where the group exists, by controller."""
        if self._made:
            return self._made
        places = {name: self._place(name) for name in self.layout.bases}
        return {name: place for name, place in places.items() if os.path.isdir(place)}

    def _directories(self) -> list[str]:
        if self.layout.unified or self._parent is not None:
            return [self._tracker]
        return list(dict.fromkeys(self._place(name) for name in self.layout.bases))

    def _homes(self) -> list[str]:
        """The directories that a process of this group is in."""
        if self.layout.unified:
            return [self._tracker]
        if self._parent is None:
            return list(dict.fromkeys(self._places().values()))
        inherited = [place for place in self._parent._homes() if place != self._parent._tracker]
        return [*inherited, self._tracker]

    def _ready(self) -> None:
        if self._parent is not None:
            self._make(self._tracker)

    def _make(self, directory: str) -> None:
        for _ in range(_TRIES):
            try:
                os.mkdir(directory)
                return
            except FileExistsError:
                return
            except FileNotFoundError:
                # A parent is missing; it may also vanish again under us when somebody prunes.
                os.makedirs(os.path.dirname(directory), exist_ok=True)
        raise FileNotFoundError(errno.ENOENT, "", directory)


def enter(doors: Iterable[int]) -> None:
    """Move the calling process, which must have one thread only, in through the ``doors`` of a group.

    Nothing but writes to open descriptors: fit for a child that may not import, open or look up.
    """
    for door in doors:
        os.write(door, b"0")


def _removed(directory: str) -> bool:
    return _gone(directory) or all(_gone(group) for group in groups(directory))


def _gone(directory: str) -> bool:
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno in (errno.EBUSY, errno.ENOTEMPTY):
            return False
        raise
    return True
