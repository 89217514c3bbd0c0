"""Finding the directory an archive's entry belongs in, never outside the tree being unpacked.

An archive may name anything: absolute paths, ``..``, a symlink and then a file through it. Here the
kernel is asked one component at a time, relative to an open directory, and never to follow a symlink;
links are followed by hand, as a process whose root is the tree would. So there is no path that leaves.
"""

import errno
import os
import stat

import msgspec

from sandcell.runtime.errors import BadInput
from sandcell.runtime.layer import attributes, whiteout
from sandcell.runtime.layer.stack import Stack
from sandcell.runtime.linux.syscall import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, openat2

DEEPEST = 256
_LONGEST = 4095
_MOST_LINKS = 40
MOST_OPEN = 200
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Look(msgspec.Struct, frozen=True, gc=False):
    """Mode, owner, time (nanoseconds, ``None`` as it falls) and attributes of a file or directory."""

    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    mtime: int | None = None
    xattrs: dict[str, bytes] = {}


def clean(name: bytes, *, what: str = "name") -> bytes:
    """``name`` without leading slashes, dots and doubled slashes; empty for the root.

    ``BadInput`` for one that climbs by ``..``, is longer than a path or nested too deeply.
    """
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise refuse(name, f"its {what} contains '..'")
    if len(name) > _LONGEST or len(parts) > DEEPEST:
        raise refuse(
            name, f"its {what} is nested deeper than {DEEPEST} directories or longer than {_LONGEST} bytes"
        )
    return b"/".join(parts)


def refuse(name: bytes, cause: str) -> BadInput:
    """The error for an entry that is not put anywhere."""
    return BadInput(
        "unpack", name[:200].decode("utf-8", "backslashreplace"), cause, "do not trust this archive"
    )


class Places:
    """Open directories below ``target``, made as they are asked for.

    ``stack``: the layers below, from which a directory that the archive does not mention takes its
    mode and owner, and its symlinks. ``known``: descriptor and real path of what was found; call
    ``forget`` in the end, and between two entries when there are more than ``MOST_OPEN``.
    ``directories``: by real path, how each shall look when everything is in it.
    """

    def __init__(self, target: int, stack: Stack, flavour: whiteout.XattrFlavour, recorded: bool) -> None:
        self._stack = stack
        self.flavour = flavour
        self._recorded = recorded
        self.known: dict[bytes, tuple[int, bytes]] = {}
        self._target = target
        self.directories: dict[bytes, Look] = {}

    def find(self, path: bytes) -> tuple[int, bytes]:
        """A descriptor of the directory ``path`` and where it really is; makes it if it is missing."""
        return self.known.get(path) or self._find(path)

    def forget(self) -> None:
        """Close all descriptors."""
        for fd, _ in self.known.values():
            os.close(fd)
        self.known.clear()

    def emptied(self, real: bytes) -> None:
        """The directory ``real`` and all in it is no more."""
        start = real + b"/"
        for path, (fd, where) in list(self.known.items()):
            if where == real or where.startswith(start):
                os.close(fd)
                del self.known[path]
        for path in [path for path in self.directories if path == real or path.startswith(start)]:
            del self.directories[path]

    def reopen(self, real: bytes) -> int:
        """A fresh descriptor of a directory known to be really there."""
        return openat2(self._target, real or b".", _DIRECTORY, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)

    def _find(self, path: bytes, links: int = 0) -> tuple[int, bytes]:
        if not path:
            self.known[path] = place = (os.dup(self._target), b"")
            return place
        parent_path, _, base = path.rpartition(b"/")
        parent, real_parent = self.known.get(parent_path) or self._find(parent_path, links)
        real = real_parent + b"/" + base if real_parent else base
        for _ in range(2):
            try:
                fd = os.open(base, _DIRECTORY, dir_fd=parent)
            except OSError as error:
                link = self._missing(error, parent, base, path, real)
                if link is None:
                    continue
                if links >= _MOST_LINKS:
                    raise refuse(path, "its directory is a chain of too many symlinks") from None
                goal = _follow(real_parent, link)
                fd, real = self.known.get(goal) or self._find(goal, links + 1)
                fd = os.dup(fd)
            self.known[path] = fd, real
            return fd, real
        raise refuse(path, "its directory cannot be made")

    def _missing(self, error: OSError, parent: int, base: bytes, path: bytes, real: bytes) -> bytes | None:
        """Make the directory that could not be opened, or tell the symlink that stands for it."""
        if error.errno == errno.ENOENT:
            return self._make(parent, base, real)
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise error
        status = os.stat(base, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            return os.readlink(base, dir_fd=parent)
        if not whiteout.is_whiteout(status):
            raise refuse(path, "it is a file, and other entries are put below it") from None
        # The layer deletes what was below and puts a new directory in its place.
        os.unlink(base, dir_fd=parent)
        self.make(parent, base, opaque=True)
        self.directories[real] = Look()
        return None

    def _make(self, parent: int, base: bytes, real: bytes) -> bytes | None:
        path = os.fsdecode(real)
        found = self._stack.find(path)
        look = Look()
        if found is not None:
            root, status = found
            if stat.S_ISLNK(status.st_mode):
                return os.fsencode(os.readlink(path, dir_fd=root))
            if stat.S_ISDIR(status.st_mode):
                fd = openat2(root, path, _DIRECTORY, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)
                try:
                    look = self.like(fd)
                finally:
                    os.close(fd)
        self.make(parent, base)
        self.directories[real] = look
        return None

    def make(self, parent: int, base: bytes, *, opaque: bool = False) -> None:
        """A new directory, nobody else's business until all is done."""
        os.mkdir(base, 0o700, dir_fd=parent)
        if opaque:
            self.hide(parent, base)

    def hide(self, parent: int, base: bytes) -> None:
        """Make a directory opaque."""
        fd = os.open(base, _DIRECTORY, dir_fd=parent)
        try:
            whiteout.make_opaque(fd, self.flavour)
        finally:
            os.close(fd)

    def like(self, fd: int) -> Look:
        """How an open file or directory of a layer below looks."""
        status = os.fstat(fd)
        uid, gid, mode = attributes.owner(fd, status, recorded=self._recorded)
        return Look(mode, uid, gid, status.st_mtime_ns, attributes.read(fd))


def _follow(directory: bytes, link: bytes) -> bytes:
    """Where ``link`` in ``directory`` points, the tree's root being the end of every climb."""
    at = [] if link.startswith(b"/") else directory.split(b"/")
    for part in link.split(b"/"):
        if part == b"..":
            at = at[:-1]
        elif part not in (b"", b"."):
            at.append(part)
    return b"/".join(part for part in at if part)
