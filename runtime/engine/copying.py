"""Copying files between the host and a container, running or not. docker-cp(1)."""

import errno
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from sandcell.runtime.container import jobs, state
from sandcell.runtime.engine import birth, carrier, lifecycle, lower, record
from sandcell.runtime.engine.places import make_skeleton
from sandcell.runtime.engine.record import Record
from sandcell.runtime.engine.work import run_apart
from sandcell.runtime.errors import InvalidOption, NotFound, WrongState
from sandcell.runtime.layer.disk import refused
from sandcell.runtime.layer.extract import extract
from sandcell.runtime.layer.pack import pack_entries
from sandcell.runtime.layer.scan import scan
from sandcell.runtime.linux.process import Identity, alive
from sandcell.runtime.linux.syscall import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS

if TYPE_CHECKING:
    from sandcell.runtime.engine.engine import Engine

_MODULE = "sandcell.runtime.engine.carrier"
_ENDED = (errno.ENOENT, errno.ESRCH)
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def parse_place(text: str) -> tuple[str, str]:
    """Container and path of ``NAME:PATH``; an empty container for a path of the host, which begins with
    ``/`` or ``.`` or has no colon."""
    name, colon, path = text.partition(":")
    return (name, path or "/") if colon and name and name[0] not in "/." else ("", text)


def read_archive(
    engine: "Engine", who: Record, path: str, out: int, *, follow: bool, name: str | None = None
) -> None:
    """Write ``path`` of the container as a tar to the descriptor ``out``. The names begin with ``name``,
    else with the last part of the path, for ``DIR/.`` with a dot. ``NotFound``."""
    if name is None:
        name = "." if path.endswith("/.") else _last(path)
    payload = {"path": _absolute(path), "name": name, "follow": follow, "recorded": who.idmap.single}
    _work(engine, who, "read", payload, out)


def _last(path: str) -> str:
    return os.path.basename(os.path.normpath(f"/{path}")) or "root"


def write_archive(
    engine: "Engine", who: Record, path: str, source: int, *, kind: str, name: str, contents: bool, keep: bool
) -> None:
    """Make the files of the tar in the descriptor ``source`` at ``path``; see ``carrier.write``."""
    payload = {"path": _absolute(path), "kind": kind, "name": name, "contents": contents, "keep_owner": keep}
    _work(engine, who, "write", payload, source)


def _absolute(path: str) -> str:
    # docker takes a path without a slash from the root, whatever the working directory.
    return path if path.startswith("/") else f"/{path}"


def _work(engine: "Engine", who: Record, verb: str, payload: dict[str, Any], *streams: int) -> Any:
    while True:
        root: dict[str, Any] = {}
        try:
            with _root(engine, who, payload["path"]) as (root, init):
                ids = who.ids if init else who.idmap
                task = jobs.Task(f"{_MODULE}.{verb}", {**payload, "root": root}, ids, init)
                return run_apart(lambda: engine.launcher, task, streams)
        except BrokenPipeError:
            raise
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise BrokenPipeError(errno.EPIPE, "nobody reads it") from None
            if "pid" in root and error.errno in _ENDED and not alive(Identity(**root)):
                lifecycle.wait(engine.places, who)  # it ended before its root was open: as it is now, then
                continue
            raise refused(error, "copy", f"{who.name}:{payload['path']}") from error
        except WrongState:
            now = record.current(engine.places, who)
            if now.status != state.RUNNING or now.init is None:
                raise
            # It was just being started.


@contextmanager
def _root(engine: "Engine", who: Record, path: str) -> Iterator[tuple[dict[str, Any], Any]]:
    """What the worker needs to open the container's root, which stays the same meanwhile."""
    places = engine.places
    now = record.current(places, who)
    if now.status == state.RUNNING and now.init is not None:
        if not engine.host.mounting:
            yield {"directory": lower.root(places.container(who.id))}, None
            return
        mapped = now.init if who.ids.user_namespace else None
        yield msgspec.structs.asdict(now.init), mapped
        return
    spec = birth.spec_of(places, who)
    for mount in spec.mounts:
        inside = f"{os.path.normpath(path)}/".startswith(f"{mount.destination.rstrip('/')}/")
        if inside:
            raise WrongState(
                "copy",
                f"{who.name}:{path}",
                f"{mount.destination} is mounted only while it runs",
                f"start it first: start {who.name}",
            )
    with ExitStack() as stack:
        stack.enter_context(lifecycle.alone(places, who, "copy files of"))
        make_skeleton(places)
        if engine.host.copying:
            base, lowers = places.container(who.id), engine.store.lowers_of(who)
            lower.furnish(engine.launcher, engine.host, who.idmap, places, base, lowers)
            yield {"directory": lower.root(places.container(who.id))}, None
            return
        if who.options.remove:
            lifecycle.unmark(places, who)
        files = birth.rootfs(
            engine.nursery,
            who.id,
            engine.store.lowers_of(who),
            volatile=False,
            owners=who.idmap,
        )
        yield (
            {
                "target": files.path,
                "lowers": list(files.lowers),
                "upper": files.upper,
                "work": files.work,
                "userxattr": files.userxattr,
            },
            None,
        )


