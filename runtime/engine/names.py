"""Names of containers: one symbolic link each in the store's ``names``, pointing to the id.

A name is taken, with its container's record written, under a lock of that directory. So whoever
holds the lock and finds a link without a record of that name knows that a crash left it behind.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from sandcell.runtime.container import state
from sandcell.runtime.engine import record
from sandcell.runtime.engine.places import Places
from sandcell.runtime.engine.record import Record
from sandcell.runtime.engine.refusals import told
from sandcell.runtime.errors import InvalidOption, NameInUse

RENAME = "rename to"
_CLEAN_UP = 10.0


@contextmanager
def claimed(places: Places, name: str, id: str, operation: str = "create container") -> Iterator[None]:
    """Take ``name`` for the container ``id``, whose record is written in the with statement; if that
    fails the name is free again. ``NameInUse``, which tells the ``operation``. The empty name is nobody's
    and everybody's."""
    if not name:
        yield
        return
    path = f"{_directory(places)}/{name}"
    _wait_for_removal(places, path)
    with _locked(places):
        owner = _owner(places, path)
        if owner is not None and owner.options.name == name and owner.id != id:
            hint = f"remove that one first: rm {name}"
            if operation != RENAME:
                hint += "; or take its place: --replace"
            raise NameInUse(operation, name, f"container {owner.id[:12]} has that name", hint)
        _unlink(path)
        os.symlink(id, path)
        try:
            yield
        except BaseException:
            _unlink(path)
            raise


def rename(places: Places, who: Record, name: str) -> Record:
    """The record under another name. ``NameInUse`` when it is taken, ``InvalidOption`` when it is none;
    then nothing changed."""
    if not name:
        raise InvalidOption("rename", who.name, "the new name is empty")
    if who.options.name == name:
        raise NameInUse(RENAME, name, "that is its name already")
    msgspec.structs.replace(who.options, name=name).check()
    with (
        told("rename", who.name),
        claimed(places, name, who.id, RENAME),
        record.changing(places, who, "rename") as old,
    ):
        renamed = msgspec.structs.replace(old, options=msgspec.structs.replace(old.options, name=name))
        record.write(places, renamed)
    if old.options.name != name:
        release(places, old.options.name, who.id)
    record.keep(places, who.id)
    return renamed


def release(places: Places, name: str, id: str) -> None:
    """Give the name free if the container ``id`` holds it."""
    path = f"{_directory(places)}/{name}"
    with _locked(places):
        if name and os.path.islink(path) and os.readlink(path) == id:
            _unlink(path)


def sweep(places: Places) -> None:
    """Give the names free that crashes left taken."""
    with _locked(places):
        for name in os.listdir(_directory(places)):
            path = f"{_directory(places)}/{name}"
            owner = _owner(places, path)
            if owner is None or owner.options.name != name:
                _unlink(path)


def _directory(places: Places) -> str:
    directory = f"{places.home}/names"
    os.makedirs(directory, mode=0o700, exist_ok=True)
    return directory


@contextmanager
def _locked(places: Places) -> Iterator[None]:
    fd = os.open(_directory(places), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _owner(places: Places, path: str) -> Record | None:
    try:
        return record.read(places, os.readlink(path))
    except FileNotFoundError:
        return None


def _wait_for_removal(places: Places, path: str) -> None:
    """One that removes itself at its end holds its name for some moments more."""
    owner = _owner(places, path)
    if owner is None or not owner.options.remove:
        return
    if record.current(places, owner).status == state.EXITED:
        try:
            lock = state.take_lock(places.running(owner.id), _CLEAN_UP)
        except FileNotFoundError:
            return
        if lock is not None:
            os.close(lock)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
