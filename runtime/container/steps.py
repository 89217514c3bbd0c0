"""The vocabulary of a container's plan: what is done, in order, to make one.

Each step is a frozen record that can describe itself in a line; ``inside.play`` and
``outside.prepare`` are the only places that carry steps out. Outside steps are done by the
monitor, inside steps by the process that becomes the container's init.
"""

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from sandcell.runtime.container.mapped_steps import (
    EnterTree as EnterTree,
)
from sandcell.runtime.container.mapped_steps import (
    MappedRoot as MappedRoot,
)
from sandcell.runtime.container.mapped_steps import (
    OpenMapped as OpenMapped,
)
from sandcell.runtime.container.mapped_steps import (
    TakeTrees as TakeTrees,
)
from sandcell.runtime.container.root_steps import (
    ChangeRoot as ChangeRoot,
)
from sandcell.runtime.container.root_steps import (
    KeepBelow as KeepBelow,
)
from sandcell.runtime.container.steps_outside import (
    Connect as Connect,
)
from sandcell.runtime.container.steps_outside import (
    MakeCgroup as MakeCgroup,
)
from sandcell.runtime.container.steps_outside import (
    MapIds as MapIds,
)
from sandcell.runtime.container.steps_outside import (
    NewNamespaces as NewNamespaces,
)
from sandcell.runtime.container.steps_outside import (
    Slirp as Slirp,
)
from sandcell.runtime.container.steps_outside import (
    Step as Step,
)
from sandcell.runtime.container.view_steps import OpenFile, OpenOverlay
from sandcell.runtime.linux.mounts import MS_RDONLY, MS_REMOUNT

# What the monitor says to a first process, one byte each.
GO, IDS_READY, DOORS, CONNECTED = b"g", b"i", b"d", b"n"


class AwaitIds(Step, frozen=True, tag=True, array_like=True):
    """Wait until the monitor has written the id maps, then become the namespace's root."""

    uid: int
    gid: int

    def describe(self) -> str:
        return "wait for the id maps"


class AwaitNetwork(Step, frozen=True, tag=True, array_like=True):
    """Wait until the monitor has connected our network namespace."""

    def describe(self) -> str:
        return "wait for the network"


class JoinNamespace(Step, frozen=True, tag=True, array_like=True):
    """setns(2) into a namespace (network, ipc or uts) that is there already."""

    path: str

    def describe(self) -> str:
        return f"enter the namespace {self.path}"


class EnterCgroup(Step, frozen=True, tag=True, array_like=True):
    """Move into the control group (on v2 the process was born in it), then hide what is above it."""

    new_namespace: bool

    def describe(self) -> str:
        return "enter the control group" + (", make it look like the top" if self.new_namespace else "")


class PrivateMounts(Step, frozen=True, tag=True, array_like=True):
    """Stop mounts from travelling back to the host: MS_REC with ``flags`` (MS_SLAVE, MS_PRIVATE)."""

    flags: int

    def describe(self) -> str:
        return "keep the host from seeing new mounts"


class OpenTree(Step, frozen=True, tag=True, array_like=True):
    """Open a detached copy of a host mount or file, to be attached later by ``AttachTree``.

    ``flags``: MS_*, of the whole tree where ``recursive``. ``mapped``: its owners are to be seen through
    the map of the container's user namespace, which takes ``OpenMapped``.
    """

    key: int
    source: str
    flags: int = 0
    recursive: bool = False
    mapped: bool = False

    def describe(self) -> str:
        return f"open {self.source} of the host"


class OpenKernel(Step, frozen=True, tag=True, array_like=True):
    """Make a detached mount of a file system of the kernel's, to be attached by ``AttachTree``."""

    key: int
    fstype: str
    source: str
    flags: int
    data: str = ""

    def describe(self) -> str:
        return f"open a {self.fstype} of its own" + (f" ({self.data})" if self.data else "")


