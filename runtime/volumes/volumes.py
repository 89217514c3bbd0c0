"""Named volumes on disk: ``volumes/NAME/`` holds ``_data`` (what is mounted) and ``volume.json``.

A volume appears complete, by renaming, and goes by renaming too. It is filled from an image once,
at its first use, under its lock; the marker ``used`` then stands beside ``_data``, so a volume that
somebody has emptied stays empty.
"""

import fcntl
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from sandcell.runtime.errors import Conflict, InvalidOption, NotFound
from sandcell.runtime.known import known
from sandcell.runtime.linux.durable import sync_directory

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")
_RECORD = "volume.json"
_USED = "used"
HALF = ".half-"
"""What is being made or removed begins so; nobody takes it for a volume."""


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """A named volume. ``mountpoint``: its folder on the host. ``created``: seconds since the epoch."""

    name: str
    mountpoint: str
    created: float
    labels: dict[str, str] = {}


class _Record(msgspec.Struct, frozen=True):
    created: float
    labels: dict[str, str] = {}


class Volumes:
    """The volumes below one directory, which is made when the first volume is."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def path(self, name: str) -> str:
        """The folder that is mounted for ``name``."""
        return f"{self.directory}/{name}/_data"

    def all(self) -> tuple[Volume, ...]:
        """All volumes, by name."""
        if not os.path.isdir(self.directory):
            return ()
        found = (self._read(name) for name in sorted(os.listdir(self.directory)) if not name.startswith("."))
        return tuple(volume for volume in found if volume is not None)

    def find(self, name: str) -> Volume:
        """That volume; ``NotFound`` with the nearest name as hint."""
        volume = self._read(name) if _NAME.fullmatch(name) else None
        if volume is None:
            from difflib import get_close_matches

            near = get_close_matches(name, [other.name for other in self.all()], 1)
            hint = f"did you mean {near[0]}?" if near else "`volume ls` lists them"
            raise NotFound("find volume", name, "there is none of that name", hint)
        return volume

    def create(self, name: str, labels: dict[str, str] | None = None) -> Volume:
        """The volume ``name``, made when there is none (as docker, the labels of one there stay).
        ``InvalidOption`` for what is no name."""
        check_name(name)
        there = self._read(name)
        if there is not None:
            return there
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        half = f"{self.directory}/{HALF}{os.urandom(8).hex()}"
        os.mkdir(half, 0o700)
        os.mkdir(f"{half}/_data", 0o755)
        os.chmod(f"{half}/_data", 0o755)
        with open(f"{half}/{_RECORD}", "wb") as file:
            file.write(msgspec.json.encode(_Record(time.time(), labels or {})))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.rename(half, f"{self.directory}/{name}")
        except OSError:
            # Somebody else made it a moment ago.
            os.unlink(f"{half}/{_RECORD}")
            os.rmdir(f"{half}/_data")
            os.rmdir(half)
        # A volume that a loss of power makes nameless would take its files along.
        sync_directory(self.directory)
        return self.find(name)

    def first_use(self, name: str, fill: Callable[[str], None]) -> None:
        """Before a volume's first use, let ``fill`` put files into a new folder, which then takes the
        place of its empty one. One caller fills, others wait; what a crash left is thrown away."""
        base = f"{self.directory}/{name}"
        if os.path.exists(f"{base}/{_USED}"):
            return
        with self._locked(name):
            if os.path.exists(f"{base}/{_USED}"):
                return
            if not os.listdir(f"{base}/_data"):
                fill(f"{base}/_data")
            os.close(os.open(f"{base}/{_USED}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))

    def remove(self, name: str, users: Callable[[str], list[str]], discard: Callable[[str], None]) -> None:
        """Remove the volume and its files. ``users`` tells the names of the containers that mount it:
        ``Conflict`` while there are any. ``discard`` removes a tree."""
        self.find(name)
        with self._locked(name):
            using = users(name)
            if using:
                raise Conflict(
                    "remove volume",
                    name,
                    f"it belongs to {', '.join(using[:4])}",
                    f"remove the container first: rm {using[0]}",
                )
            half = f"{self.directory}/{HALF}{os.urandom(8).hex()}"
            os.rename(f"{self.directory}/{name}", half)
        discard(half)

    def halves(self) -> list[str]:
        """Paths of volumes that were being made or removed by somebody who was killed."""
        if not os.path.isdir(self.directory):
            return []
        return [f"{self.directory}/{name}" for name in os.listdir(self.directory) if name.startswith(HALF)]

    def _read(self, name: str) -> Volume | None:
        try:
            with open(f"{self.directory}/{name}/{_RECORD}", "rb") as file:
                record = msgspec.json.decode(file.read(), type=known(_Record))
        except (FileNotFoundError, NotADirectoryError, msgspec.MsgspecError):
            return None
        return Volume(name=name, mountpoint=self.path(name), created=record.created, labels=record.labels)

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        try:
            fd = os.open(f"{self.directory}/{name}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            raise NotFound("find volume", name, "somebody removed it meanwhile") from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


def check_name(name: str) -> None:
    """``InvalidOption`` unless ``name`` may name a volume."""
    if not _NAME.fullmatch(name):
        raise InvalidOption(
            "name volume", name, "not a name", "letters, digits, _ . - and a letter or digit first"
        )
