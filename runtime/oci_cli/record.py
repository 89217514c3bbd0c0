"""What is kept of a container between two commands: a directory with its record, its ``config.json`` as
it was at creation, a lock, and until the start the socket at which init waits.
"""

import fcntl
import os
import re
import shutil

import msgspec

from sandcell.runtime.errors import ContainerNotFound, InvalidOption, NameInUse, WrongState
from sandcell.runtime.linux import cgroups
from sandcell.runtime.linux.process import Identity, alive
from sandcell.runtime.oci.decode import decode, encode
from sandcell.runtime.oci.spec import Spec

DOOR = "start"
CREATING, CREATED, RUNNING, PAUSED, STOPPED = "creating", "created", "running", "paused", "stopped"

_RECORD, _CONFIG, _LOCK = "record.json", "config.json", "lock"
_NAME = re.compile(r"[A-Za-z0-9_+.-]{1,1024}")


class State(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The container's state as the specification tells it (runtime.md, "State")."""

    oci_version: str
    id: str
    status: str
    pid: int = 0
    bundle: str
    annotations: dict[str, str] = {}


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``created``: seconds since the epoch. ``cgroup``: its path, empty without one; ``own_cgroup``: made
    by us, so to be removed."""

    id: str
    bundle: str
    created: float
    init: Identity | None = None
    cgroup: str = ""
    own_cgroup: bool = True


class Kept:
    """The directory of one container, locked while this lives."""

    def __init__(self, root: str, name: str, *, make: bool = False) -> None:
        """``make``: a new one. ``ContainerNotFound``, ``NameInUse`` or ``InvalidOption``."""
        if not _NAME.fullmatch(name) or name in (".", ".."):
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
        lock = os.open(_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=self.folder)
        fcntl.flock(lock, fcntl.LOCK_EX)
        self._lock = lock
        if make:
            return
        try:
            self.record = msgspec.json.decode(self._read(_RECORD), type=Record)
            self.spec = decode(Spec, self._read(_CONFIG), object=f"{self.path}/{_CONFIG}")
        except FileNotFoundError:
            # Its creation was killed, or it is deleted at this moment.
            if not os.path.exists(self.path):
                raise ContainerNotFound("find", f"container {name}", "container does not exist") from None
            self.record = Record(id=name, bundle="", created=0)
            self.spec = Spec(oci_version="1.0.0")

    def keep(self, record: Record, spec: Spec) -> None:
        """Write the record, replacing the old one as a whole."""
        self.record, self.spec = record, spec
        self._write(_CONFIG, encode(spec))
        self._write(_RECORD, msgspec.json.encode(record))

    @property
    def group(self) -> cgroups.Cgroup | None:
        """Its control group."""
        return cgroups.Cgroup(self.record.cgroup, cgroups.layout()) if self.record.cgroup else None

    @property
    def door(self) -> str:
        """A short path of the socket at which init waits: those of sockets have a limit."""
        return f"/proc/self/fd/{self.folder}/{DOOR}"

    @property
    def status(self) -> str:
        """created, running, paused or stopped."""
        init = self.record.init
        if init is None or not alive(init):
            return STOPPED
        if os.path.lexists(f"{self.path}/{DOOR}"):
            return CREATED
        group = self.group
        return PAUSED if group is not None and group.frozen else RUNNING

    def state(self, status: str = "") -> State:
        """The state now; ``status`` where the caller knows better."""
        status = status or self.status
        init = self.record.init
        return State(
            oci_version=self.spec.oci_version,
            id=self.record.id,
            status=status,
            pid=init.pid if init and status != STOPPED else 0,
            bundle=self.record.bundle,
            annotations=self.spec.annotations,
        )

    def need(self, verb: str, *statuses: str) -> Identity:
        """Its init, where the container is in one of ``statuses``; else ``WrongState``."""
        status = self.status
        if status not in statuses or self.record.init is None:
            wanted = " or ".join(statuses)
            raise WrongState(verb, f"container {self.record.id}", f"it is {status}, not {wanted}")
        return self.record.init

    def remove(self) -> None:
        """Forget the container."""
        shutil.rmtree(self.path)

    def close(self) -> None:
        """Let go of the lock."""
        # The container's first process has a copy, which would keep the lock.
        fcntl.flock(self._lock, fcntl.LOCK_UN)
        os.close(self._lock)
        os.close(self.folder)

    def _read(self, name: str) -> bytes:
        with open(f"{self.path}/{name}", "rb") as file:
            return file.read()

    def _write(self, name: str, data: bytes) -> None:
        with open(f"{self.path}/.{name}", "wb") as file:
            file.write(data)
        os.rename(f"{self.path}/.{name}", f"{self.path}/{name}")


def names(root: str) -> list[str]:
    """The ids of all containers."""
    try:
        return sorted(name for name in os.listdir(root) if _NAME.fullmatch(name))
    except FileNotFoundError:
        return []
