"""What is remembered of a container from its creation on: ``container.json``.

Beside it stand ``config.json`` (the runtime-spec document), the writable layer, the log and the
files mounted into it. How the container stands now is ``container.state``'s.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from sandcell.runtime.container import keeping, state
from sandcell.runtime.container.options import Options
from sandcell.runtime.engine.places import Places
from sandcell.runtime.engine.refusals import told
from sandcell.runtime.engine.values import Container
from sandcell.runtime.errors import ContainerNotFound, Corrupted, InvalidDocument
from sandcell.runtime.known import known
from sandcell.runtime.linux.host_model import Facet
from sandcell.runtime.linux.idmap import IdMap
from sandcell.runtime.linux.process import Identity
from sandcell.runtime.oci.decode import decode, encode
from sandcell.runtime.oci.digest import Digest

_NAME = "container.json"
_ID = re.compile(r"[0-9a-f]{64}")
PAUSED = "paused"


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One container's birth certificate. ``options`` without the files that were placed. ``idmap``: of the
    owners that its files have in the store. ``userns``: the ids of its processes, where these are others."""

    id: str
    image: str
    image_digest: Digest
    command: tuple[str, ...]
    created: float
    options: Options
    idmap: IdMap = IdMap()
    userns: IdMap = IdMap()
    rung: str = "root"
    facets: tuple[Facet, ...] = ()

    @property
    def ids(self) -> IdMap:
        """The map between its processes' ids and the host's."""
        return self.userns if self.userns.user_namespace else self.idmap

    @property
    def name(self) -> str:
        """The name given, else the short id."""
        return self.options.name or self.id[:12]


# Ahead, for what makes containers has the same records within its own.
known(Record)


def new_id() -> str:
    """64 random hexadecimal digits, as docker's."""
    return os.urandom(32).hex()


def write(places: Places, record: Record) -> None:
    """Write or replace the record; a reader sees the old or the new one, also after a loss of power where
    there was an old one. A new one is on the disk when it was kept: ``keep``."""
    path = f"{places.container(record.id)}/{_NAME}"
    with open(path + ".new", "wb") as file:
        file.write(encode(record))
        if os.path.exists(path):
            file.flush()
            os.fsync(file.fileno())
    os.rename(path + ".new", path)


