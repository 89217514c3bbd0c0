"""Steps that only a bundle's ``config.json`` can ask for; the rest is in ``steps``.

They place mounts before the root is changed, as the runtime-spec wants it for the hooks: each target
is reached by openat2(2) with RESOLVE_IN_ROOT, so no link in an image leads out, and the mount is
attached to the descriptor that was reached, so nobody can exchange the path meanwhile.
"""

from sandcell.runtime.container.steps import Step
from sandcell.runtime.oci.spec import Hook


class BundleStep(Step, frozen=True, tag=True, array_like=True):
    """Base of these steps."""

    def describe(self) -> str:
        """One line in the words of the man pages."""
        return type(self).__name__


class Attributes(BundleStep, frozen=True, tag=True, array_like=True):
    """What mount_setattr(2) shall set and clear, on the mount and on the whole tree below it;
    ``propagation``: (MS_* flag, recursive), in order."""

    set: int = 0
    clear: int = 0
    tree_set: int = 0
    tree_clear: int = 0
    propagation: tuple[tuple[int, bool], ...] = ()


class Affinity(BundleStep, frozen=True, tag=True, array_like=True):
    """Run on these processors. sched_setaffinity(2)."""

    processors: tuple[int, ...]

    def describe(self) -> str:
        return "run on processors " + ",".join(str(number) for number in self.processors[:8])


class MemoryFrom(BundleStep, frozen=True, tag=True, array_like=True):
    """From which nodes memory comes: a mode with its flags, and a mask of nodes. set_mempolicy(2)."""

    mode: int
    nodes: bytes

    def describe(self) -> str:
        return "set the memory policy"


class Propagation(BundleStep, frozen=True, tag=True, array_like=True):
    """How mounts travel between host and container: MS_* ``flags`` on the host's tree as we see it."""

    flags: int

    def describe(self) -> str:
        return "decide how mounts travel between the host and the container"


class SourceTree(BundleStep, frozen=True, tag=True, array_like=True):
    """Open a detached copy of a host mount or file under ``key``."""

    key: int
    source: str
    recursive: bool

    def describe(self) -> str:
        return f"open {self.source} of the host"


class FileSystem(BundleStep, frozen=True, tag=True, array_like=True):
    """Make a detached mount under ``key``. ``options``: ``name`` or ``name=value`` of fsconfig(2).

    A tmpfs without a mode gets that of the directory ``like`` it will cover.
    """

    key: int
    fstype: str
    source: str
    options: tuple[str, ...]
    attributes: int
    like: str = ""

    def describe(self) -> str:
        return f"make a {self.fstype}" + (f" ({','.join(self.options)})" if self.options else "")


class RootTree(BundleStep, frozen=True, tag=True, array_like=True):
    """Bind the root directory on itself, unless it is not to be a mount; from here on targets are
    below it. ``private_parent``: what is mounted on the mount above stays in this namespace."""

    path: str
    private_parent: bool
    bind: bool = True

    def describe(self) -> str:
        return f"bind {self.path} as root" if self.bind else f"open {self.path} as root"


class Place(BundleStep, frozen=True, tag=True, array_like=True):
    """Attach the tree ``key`` at ``target`` in the root, made where missing. ``plain``: the target may
    not be reached through a link. ``copy_up``: begin with what the directory held."""

    key: int
    target: str
    attributes: Attributes
    plain: bool = False
    copy_up: bool = False

    def describe(self) -> str:
        return f"mount it at {self.target}"


class RemountAt(BundleStep, frozen=True, tag=True, array_like=True):
    """Change the attributes of the mount at ``target`` in the root."""

    target: str
    attributes: Attributes

    def describe(self) -> str:
        return f"remount {self.target}"


class DeviceAt(BundleStep, frozen=True, tag=True, array_like=True):
    """A device node or fifo in the root; where it may not be made, the host's own is shown."""

    path: str
    mode: int
    major: int
    minor: int
    uid: int
    gid: int

    def describe(self) -> str:
        return f"make device {self.path} ({self.major}:{self.minor})"


class LinkAt(BundleStep, frozen=True, tag=True, array_like=True):
    """A symbolic link in the root; an existing name is left alone."""

    target: str
    path: str

    def describe(self) -> str:
        return f"link {self.path} → {self.target}"