class MountOverlay(Step, frozen=True, tag=True, array_like=True):
    """Stack the image's read-only layers under one writable layer; ``nodev``: no device in it opens."""

    target: str
    lowers: tuple[str, ...]
    upper: str
    work: str
    volatile: bool
    userxattr: bool
    nodev: bool = False

    def describe(self) -> str:
        return f"mount overlay: {len(self.lowers)} read-only layers under a writable one"


class BindRoot(Step, frozen=True, tag=True, array_like=True):
    """Use a plain directory as root: bind it on itself, since pivot_root wants a mount."""

    source: str
    target: str

    def describe(self) -> str:
        return f"bind {self.source} as root"


class PivotRoot(Step, frozen=True, tag=True, array_like=True):
    """Make ``root`` the root directory; the host's tree lies on top of it until ``DropOldRoot``."""

    root: str

    def describe(self) -> str:
        return "pivot_root into the container's file system"


class Directory(Step, frozen=True, tag=True, array_like=True):
    """Make a directory and its parents, where they are missing."""

    path: str
    mode: int = 0o755

    def describe(self) -> str:
        return f"make directory {self.path}"


class Mount(Step, frozen=True, tag=True, array_like=True):
    """mount(2) a file system of the kernel's."""

    source: str
    target: str
    fstype: str
    flags: int
    data: str = ""

    def describe(self) -> str:
        verb, more = "make read-only" if self.flags & MS_REMOUNT else "mount", f" ({self.data})"
        return f"{verb} {self.fstype} at {self.target}{more if self.data else ''}"


class AttachTree(Step, frozen=True, tag=True, array_like=True):
    """Attach what was opened under ``key``, on a new file or directory where none stands."""

    key: int
    target: str
    flags: int = 0

    def describe(self) -> str:
        return f"attach it at {self.target}" + (" read-only" if self.flags & MS_RDONLY else "")


class Node(Step, frozen=True, tag=True, array_like=True):
    """mknod(2) a device."""

    path: str
    mode: int
    major: int
    minor: int

    def describe(self) -> str:
        return f"make device {self.path} ({self.major}:{self.minor})"


class Symlink(Step, frozen=True, tag=True, array_like=True):
    """symlink(2); an existing name is left alone."""

    target: str
    path: str

    def describe(self) -> str:
        return f"link {self.path} → {self.target}"


class Console(Step, frozen=True, tag=True, array_like=True):
    """Open a pseudo-terminal, usually in the container's own devpts, and send the master to the monitor."""

    rows: int = 0
    columns: int = 0
    path: str = "/dev/pts/ptmx"

    def describe(self) -> str:
        return "open a terminal (pty)"


class DropOldRoot(Step, frozen=True, tag=True, array_like=True):
    """Unmount the host's tree: from here on no path leads to it."""

    def describe(self) -> str:
        return "let go of the host's files"


class Mask(Step, frozen=True, tag=True, array_like=True):
    """Hide kernel files that would tell or change things of the host."""

    paths: tuple[str, ...]

    def describe(self) -> str:
        return f"hide {len(self.paths)} paths of the kernel"


class ReadOnly(Step, frozen=True, tag=True, array_like=True):
    """Make paths read-only."""

    paths: tuple[str, ...]

    def describe(self) -> str:
        return "make read-only: " + " ".join(self.paths)


class Hostname(Step, frozen=True, tag=True, array_like=True):
    """sethostname(2) and, where given, setdomainname(2)."""

    name: str
    domain: str = ""

    def describe(self) -> str:
        return f"set host name {self.name}"


class Loopback(Step, frozen=True, tag=True, array_like=True):
    """Bring the loopback interface up."""

    def describe(self) -> str:
        return "bring up the loopback interface"


class Sysctl(Step, frozen=True, tag=True, array_like=True):
    """Write a namespaced kernel setting below /proc/sys."""

    name: str
    value: str

    def describe(self) -> str:
        return f"sysctl {self.name}={self.value}"


class OomScore(Step, frozen=True, tag=True, array_like=True):
    """/proc/self/oom_score_adj."""

    value: int

    def describe(self) -> str:
        return f"set oom_score_adj {self.value}"


