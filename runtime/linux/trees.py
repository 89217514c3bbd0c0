"""Directory trees that somebody else filled: looked into and deleted without ever leaving them."""

import errno
import os

from sandcell.runtime.linux.syscall import (
    RESOLVE_BENEATH,
    RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
    openat2,
)

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_WITHIN = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV
_NO_FILE = frozenset((errno.EISDIR, errno.EPERM, errno.EACCES))


def open_directory(root: int, path: str | bytes, *, mounts: bool = False) -> int:
    """A descriptor of the directory ``path`` of the tree ``root``: no symlink on the way, and no other
    mount unless ``mounts``."""
    return openat2(root, path or ".", _DIRECTORY, 0, _WITHIN & ~RESOLVE_NO_XDEV if mounts else _WITHIN)


def remove(path: str | bytes, dirfd: int | None = None) -> None:
    """Delete ``path``, in the open directory ``dirfd`` if it is given: a file or a whole tree; nothing
    there is fine, and so is somebody who deletes it too.

    No symlink is followed and no mount entered: ``OSError`` (EXDEV, EBUSY) where something is mounted
    inside; what was deleted until then is gone. Directories without permissions are opened up first.
    However deep it is, one directory is open at a time. What is put in meanwhile is deleted too.
    """
    path = os.fsdecode(path)
    try:
        os.unlink(path, dir_fd=dirfd)
        return
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise
    try:
        above = os.open(os.path.dirname(path) or ".", _DIRECTORY, dir_fd=dirfd)
        try:
            _remove(os.path.basename(path), above)
        finally:
            os.close(above)
    except FileNotFoundError:
        pass  # somebody else is ahead of us


def strip(path: str, files: tuple[str, ...], directories: tuple[str, ...] = ()) -> None:
    """Delete ``path`` and what is named of it, as far as the ``directories`` (inner ones first) have nothing
    else in them: a fifth of what ``remove`` takes, which looks for what there is. To be used where nobody
    else can have put a link on the way."""
    for name in files:
        try:
            os.unlink(f"{path}/{name}")
        except OSError:
            pass
    for directory in (*(f"{path}/{name}" for name in directories), path):
        try:
            os.rmdir(directory)
        except OSError:
            pass


def _remove(top: str, above: int) -> None:
    here = _open(above, top)
    names, below, passed = [top], [_empty(here)], [_identity(above)]
    try:
        while names:
            if below[-1]:
                name = below[-1].pop()
                passed.append(_identity(here))
                here = _instead(here, _open(here, name))
                names.append(name)
                below.append(_empty(here))
                continue
            here = _instead(here, os.open("..", _DIRECTORY, dir_fd=here))
            if _identity(here) != passed[-1]:
                raise OSError(errno.ESTALE, "it was moved while it was deleted", names[-1])
            if _gone(names[-1], here):
                names.pop()
                below.pop()
                passed.pop()
            else:
                here = _instead(here, _open(here, names[-1]))
                below[-1] = _empty(here)
    finally:
        os.close(here)


def _instead(old: int, new: int) -> int:
    os.close(old)
    return new


def _identity(directory: int) -> tuple[int, int]:
    status = os.fstat(directory)
    return status.st_dev, status.st_ino


def _open(within: int, name: str) -> int:
    """The directory, with all its owner's rights."""
    try:
        fd = open_directory(within, name)
    except PermissionError:
        os.chmod(name, 0o700, dir_fd=within)
        fd = open_directory(within, name)
    if os.fstat(fd).st_mode & 0o700 != 0o700:
        os.fchmod(fd, 0o700)
    return fd


def _empty(directory: int) -> list[str]:
    """Delete all but directories, and tell these."""
    found = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                found.append(entry.name)
            else:
                os.unlink(entry.name, dir_fd=directory)
    return found


def _gone(name: str, within: int) -> bool:
    try:
        os.rmdir(name, dir_fd=within)
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        return False
    return True
