"""The directories of ``RUN --mount=type=cache``: kept between builds, no part of any image.

``cache-mounts/KEY`` in the store; used under a lock of the store, so that ``private`` and ``locked``
hold between all builders.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sandcell.runtime.build.mounting import Mount
from sandcell.runtime.linux.idmap import IdMap
from sandcell.runtime.store import Store
from sandcell.runtime.store.worker import REMOVE, Worker

_MAKE = "sandcell.runtime.build.cache_folder.make"
_PAUSE = 0.05
_MOST = 1000


class Stopped(Exception):
    """Somebody else's step failed, or the build was interrupted."""


@contextmanager
def cache_folder(
    store: Store, worker: Worker, mount: Mount, base: str, idmap: IdMap, stopped: Callable[[], bool]
) -> Iterator[str]:
    """The directory of a cache mount, for as long as the with statement lasts; it has ``upper`` and
    ``work``. ``base``: what its files begin with. ``Stopped`` while waiting for others."""
    text = f"{mount.id or mount.target}\0{base}\0{mount.source}\0{idmap.key}"
    key = hashlib.sha256(text.encode()).hexdigest()[:32]
    for number in range(_MOST if mount.sharing == "private" else 1):
        name = f"{key}-{number}"
        lock = f"mount-{name}"
        if mount.sharing == "shared":
            with store.lock(lock, shared=True):
                yield _folder(store, worker, name, mount)
            return
        while True:
            with store.attempt(lock) as alone:
                if alone:
                    yield _folder(store, worker, name, mount)
                    return
            if mount.sharing == "private":
                break
            if stopped():
                raise Stopped
            time.sleep(_PAUSE)


def _folder(store: Store, worker: Worker, name: str, mount: Mount) -> str:
    home = _home(store)
    path = f"{home}/{name}"
    if not os.path.isdir(path):
        os.makedirs(home, mode=0o700, exist_ok=True)
        mode = 0o755 if mount.mode is None else mount.mode
        worker.run(_MAKE, {"path": path, "mode": mode, "uid": mount.uid, "gid": mount.gid})
    return path


def make(*, path: str, mode: int, uid: int, gid: int) -> None:
    """Make the directories of a cache: it appears complete, by renaming."""
    half = f"{path}.{os.urandom(4).hex()}"
    os.mkdir(half, 0o700)
    for name in ("upper", "work"):
        os.mkdir(f"{half}/{name}")
    try:
        os.chown(f"{half}/upper", uid, gid)
    except PermissionError:
        pass  # with a single id everything belongs to it
    os.chmod(f"{half}/upper", mode)
    try:
        os.rename(half, path)
    except OSError:
        for name in ("upper", "work"):
            os.rmdir(f"{half}/{name}")
        os.rmdir(half)


def clear(store: Store, worker: Callable[[], Worker], *, dry_run: bool) -> list[str]:
    """Delete the caches that no step uses now; gives their names. ``dry_run``: only tell them."""
    gone = []
    try:
        names = os.listdir(_home(store))
    except FileNotFoundError:
        return []
    for name in names:
        with store.attempt(f"mount-{name}") as alone:
            if alone:
                gone.append(name)
                if not dry_run:
                    worker().run(REMOVE, {"path": f"{_home(store)}/{name}"})
    return gone


def _home(store: Store) -> str:
    return f"{store.home}/cache-mounts"