class ResourceLimit(Step, frozen=True, tag=True, array_like=True):
    """setrlimit(2); ``resource`` is its number. No limit is -1, also where it is given as the
    specification's 2^64 - 1."""

    resource: int
    soft: int
    hard: int

    def __post_init__(self) -> None:
        for name in ("soft", "hard"):
            if getattr(self, name) == 2**64 - 1:
                msgspec.structs.force_setattr(self, name, -1)

    def describe(self) -> str:
        import resource  # only people ask, and never inside

        every = sorted(word for word in dir(resource) if word.startswith("RLIMIT_"))
        name = next((word for word in every if getattr(resource, word) == self.resource), self.resource)
        return f"limit {name} to {self.soft}:{self.hard}"


class NewSession(Step, frozen=True, tag=True, array_like=True):
    """setsid(2)."""

    def describe(self) -> str:
        return "start a session"


class Identity(Step, frozen=True, tag=True, array_like=True):
    """Become the user, keeping exactly the given capabilities (bit masks). capabilities(7)."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    umask: int
    bounding: int
    effective: int
    permitted: int
    inheritable: int
    ambient: int
    setgroups: bool
    no_new_privileges: bool

    def describe(self) -> str:
        return f"become uid {self.uid} gid {self.gid} with {self.effective.bit_count()} capabilities" + (
            ", no new privileges" if self.no_new_privileges else ""
        )


class Filter(Step, frozen=True, tag=True, array_like=True):
    """Load a system call filter. seccomp(2)."""

    program: bytes
    flags: int

    def describe(self) -> str:
        return f"filter system calls ({len(self.program) // 8} instructions of BPF)"


class RecordOwners(Step, frozen=True, tag=True, array_like=True):
    """Load a filter that has chown(2) and its like answered by the monitor. seccomp_unotify(2)."""

    program: bytes

    def describe(self) -> str:
        return "record owners that a single id cannot give (chown, setuid and their like)"


class WorkingDirectory(Step, frozen=True, tag=True, array_like=True):
    """chdir(2)."""

    path: str

    def describe(self) -> str:
        return f"change directory to {self.path}"


class Reaper(Step, frozen=True, tag=True, array_like=True):
    """Leave pid 1 to a tiny init; a child goes on from here."""

    def describe(self) -> str:
        return "let a small init be pid 1, and go on as its child"


class Execute(Step, frozen=True, tag=True, array_like=True):
    """execve(2), the program looked for in the environment's PATH."""

    arguments: tuple[str, ...]
    environment: tuple[str, ...]

    def describe(self) -> str:
        return "execute " + " ".join(self.arguments)


Outside: TypeAlias = MakeCgroup | NewNamespaces | Connect | Slirp | MapIds | OpenMapped
Inside: TypeAlias = (
    AwaitIds
    | AwaitNetwork
    | JoinNamespace
    | EnterCgroup
    | PrivateMounts
    | OpenTree
    | OpenKernel
    | OpenOverlay
    | OpenFile
    | TakeTrees
    | EnterTree
    | MappedRoot
    | MountOverlay
    | BindRoot
    | PivotRoot
    | ChangeRoot
    | KeepBelow
    | Directory
    | Mount
    | AttachTree
    | Node
    | Symlink
    | Console
    | DropOldRoot
    | Mask
    | ReadOnly
    | Hostname
    | Loopback
    | Sysctl
    | OomScore
    | ResourceLimit
    | NewSession
    | Identity
    | Filter
    | RecordOwners
    | WorkingDirectory
    | Reaper
    | Execute
)


class Plan(msgspec.Struct, frozen=True, array_like=True):
    """How one container is made: first what its monitor does, then what its init does."""

    outside: tuple[Outside, ...]
    inside: tuple[Inside, ...]

    def __str__(self) -> str:
        return text(self.outside, "from outside") + "\n" + text(self.inside, "from inside")


def text(steps: Sequence[Step], title: str) -> str:
    """The steps as a numbered list under ``title``."""
    lines = (f"{number:3}. {step.describe()}" for number, step in enumerate(steps, 1))
    return "\n".join([f"{title}:", *lines])