@contextmanager
def locked(places: Places, id: str) -> Iterator[None]:
    """Keep everybody else from replacing the record, from pausing the container and from removing it: each
    does so under this lock. ``FileNotFoundError`` when its directory is gone."""
    fd = os.open(places.container(id), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


@contextmanager
def changing(places: Places, who: Record, operation: str) -> Iterator[Record]:
    """The record as it is now, ``locked`` for the with statement. ``ContainerNotFound`` when the container
    was removed meanwhile, also by itself."""
    try:
        with locked(places, who.id):
            yield _read(places, who.id)
    except FileNotFoundError:
        if not goes(places, who.id):
            raise
        raise ContainerNotFound(operation, who.name, "it was removed meanwhile") from None


def keep(places: Places, id: str) -> None:
    """Bring a container's records to the disk, so that a loss of power does not lose it. ``StoreFull``,
    ``ContainerNotFound`` when it was removed meanwhile."""
    with told("keep", f"container {id[:12]}"):
        try:
            keeping.keep(places.container(id))
        except FileNotFoundError:
            if not goes(places, id):
                raise
            raise ContainerNotFound("keep", f"container {id[:12]}", "it was removed meanwhile") from None


def read(places: Places, id: str) -> Record | None:
    """The record, or ``None`` while the container is being made or removed, and where it is ``spoiled``."""
    try:
        return _read(places, id)
    except (FileNotFoundError, NotADirectoryError, InvalidDocument):
        return None


def _read(places: Places, id: str) -> Record:
    with open(f"{places.container(id)}/{_NAME}", "rb") as file:
        return decode(Record, file.read(), object=_NAME)


def spoiled(places: Places) -> list[str]:
    """Ids of containers whose record cannot be read: the power was lost within a second of the start, or the
    disk is broken. The container's files are still there."""
    found = []
    for id in os.listdir(places.containers):
        try:
            _read(places, id)
        except InvalidDocument:
            found.append(id)
        except (FileNotFoundError, NotADirectoryError):
            continue
    return found


def goes(places: Places, id: str) -> bool:
    """Is it removed, or just removing itself at its end? Then any of its files may be missing."""
    found = read(places, id)
    return found is None or (found.options.remove and current(places, found).status != state.RUNNING)


def every(places: Places) -> list[Record]:
    """All records, newest first."""
    found = [record for id in os.listdir(places.containers) if (record := read(places, id)) is not None]
    return sorted(found, key=lambda record: record.created, reverse=True)


def find(places: Places, name: str) -> Record:
    """The record by name, id or unambiguous beginning of an id.

    ``ContainerNotFound``, with the nearest name as hint, otherwise; ``Corrupted`` when it is ``spoiled``.
    """
    exact = read(places, name) if _ID.fullmatch(name) else None
    if exact is not None:
        return exact
    records = every(places)
    for record in records:
        if record.name == name:
            return record
    beginning = [record for record in records if name and record.id.startswith(name)]
    if len(beginning) == 1:
        return beginning[0]
    if beginning:
        raise ContainerNotFound("find container", name, "several ids begin so", "write more of it")
    for id in spoiled(places):
        if name and id.startswith(name):
            cause = f"its {_NAME} cannot be read, as after a loss of power"
            hint = f"its files are in {places.container(id)}/upper; rm -f {id[:12]} removes it"
            raise Corrupted("find container", id[:12], cause, hint)
    raise ContainerNotFound("find container", name, "there is none of that name", _hint(name, records))


def _hint(name: str, records: list[Record]) -> str:
    from difflib import get_close_matches

    names = [record.name for record in records]
    near = get_close_matches(name, names, 1)
    if near:
        return f"did you mean {near[0]}?"
    return f"there are {', '.join(names[:8])}" if names else "there are no containers"


def current(places: Places, record: Record) -> state.State:
    """How the container stands, checked against the living processes and written if it changed."""
    run = places.running(record.id)
    home = places.container(record.id)
    said = state.read(run, home)
    true = state.truth(said)
    if true is not said and os.path.isdir(home):
        # The monitor may have written its last word and ended since we read. Who holds the lock is
        # the only one to write; while another has it, the next run or the removal has begun.
        os.makedirs(run, mode=0o700, exist_ok=True)
        try:
            lock = state.take_lock(run, 0)
        except FileNotFoundError:
            lock = None  # whoever removes it has just come to this
        said = state.read(run, home)
        true = state.truth(said)
        if lock is not None:
            try:
                if true is not said:
                    state.write(run, true)
            except OSError:
                pass  # a full disk: the next one who asks finds out again
            os.close(lock)
    return true


def mark(init: Identity) -> str:
    """What names one life of a container, so that what is noted of it is not believed of the next."""
    return f"{init.boot} {init.pid} {init.start}"


def paused(places: Places, record: Record, now: state.State) -> bool:
    """True while ``pause`` lets it stand still; ``now``: how it stands otherwise."""
    if now.status != state.RUNNING or now.init is None:
        return False
    try:
        with open(f"{places.running(record.id)}/{PAUSED}") as file:
            return file.read() == mark(now.init)
    except FileNotFoundError:
        return False


def container(places: Places, record: Record) -> Container:
    """The value that people see."""
    now = current(places, record)
    return Container(
        id=record.id,
        name=record.name,
        image=record.image,
        image_digest=record.image_digest,
        command=record.command,
        created=record.created,
        state=state.PAUSED if paused(places, record, now) else now.status,
        pid=now.init.pid if now.init is not None and now.status == state.RUNNING else None,
        exit_status=now.exit_status,
        started=now.started,
        finished=now.finished,
        oom=now.oom,
        error=now.error,
        rung=record.rung,
        facets=record.facets,
        labels=record.options.labels,
        options=record.options,
    )
