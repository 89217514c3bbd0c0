"""What is kept of a container between two commands: a directory with its record, its ``config.json`` as
it was at creation, a lock, and until the start the socket at which init waits.

The record holds all that ``start``, ``state``, ``kill`` and ``delete`` need, so that they read one small
file and import next to nothing: they live for milliseconds.
"""

import fcntl
import os

from sandcell.runtime.errors import ContainerNotFound, InvalidOption, NameInUse, WrongState
from sandcell.runtime.linux.alive import boot_id, read_text, start_time
from sandcell.runtime.oci_cli import documents

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandcell.runtime.linux.cgroups import Cgroup
    from sandcell.runtime.oci.spec import Hook, Spec

DOOR = "start"
FILTERS = ".filters"
"""The directory beside the containers where their compiled system call filters are kept."""
CREATING, CREATED, RUNNING, PAUSED, STOPPED = "creating", "created", "running", "paused", "stopped"

_RECORD, _CONFIG = "record.json", "config.json"
_LONGEST = 1024
_SIGNS = frozenset("_+.-")


class Record:
    """One container.

    ``created``: seconds since the epoch. ``pid``, ``began`` and ``boot`` name its first process, pid 0
    for none. ``cgroup``: its path, empty without one; ``groups``: the directories of it that we made;
    ``freezer``: the file that tells whether it stands still. ``mounts``: those in the host's own mount
    namespace. ``hooks``: poststart and poststop as in the document. ``startable``: it has a process.
    ``unit``: the scope of systemd's that the group belongs to, empty without one.
    """

    __slots__ = (
        "annotations", "began", "boot", "bundle", "cgroup", "created", "freezer", "groups", "hooks", "id",
        "mounts", "oci_version", "pid", "root", "startable", "unit",
    )  # fmt: skip

    def __init__(self, id: str, bundle: str, created: float) -> None:
        self.id, self.bundle, self.created = id, bundle, created
        self.oci_version, self.root = "1.0.0", ""
        self.annotations: dict[str, str] = {}
        self.pid, self.began, self.boot = 0, 0, ""
        self.cgroup, self.freezer = "", ""
        self.groups: list[str] = []
        self.mounts: list[str] = []
        self.hooks: dict[str, list[dict[str, object]]] = {}
        self.startable = True
        self.unit = ""

    @property
    def alive(self) -> bool:
        """True while its first process lives (a zombie does not)."""
        return bool(self.pid) and self.boot == boot_id() and start_time(self.pid) == self.began

    def state(self, status: str) -> dict[str, object]:
        """The container's state as runtime.md tells it ("State")."""
        told: dict[str, object] = {"ociVersion": self.oci_version, "id": self.id, "status": status}
        if status != STOPPED:
            told["pid"] = self.pid
        told["bundle"] = self.bundle
        if self.annotations:
            told["annotations"] = self.annotations
        return told


