"""Carrying files into and out of a container's root, in a process of its own: what ``copying`` hands out.

The process has the container's ids but stays in the host's files, so nothing it loads comes from the
container; each path is looked up by the kernel inside the container's root, wherever links lead.
"""

import errno
import os
import stat
from typing import Any

import msgspec

from sandcell.runtime.errors import Conflict, NotFound
from sandcell.runtime.layer import attributes
from sandcell.runtime.layer.extract import extract
from sandcell.runtime.layer.pack import Content, pack_entries
from sandcell.runtime.layer.scan import scan
from sandcell.runtime.layer.tree import Entry
from sandcell.runtime.linux import mounts, overlay
from sandcell.runtime.linux.process import Identity, alive
from sandcell.runtime.linux.syscall import CLONE_NEWNS, RESOLVE_IN_ROOT, openat2, unshare

_PATH = os.O_PATH | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def look(*, root: dict[str, Any], path: str, follow: bool) -> str:
    """What is at ``path``: ``dir``, or ``file`` for all else. ``NotFound``."""
    found = _find(_open_root(root), path, follow)
    return "dir" if stat.S_ISDIR(os.fstat(found).st_mode) else "file"


def _find(base: int, path: str, follow: bool) -> int:
    links = 0 if follow or path.endswith(("/", "/.")) else os.O_NOFOLLOW
    try:
        return openat2(base, path, _PATH | links, resolve=RESOLVE_IN_ROOT)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound("copy", path, "there is no such file in the container") from None


def read(
    *, root: dict[str, Any], path: str, name: str, follow: bool, recorded: bool, stream: int
) -> dict[str, Any]:
    """Write ``path``, a file or a directory with all below it, as a tar to ``stream``, every name in it
    beginning with ``name``. Gives ``kind`` and ``size`` in bytes.

    ``follow``: a link is not copied but what it leads to.
    """
    base = _open_root(root)
    found = _find(base, path, follow)
    status = os.fstat(found)
    with open(stream, "wb", buffering=0) as out:
        if stat.S_ISDIR(status.st_mode):
            inner = openat2(base, path, _DIRECTORY, resolve=RESOLVE_IN_ROOT)
            rows = scan(inner, recorded_owners=recorded, mounts=True)
            pack_entries(((under(name, entry), content) for entry, content in rows), out)
            return {"kind": "dir", "size": 0}
        pack_entries([single(name, found, status, recorded)], out)
    return {"kind": "file", "size": status.st_size}


def under(name: str, entry: Entry) -> Entry:
    """The entry with its names below ``name``."""
    link = f"{name}/{entry.link}" if entry.kind == "hardlink" else entry.link
    return msgspec.structs.replace(entry, path=f"{name}/{entry.path}" if entry.path else name, link=link)


def single(name: str, found: int, status: os.stat_result, recorded: bool) -> tuple[Entry, Content]:
    """The entry of what is no directory, open as ``found`` (O_PATH), and its content, newly opened."""
    mode, mtime = stat.S_IMODE(status.st_mode), status.st_mtime_ns // 1_000_000_000
    if stat.S_ISLNK(status.st_mode):
        link = os.readlink("", dir_fd=found)
        return Entry(name, "symlink", mode, status.st_uid, status.st_gid, 0, mtime, link), None
    if not stat.S_ISREG(status.st_mode):
        raise Conflict(
            "copy", name, "it is neither a file nor a directory", "devices, pipes stay where they are"
        )
    # Opened anew only now that it is known to be a file: to open a pipe or a device does something.
    fd = os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_CLOEXEC)
    uid, gid, mode = attributes.owner(fd, status, recorded=recorded)
    return Entry(name, "file", mode, uid, gid, status.st_size, mtime, "", attributes.read(fd)), fd


def write(
    *, root: dict[str, Any], path: str, kind: str, name: str, contents: bool, keep_owner: bool, stream: int
) -> dict[str, Any]:
    """Make the files of the tar in ``stream`` at ``path``, as docker-cp(1) says; gives ``entries``.

    ``kind``: ``file`` or ``dir``, what the tar's first part ``name`` is; ``tar`` for an archive of any
    files, to be extracted below the directory ``path``. ``contents``: what is in it, not the directory.
    ``keep_owner``: of the archive; else root's.
    """
    base = _open_root(root)
    directory, renamed = _destination(base, path, kind, name, contents)
    owner = None if keep_owner else (0, 0)
    with open(stream, "rb", buffering=0) as tar:
        made = extract(
            tar.read, base, directory.lstrip("/"), resolve=RESOLVE_IN_ROOT, name=renamed, owner=owner
        )
    return {"entries": made}


def _destination(base: int, path: str, kind: str, name: str, contents: bool) -> tuple[str, str | None]:
    """The directory to extract in, and what the first part of the names is then."""
    try:
        found = openat2(base, path, _PATH, resolve=RESOLVE_IN_ROOT)
    except (FileNotFoundError, NotADirectoryError):
        found = -1
    is_directory = found >= 0 and stat.S_ISDIR(os.fstat(found).st_mode)
    directory, renamed = place(path, kind, name, contents, exists=found >= 0, is_directory=is_directory)
    try:
        openat2(base, directory, _PATH | os.O_DIRECTORY, resolve=RESOLVE_IN_ROOT)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound("copy", directory, "there is no such directory in the container") from None
    return directory, renamed


def place(
    path: str, kind: str, name: str, contents: bool, *, exists: bool, is_directory: bool
) -> tuple[str, str | None]:
    """The rules of docker-cp(1): the directory to extract in, and what takes the place of the archive's
    first name: ``None`` keeps it, an empty text takes it away. ``NotFound``, ``Conflict``."""
    if kind == "tar":
        if not is_directory:
            raise NotFound(
                "copy", path, "there is no such directory", "an archive is extracted in a directory"
            )
        return path, None
    if is_directory:
        return path, "" if kind == "dir" and contents else name
    if exists and kind == "dir":
        raise Conflict("copy", path, "it is a file, and a directory shall go there")
    if path.endswith("/") and (exists or kind == "file"):
        raise NotFound("copy", path, "there is no such directory", "without the last / it names a file")
    above, _, last = path.rstrip("/").rpartition("/")
    return above or ("/" if path.startswith("/") else "."), last


def _open_root(root: dict[str, Any]) -> int:
    if "pid" in root:
        init = Identity(root["pid"], root["start"], root["boot"])
        base = os.open(f"/proc/{init.pid}/root", _DIRECTORY)
        if not alive(init):
            raise FileNotFoundError(errno.ENOENT, "the container ended meanwhile", f"/proc/{init.pid}/root")
        return base
    if "directory" in root:
        return os.open(root["directory"], _DIRECTORY)
    unshare(CLONE_NEWNS)
    mounts.mount(None, b"/", None, mounts.MS_REC | mounts.MS_PRIVATE)
    overlay.mount_overlay(
        root["target"], root["lowers"], root["upper"], root["work"], userxattr=root["userxattr"]
    )
    return os.open(root["target"], _DIRECTORY)
