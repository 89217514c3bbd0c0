"""Putting the files of an archive into a directory that is in use: a container's, or the user's own.

Other than a layer, the files are really made: there are no whiteouts, and what is there already stays
unless the archive has a file of that name. Neither the archive nor the directory is trusted.
"""

import os
import stat
from collections.abc import Callable

from sandcell.runtime.errors import BadInput, Conflict
from sandcell.runtime.layer import attributes
from sandcell.runtime.layer.place import clean
from sandcell.runtime.layer.tar_read import DIRECTORY, FIFO, FILE, HARDLINK, SYMLINK, Header, TarReader
from sandcell.runtime.linux.syscall import openat2

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FILES = (FILE, b"\0", b"7")


def extract(
    read: Callable[[int], bytes],
    root: int,
    directory: str,
    *,
    resolve: int,
    name: str | None = None,
    owner: tuple[int, int] | None = None,
) -> int:
    """Make the files of the tar that ``read`` gives below ``directory``; the number of entries.

    ``root``: a directory, beneath which every path is looked up under the rules ``resolve`` of
    openat2(2). ``name`` takes the place of the first part of every name, the empty one takes it away.
    ``owner``: user and group of all files, else those of the archive. ``BadInput`` for an archive that
    would leave the directory or holds devices, ``Conflict`` where a directory and a file collide.
    """
    extraction = _Extraction(root, directory, resolve, name, owner)
    count = 0
    reader = TarReader(read)
    try:
        for header in reader:
            extraction.put(header, reader)
            count += 1
        extraction.finish()
    finally:
        extraction.close()
    return count


class _Extraction:
    def __init__(
        self, root: int, directory: str, resolve: int, name: str | None, owner: tuple[int, int] | None
    ) -> None:
        self._root = root
        self._at = os.fsencode(directory).rstrip(b"/")
        self._resolve = resolve
        self._name = None if name is None else os.fsencode(name)
        self._owner = owner
        self._parent: tuple[bytes, int] | None = None
        self._times: list[tuple[bytes, int]] = []

    def put(self, header: Header, reader: TarReader) -> None:
        """Make one entry."""
        path = self._path(header.name)
        if not path:
            return
        above, _, base = path.rpartition(b"/")
        parent = self._open(above)
        if header.type == DIRECTORY:
            self._directory(parent, base, path, header)
            return
        self._clear(parent, base, path)
        if header.type in _FILES:
            fd = os.open(base, _NEW, 0o600, dir_fd=parent)
            try:
                for piece in reader.content():
                    while piece:
                        piece = piece[os.write(fd, piece) :]
                self._dress(fd, header)
            finally:
                os.close(fd)
        elif header.type == SYMLINK:
            os.symlink(header.link, base, dir_fd=parent)
            self._give(parent, base, header)
        elif header.type == HARDLINK:
            source = self._path(header.link)
            where, _, last = source.rpartition(b"/")
            directory = openat2(self._root, self._below(where), _DIRECTORY, resolve=self._resolve)
            try:
                os.link(last, base, src_dir_fd=directory, dst_dir_fd=parent, follow_symlinks=False)
            finally:
                os.close(directory)
        elif header.type == FIFO:
            os.mkfifo(base, header.mode & 0o777, dir_fd=parent)
            self._give(parent, base, header)
        else:
            raise BadInput("copy", os.fsdecode(path), "it is a device", "devices are not copied")

    def finish(self) -> None:
        """Directories get their times last: what was put in changed them."""
        for path, mtime in reversed(self._times):
            fd = openat2(self._root, self._below(path), _DIRECTORY, resolve=self._resolve)
            os.utime(fd, ns=(mtime, mtime))
            os.close(fd)

    def close(self) -> None:
        """Let the last directory go."""
        if self._parent is not None:
            os.close(self._parent[1])
        self._parent = None

    def _path(self, name: bytes) -> bytes:
        path = clean(name)
        if self._name is None:
            return path
        _, slash, rest = path.partition(b"/")
        return self._name + slash + rest if self._name else rest

    def _below(self, path: bytes) -> bytes:
        return b"/".join(part for part in (self._at, path) if part) or b"."

    def _open(self, path: bytes) -> int:
        """The directory, made with those above it where the archive forgot them."""
        if self._parent is not None and self._parent[0] == path:
            return self._parent[1]
        try:
            fd = openat2(self._root, self._below(path), _DIRECTORY, resolve=self._resolve)
        except FileNotFoundError:
            if not path:
                raise
            above, _, base = path.rpartition(b"/")
            os.mkdir(base, 0o755, dir_fd=self._open(above))
            fd = openat2(self._root, self._below(path), _DIRECTORY, resolve=self._resolve)
        self.close()
        self._parent = (path, fd)
        return fd

    def _directory(self, parent: int, base: bytes, path: bytes, header: Header) -> None:
        try:
            os.mkdir(base, 0o700, dir_fd=parent)
        except FileExistsError:
            fd = self._open(path)  # it may be a link to a directory; then that one is meant
            if not stat.S_ISDIR(os.fstat(fd).st_mode):
                raise
            return
        fd = os.open(base, _DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
        try:
            self._dress(fd, header)
        finally:
            os.close(fd)
        self._times.append((path, header.mtime))

    def _clear(self, parent: int, base: bytes, path: bytes) -> None:
        try:
            os.unlink(base, dir_fd=parent)
        except FileNotFoundError:
            pass
        except IsADirectoryError:
            raise Conflict(
                "copy", os.fsdecode(path), "a directory of that name is there", "remove it first"
            ) from None

    def _dress(self, fd: int, header: Header) -> None:
        uid, gid = self._owner or (header.uid, header.gid)
        attributes.write(fd, uid, gid, header.mode & 0o7777, header.xattrs)
        os.utime(fd, ns=(header.mtime, header.mtime))

    def _give(self, parent: int, base: bytes, header: Header) -> None:
        uid, gid = self._owner or (header.uid, header.gid)
        try:
            os.chown(base, uid, gid, dir_fd=parent, follow_symlinks=False)
        except OSError:
            pass  # an id that this host does not give us; a link has no place to record it
        os.utime(base, ns=(header.mtime, header.mtime), dir_fd=parent, follow_symlinks=False)