class Kept:
    """The directory of one container, locked while this lives."""

    def __init__(self, root: str, name: str, *, make: bool = False) -> None:
        """``make``: a new one. ``ContainerNotFound``, ``NameInUse`` or ``InvalidOption``."""
        if not is_name(name):
            raise InvalidOption("use", f"container id {name!r}", "it has letters, digits and _ + . - only")
        self.path = f"{root}/{name}"
        if make:
            os.makedirs(root, 0o700, exist_ok=True)
            try:
                os.mkdir(self.path, 0o700)
            except FileExistsError:
                raise NameInUse("create", f"container {name}", "there is one of that id already") from None
        try:
            self.folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise ContainerNotFound("find", f"container {name}", "container does not exist") from None
        # The directory itself is what is locked: no file more to make and to remove.
        fcntl.flock(self.folder, fcntl.LOCK_EX)
        self.record = Record(name, "", 0)
        if not make:
            self._load()

    def _load(self) -> None:
        try:
            text = read_text(f"{self.path}/{_RECORD}")
        except FileNotFoundError:
            # Its creation was killed, or it is deleted at this moment.
            if not os.path.exists(self.path):
                name = self.record.id
                raise ContainerNotFound("find", f"container {name}", "container does not exist") from None
            return
        for key, value in documents.read(text, object=f"{self.path}/{_RECORD}").items():
            setattr(self.record, key, value)

    def keep(self, config: bytes) -> None:
        """Write the record, and the document it was made from."""
        self._write(_CONFIG, config)
        facts = {name: getattr(self.record, name) for name in Record.__slots__}
        self._write(_RECORD, documents.write(facts).encode(errors="surrogateescape"))

    @property
    def spec(self) -> "Spec":
        """Its ``config.json`` as it was at creation."""
        from sandcell.runtime.oci.decode import decode
        from sandcell.runtime.oci.spec import Spec

        with open(f"{self.path}/{_CONFIG}", "rb") as file:
            return decode(Spec, file.read(), object=file.name)

    @property
    def group(self) -> "Cgroup | None":
        """Its control group."""
        if not self.record.cgroup:
            return None
        from sandcell.runtime.linux import cgroups

        layout = cgroups.whole() if self.record.unit else cgroups.layout()
        return cgroups.Cgroup(self.record.cgroup, layout)

    @property
    def door(self) -> str:
        """A short path of the socket at which init waits: those of sockets have a limit."""
        return f"/proc/self/fd/{self.folder}/{DOOR}"

    @property
    def status(self) -> str:
        """created, running, paused or stopped."""
        if not self.record.alive:
            return STOPPED
        if self.frozen:
            return PAUSED
        return CREATED if os.path.lexists(f"{self.path}/{DOOR}") else RUNNING

    @property
    def frozen(self) -> bool:
        """True while every process of it stands still, or is about to."""
        try:
            return read_text(self.record.freezer).strip() in ("1", "FROZEN", "FREEZING")
        except OSError:
            return False

    def state(self, status: str = "") -> bytes:
        """The state now as JSON; ``status`` where the caller knows better."""
        return documents.write(self.record.state(status or self.status)).encode(errors="surrogateescape")

    def need(self, verb: str, *statuses: str) -> str:
        """Its status, one of ``statuses``; else ``WrongState``."""
        status = self.status
        if status not in statuses:
            wanted = " or ".join(statuses)
            raise WrongState(verb, f"container {self.record.id}", f"it is {status}, not {wanted}")
        return status

    def hooks(self, moment: str) -> "tuple[Hook, ...]":
        """The hooks of that moment."""
        listed = self.record.hooks.get(moment)
        if not listed:
            return ()
        import msgspec

        from sandcell.runtime.oci.spec import Hook

        return tuple(msgspec.convert(one, Hook) for one in listed)

    def remove(self) -> None:
        """Forget the container."""
        for name in os.listdir(self.path):
            os.unlink(f"{self.path}/{name}")
        os.rmdir(self.path)

    def close(self) -> None:
        """Let go of the lock."""
        # The container's first process has a copy, which would keep the lock.
        fcntl.flock(self.folder, fcntl.LOCK_UN)
        os.close(self.folder)

    def _write(self, name: str, data: bytes) -> None:
        fd = os.open(f"{self.path}/.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:
            file.write(data)
        os.rename(f"{self.path}/.{name}", f"{self.path}/{name}")


def version(text: str) -> tuple[int, ...]:
    """The numbers of an ``ociVersion``, without what may follow them."""
    return tuple(int(number) for number in text.partition("-")[0].partition("+")[0].split("."))


def is_name(name: str) -> bool:
    """May a container be called so?"""
    plain = all(sign.isascii() and (sign.isalnum() or sign in _SIGNS) for sign in name)
    return plain and 0 < len(name) <= _LONGEST and name not in (".", "..", FILTERS)


def names(root: str) -> list[str]:
    """The ids of all containers."""
    try:
        return sorted(filter(is_name, os.listdir(root)))
    except FileNotFoundError:
        return []
