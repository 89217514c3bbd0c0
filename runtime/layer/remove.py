"""Deleting trees that somebody else filled: no symlink is followed, no mount is entered."""

import errno
import os
import stat

from sandcell.runtime.layer.scan import open_directory

_DEEPEST = 100


def remove(name: str | bytes, dirfd: int) -> None:
    """Delete ``name`` in the open directory ``dirfd``, a file or a whole tree; nothing there is fine.

    Directories without permissions are opened up first. Nesting deeper than a path may be long is no
    obstacle. ``OSError`` (EXDEV) where something is mounted inside; what was deleted until then is gone.
    """
    top = os.fsdecode(name)
    waiting = [top]
    while waiting:
        path = waiting[-1]
        deeper = _empty(dirfd, path, lifted=len(waiting))
        if deeper:
            waiting += deeper
        else:
            waiting.pop()


def _empty(dirfd: int, path: str, *, lifted: int) -> list[str]:
    """Delete ``path``, unless it holds directories: then those are told instead."""
    try:
        os.unlink(path, dir_fd=dirfd)
        return []
    except FileNotFoundError:
        return []
    except OSError as error:
        if error.errno not in (errno.EISDIR, errno.EPERM, errno.EACCES):
            raise
    _open_up(dirfd, path)
    directory = open_directory(dirfd, path)
    below: list[str] = []
    try:
        for name in os.listdir(directory):
            if stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
                below.append(name)
            else:
                os.unlink(name, dir_fd=directory)
        if path.count("/") >= _DEEPEST:
            return [
                _lift(dirfd, directory, name, f"{path.partition('/')[0]}.{lifted + n}")
                for n, name in enumerate(below)
            ]
    finally:
        os.close(directory)
    if not below:
        os.rmdir(path, dir_fd=dirfd)
    return [f"{path}/{name}" for name in below]


def _lift(dirfd: int, directory: int, name: str, new: str) -> str:
    """Move a directory from deep below to the top, where its path is short again."""
    os.rename(name, new, src_dir_fd=directory, dst_dir_fd=dirfd)
    return new


def _open_up(dirfd: int, path: str) -> None:
    status = os.stat(path, dir_fd=dirfd, follow_symlinks=False)
    if stat.S_ISDIR(status.st_mode) and status.st_mode & 0o700 != 0o700:
        # Just seen to be no symlink; and whoever could swap it now owns the tree anyway.
        os.chmod(path, 0o700, dir_fd=dirfd)