def copy_out(engine: "Engine", who: Record, path: str, destination: str, *, follow: bool, keep: bool) -> None:
    """Copy ``path`` of the container to ``destination`` on the host."""
    kind = _work(engine, who, "look", {"path": _absolute(path), "follow": follow})
    directory, renamed = carrier.place(
        destination,
        kind,
        _last(path),
        path.endswith("/."),
        exists=os.path.lexists(destination),
        is_directory=os.path.isdir(destination),
    )
    taken, given = os.pipe2(os.O_CLOEXEC)
    failed: list[BaseException] = []

    def fetch() -> None:
        try:
            read_archive(engine, who, path, given, follow=follow, name=_last(path))
        except BaseException as error:
            failed.append(error)
        finally:
            os.close(given)

    fetching = threading.Thread(target=fetch)
    fetching.start()
    try:
        with open(taken, "rb", buffering=0) as tar:
            _take(tar, directory, renamed, keep=keep)
    except Exception:
        fetching.join()
        if not failed or isinstance(failed[0], BrokenPipeError):
            raise
    fetching.join()
    if failed:
        raise failed[0]


def _take(tar: Any, directory: str, renamed: str | None, *, keep: bool) -> None:
    owner = None if keep and os.geteuid() == 0 else (os.geteuid(), os.getegid())
    try:
        root = os.open(directory, _DIRECTORY)
    except OSError as error:
        raise NotFound("copy", directory, os.strerror(error.errno or 0)) from None
    try:
        extract(tar.read, root, "", resolve=RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS, name=renamed, owner=owner)
    except OSError as error:
        raise refused(error, "copy", directory) from error
    finally:
        os.close(root)


def copy_in(engine: "Engine", who: Record, source: str, path: str, *, follow: bool, keep: bool) -> None:
    """Copy ``source`` of the host to ``path`` in the container."""
    try:
        status = os.stat(source) if follow or source.endswith(("/", "/.")) else os.lstat(source)
    except OSError as error:
        raise NotFound("copy", source, os.strerror(error.errno or 0)) from None
    if not (stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
        raise InvalidOption("copy", source, "it is neither a file nor a directory")
    kind = "dir" if stat.S_ISDIR(status.st_mode) else "file"
    name = os.path.basename(os.path.realpath(source) if source.endswith(".") else source.rstrip("/"))
    taken, given = os.pipe2(os.O_CLOEXEC)
    failed: list[BaseException] = []

    def send() -> None:
        try:
            with open(given, "wb", buffering=0) as out:
                _pack(source, name, status, out)
        except BrokenPipeError:
            pass  # the other side tells why it reads no more
        except BaseException as error:
            failed.append(error)

    sending = threading.Thread(target=send)
    sending.start()
    try:
        write_archive(
            engine, who, path, taken, kind=kind, name=name, contents=source.endswith("/."), keep=keep
        )
    except Exception:
        os.close(taken)
        taken = -1
        sending.join()
        if not failed:
            raise
    if taken >= 0:
        os.close(taken)
    sending.join()
    if failed:
        why = failed[0]
        raise refused(why, "copy", source) if isinstance(why, OSError) else why


def _pack(source: str, name: str, status: os.stat_result, out: Any) -> None:
    if stat.S_ISDIR(status.st_mode):
        root = os.open(source, _DIRECTORY)
        try:
            rows = scan(root, mounts=True)
            pack_entries(((carrier.under(name, entry), content) for entry, content in rows), out)
        finally:
            os.close(root)
        return
    links = os.O_NOFOLLOW if stat.S_ISLNK(status.st_mode) else 0
    found = os.open(source, os.O_PATH | os.O_CLOEXEC | links)
    try:
        entry, content = carrier.single(name, found, os.fstat(found), recorded=False)
        pack_entries([(entry, content)], out)
        if isinstance(content, int):
            os.close(content)
    finally:
        os.close(found)