class ConsoleAt(BundleStep, frozen=True, tag=True, array_like=True):
    """A terminal in the container's devpts, shown at /dev/console; the master goes to the runtime.
    ``size``: rows and columns, 0 for unknown."""

    uid: int
    rows: int = 0
    columns: int = 0
    show: bool = True

    def describe(self) -> str:
        return "open a terminal (pty)"


class MaskAt(BundleStep, frozen=True, tag=True, array_like=True):
    """Hide a path in the root, if it is there."""

    path: str

    def describe(self) -> str:
        return f"hide {self.path}"


class ReadOnlyAt(BundleStep, frozen=True, tag=True, array_like=True):
    """Make a path in the root read-only, if it is there."""

    path: str

    def describe(self) -> str:
        return f"make {self.path} read-only"


class RuntimeHooks(BundleStep, frozen=True, tag=True, array_like=True):
    """Let the runtime call its hooks, and get the container's state for ours."""

    def describe(self) -> str:
        return "wait for the hooks of the runtime"


class CallHooks(BundleStep, frozen=True, tag=True, array_like=True):
    """Run hooks in the container's namespaces, the state on their standard input. ``folder``: where."""

    moment: str
    hooks: tuple[Hook, ...]
    folder: str = ""

    def describe(self) -> str:
        return f"call the {self.moment} hooks"


class ChangeRoot(BundleStep, frozen=True, tag=True, array_like=True):
    """pivot_root(2) into the root and let go of the host's tree; ``flags``: MS_* for the new root."""

    flags: int

    def describe(self) -> str:
        return "pivot_root into the container's file system"


class EnterRoot(BundleStep, frozen=True, tag=True, array_like=True):
    """chroot(2) into the root: all that can be done in the host's own mount namespace."""

    def describe(self) -> str:
        return "chroot into the container's file system"


class Hold(BundleStep, frozen=True, tag=True, array_like=True):
    """Let go of what only the system call filter needed: hold exactly these capabilities."""

    effective: int
    permitted: int
    inheritable: int

    def describe(self) -> str:
        return f"keep {self.effective.bit_count()} capabilities"


class ReadOnlyRoot(BundleStep, frozen=True, tag=True, array_like=True):
    """Make the root mount read-only."""

    def describe(self) -> str:
        return "make the root read-only"


class SessionKeyring(BundleStep, frozen=True, tag=True, array_like=True):
    """A keyring of its own for the session. keyctl(2)."""

    def describe(self) -> str:
        return "join a new session keyring"


class Label(BundleStep, frozen=True, tag=True, array_like=True):
    """The AppArmor profile or SELinux label of the program to be executed."""

    attribute: str
    text: str

    def describe(self) -> str:
        return f"run under {self.text}"


class Domain(BundleStep, frozen=True, tag=True, array_like=True):
    """personality(2)."""

    value: int

    def describe(self) -> str:
        return f"set personality {self.value:#x}"


class AwaitStart(BundleStep, frozen=True, tag=True, array_like=True):
    """Tell the runtime that the container stands, and wait until it is started."""

    def describe(self) -> str:
        return "wait to be started"


class NotifyFilter(BundleStep, frozen=True, tag=True, array_like=True):
    """Load a system call filter and hand its listener over to the agent. seccomp_unotify(2)."""

    program: bytes
    flags: int
    metadata: str
    agent: int

    def describe(self) -> str:
        return "filter system calls, and give the listener to its agent"


class ChangeDirectory(BundleStep, frozen=True, tag=True, array_like=True):
    """chdir(2), refused where that is no place of the container."""

    path: str

    def describe(self) -> str:
        return f"change directory to {self.path}"


class FindProgram(BundleStep, frozen=True, tag=True, array_like=True):
    """Fail now, and not at the start, when the program is not there."""

    arguments: tuple[str, ...]
    environment: tuple[str, ...]

    def describe(self) -> str:
        return "execute " + self.arguments[0]


class Run(BundleStep, frozen=True, tag=True, array_like=True):
    """execve(2); descriptors from 3 to 2 + ``preserve`` stay open."""

    arguments: tuple[str, ...]
    environment: tuple[str, ...]
    preserve: int = 0

    def describe(self) -> str:
        return "execute " + " ".join(self.arguments)
