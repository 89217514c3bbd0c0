"""Unpacking a layer into the directory form that overlayfs stacks.

Deletions become whiteouts and opaque marks (see ``whiteout``). The archive is not trusted: nothing
is written outside the target (see ``place``), and what a small archive may grow to is bounded.
"""

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Sequence

import msgspec

from sandcell.runtime.errors import BadInput
from sandcell.runtime.layer import attributes, tar_read, whiteout
from sandcell.runtime.layer.beside import Ahead
from sandcell.runtime.layer.compress import Source
from sandcell.runtime.layer.disk import refused
from sandcell.runtime.layer.place import MOST_OPEN, Look, Places, clean, refuse
from sandcell.runtime.layer.sparse import placed
from sandcell.runtime.layer.stack import Hidden, Stack
from sandcell.runtime.layer.tar_read import Header, TarReader
from sandcell.runtime.layer.tree import told
from sandcell.runtime.linux.trees import remove
from sandcell.runtime.oci.digest import Digest

MOST_ENTRIES = 5_000_000
MOST_BYTES = 1 << 40
_MOST_TOLD = 100

_NO_XATTRS: dict[str, bytes] = {}
_NO_NAMES = (b"", b".", b"..")
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NODES = {tar_read.CHAR: stat.S_IFCHR, tar_read.BLOCKDEV: stat.S_IFBLK, tar_read.FIFO: stat.S_IFIFO}


class Unpacked(msgspec.Struct, frozen=True):
    """What an archive was: digest and size in bytes of it uncompressed, number of entries.

    ``approximated``: paths (the first hundred) that the host would not give their owner, attribute
    or device, and where that could not even be recorded; empty where all is exact. ``root``: user, group
    and mode of the root directory, where the archive tells them.
    """

    diff_id: Digest
    size: int
    entries: int
    approximated: tuple[str, ...] = ()
    root: tuple[int, int, int] | None = None


def unpack(
    tar: Source,
    target: int,
    *,
    flavour: whiteout.XattrFlavour = "trusted",
    lowers: Sequence[int] | None = (),
    recorded_owners: bool = False,
    ahead: bool = False,
    most_bytes: int = MOST_BYTES,
    most_entries: int = MOST_ENTRIES,
) -> Unpacked:
    """Unpack the uncompressed archive ``tar`` into the empty open directory ``target``.

    ``lowers``: open directories of the layers below, lowest first; directories that the archive
    does not mention look as they do there. ``None``: these are not complete yet; then ``stack.Unseen`` is
    raised where they are needed. ``recorded_owners``: owners are read from records there.
    ``ahead``: inflate and hash in a thread (see ``beside``).
    ``Corrupted`` or ``BadInput`` for an archive that is damaged or refused, ``StoreFull`` where the
    disk is full; then ``target`` holds a part and must be removed.
    """
    hasher = hashlib.sha256()
    size = 0

    def read() -> bytes:
        nonlocal size
        data = tar.read(tar_read.CHUNK)
        hasher.update(data)
        size += len(data)
        if size > most_bytes:
            raise BadInput(
                "unpack", "layer", f"it is larger than {most_bytes} bytes", "do not trust this archive"
            )
        return data

    stack = Hidden() if lowers is None else Stack(lowers)
    places = Places(target, stack, flavour, recorded_owners)
    source = Ahead(read)
    unpacker = _Unpacker(places, TarReader(lambda _: source.next() if ahead else read()), stack, target)
    try:
        entries = unpacker.run(most_entries)
    except OSError as error:
        raise refused(error, "unpack", "layer") from error
    finally:
        source.close()
        places.forget()
    look = places.directories.get(b"")
    root = (look.uid, look.gid, look.mode) if look else None
    return Unpacked(Digest.from_hasher(hasher), size, entries, tuple(unpacker.approximated), root)


class _Unpacker:
    def __init__(self, places: Places, reader: TarReader, stack: Stack, target: int) -> None:
        self._places = places
        self._reader = reader
        self._stack = stack
        self.approximated: list[str] = []
        # On file systems mounted with bsdgroups a new file's group is its directory's.
        plain = os.fstat(target).st_gid == os.getegid()
        self._uid, self._gid = (os.geteuid(), os.getegid()) if plain else (-1, -1)
        self._masked = _masked(target)

    def run(self, most_entries: int) -> int:
        count = 0
        next_header, known = self._reader.next, self._places.known
        while (header := next_header()) is not None:
            count += 1
            if count > most_entries:
                raise BadInput("unpack", "layer", f"it has more than {most_entries} entries")
            name, kind = header.name, header.type
            path, _, base = (name[2:] if name[:2] == b"./" else name).rpartition(b"/")
            place = known.get(path)
            if place is None or base in _NO_NAMES:
                # Directories that are known have clean paths; all others come by here.
                path, _, base = clean(name).rpartition(b"/")
                if not base:
                    self._root(header)
                    continue
                if len(known) > MOST_OPEN:
                    self._places.forget()
                place = self._places.find(path)
            parent, real = place
            if base[:4] == whiteout.PREFIX:
                self._delete(parent, base, name)
            elif kind == tar_read.FILE:
                self._file(parent, base, real, header)
            elif kind == tar_read.DIRECTORY:
                self._directory(parent, base, real, header)
            else:
                self._other(parent, base, real, header)
        self._finish()
        return count

    def _root(self, header: Header) -> None:
        if header.type != tar_read.DIRECTORY:
            raise refuse(header.name, "it is not a directory and takes the place of the root")
        self._places.directories[b""] = _look(header)

    def _file(self, parent: int, base: bytes, real: bytes, header: Header) -> None:
        mode = header.mode
        exact = not mode & self._masked
        try:
            fd = os.open(base, _NEW_FILE, mode if exact else 0o600, dir_fd=parent)
        except FileExistsError:
            self._clear(parent, base, real)
            fd = os.open(base, _NEW_FILE, mode if exact else 0o600, dir_fd=parent)
        try:
            if header.segments is not None:
                self._holes(fd, header)
            else:
                for piece in self._reader.stored():
                    while (written := os.write(fd, piece)) < len(piece):
                        piece = piece[written:]
            if header.uid != self._uid or header.gid != self._gid or header.xattrs:
                if not attributes.write(fd, header.uid, header.gid, mode, header.xattrs):
                    self._approximate(real, base)
            elif not exact:
                os.fchmod(fd, mode)
            mtime = header.mtime
            os.utime(fd, ns=(mtime, mtime))
        finally:
            os.close(fd)

    def _holes(self, fd: int, header: Header) -> None:
        """The content of a sparse file; what no data belongs to stays a hole."""
        for offset, piece in placed(header.segments or (), self._reader.stored()):
            while piece:
                written = os.pwrite(fd, piece, offset)
                offset, piece = offset + written, piece[written:]
        os.ftruncate(fd, header.size)

    def _directory(self, parent: int, base: bytes, real: bytes, header: Header) -> None:
        try:
            self._places.make(parent, base)
        except FileExistsError:
            status = os.stat(base, dir_fd=parent, follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode):
                self._clear(parent, base, real)
                self._places.make(parent, base, opaque=whiteout.is_whiteout(status))
        self._places.directories[_join(real, base)] = _look(header)

    def _other(self, parent: int, base: bytes, real: bytes, header: Header) -> None:
        try:
            made = self._make_other(parent, base, header)
        except FileExistsError:
            self._clear(parent, base, real)
            made = self._make_other(parent, base, header)
        if not made:
            self._approximate(real, base)
        if not made or header.type == tar_read.HARDLINK:
            return
        try:
            os.chown(base, header.uid, header.gid, dir_fd=parent, follow_symlinks=False)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EINVAL):
                raise
            self._approximate(real, base)
        if header.type != tar_read.SYMLINK:
            # Made here just now: no symlink.
            os.chmod(base, header.mode, dir_fd=parent)
        os.utime(base, ns=(header.mtime, header.mtime), dir_fd=parent, follow_symlinks=False)

    def _make_other(self, parent: int, base: bytes, header: Header) -> bool:
        """A symlink, hard link, device or pipe; ``False`` where the host refuses the device."""
        if header.type == tar_read.SYMLINK:
            if not header.link:
                raise refuse(header.name, "it is a symlink to nothing")
            os.symlink(header.link, base, dir_fd=parent)
        elif header.type == tar_read.HARDLINK:
            self._hardlink(parent, base, header)
        else:
            if not (0 <= header.major < 1 << 12 and 0 <= header.minor < 1 << 20):
                raise refuse(header.name, f"there is no device {header.major}:{header.minor}")
            try:
                device = os.makedev(header.major, header.minor)
                os.mknod(base, _NODES[header.type] | 0o600, device, dir_fd=parent)
            except PermissionError:
                return False
        return True

    def _hardlink(self, parent: int, base: bytes, header: Header) -> None:
        link = clean(header.link, what="link")
        path, _, target = link.rpartition(b"/")
        if not target:
            raise refuse(header.name, "it is a hard link to the root")
        directory, real = self._places.find(path)
        try:
            status = os.stat(target, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            self._copy_up(directory, target, _join(real, target), header)
        else:
            if stat.S_ISDIR(status.st_mode) or whiteout.is_whiteout(status):
                raise refuse(header.name, f"it is a hard link to {told(os.fsdecode(link))}, which is no file")
        os.link(target, base, src_dir_fd=directory, dst_dir_fd=parent, follow_symlinks=False)

    def _copy_up(self, directory: int, base: bytes, real: bytes, header: Header) -> None:
        """The file of a layer below that a hard link refers to, as overlayfs would bring it up."""
        path = os.fsdecode(real)
        found = self._stack.find(path)
        if found is None or not stat.S_ISREG(found[1].st_mode):
            raise refuse(header.name, f"it is a hard link to {told(path)}, which is not there")
        root, status = found
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root), "rb") as old:
            new_fd = os.open(base, _NEW_FILE, 0o600, dir_fd=directory)
            with open(new_fd, "wb") as new:
                shutil.copyfileobj(old, new, tar_read.CHUNK)
                new.flush()
                look = self._places.like(old.fileno())
                if not attributes.write(new_fd, look.uid, look.gid, look.mode, look.xattrs):
                    self._approximate(real, b"")
                os.utime(new_fd, ns=(status.st_mtime_ns, status.st_mtime_ns))

    def _delete(self, parent: int, base: bytes, name: bytes) -> None:
        """A whiteout. It speaks of the layers below: what this layer itself puts there stays."""
        if base == whiteout.OPAQUE:
            whiteout.make_opaque(parent, self._places.flavour)
            return
        if base.startswith(whiteout.META):
            return
        gone = base[len(whiteout.PREFIX) :]
        if gone in (b"", b".", b".."):
            raise refuse(name, "it deletes nothing that has a name")
        try:
            whiteout.make_whiteout(gone, parent)
        except FileExistsError:
            if stat.S_ISDIR(os.stat(gone, dir_fd=parent, follow_symlinks=False).st_mode):
                self._places.hide(parent, gone)

    def _clear(self, parent: int, base: bytes, real: bytes) -> None:
        """Make room for an entry whose name was used before: the last one counts."""
        if stat.S_ISDIR(os.stat(base, dir_fd=parent, follow_symlinks=False).st_mode):
            remove(base, parent)
            self._places.emptied(_join(real, base))
        else:
            os.unlink(base, dir_fd=parent)

    def _finish(self) -> None:
        """Owners, modes and times of the directories, deepest first: files in them are done."""
        directories = self._places.directories
        for path in sorted(directories, key=lambda path: -path.count(b"/") if path else 1):
            look = directories[path]
            fd = self._places.reopen(path)
            try:
                if not attributes.write(fd, look.uid, look.gid, look.mode, look.xattrs):
                    self._approximate(path, b"")
                if look.mtime is not None:
                    os.utime(fd, ns=(look.mtime, look.mtime))
            finally:
                os.close(fd)

    def _approximate(self, real: bytes, base: bytes) -> None:
        if len(self.approximated) < _MOST_TOLD:
            self.approximated.append(told(os.fsdecode(_join(real, base) if base else real)))


def _masked(target: int) -> int:
    """The bits of a mode that must be set after a file was made, for they cannot be asked for with it:
    what the umask takes, the set-id and sticky bits; all of them where a default ACL takes part."""
    try:
        if "system.posix_acl_default" in os.listxattr(target):
            return 0o7777
    except OSError:
        pass  # a file system without attributes
    try:
        # umask(2) tells it only by changing it, for other threads too.
        with open("/proc/self/status", "rb") as status:
            return next(int(line[6:], 8) for line in status if line.startswith(b"Umask:")) | 0o7000
    except (OSError, StopIteration):
        return 0o7777


def _look(header: Header) -> Look:
    # A million directories share one empty dictionary.
    return Look(header.mode, header.uid, header.gid, header.mtime, header.xattrs or _NO_XATTRS)


def _join(directory: bytes, name: bytes) -> bytes:
    return directory + b"/" + name if directory else name
