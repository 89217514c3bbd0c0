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
        below = _empty(dirfd, path)
        if not below:
            waiting.pop()
        elif path.count("/") < _DEEPEST:
            waiting += [f"{path}/{one}" for one in below]
        else:
            waiting += _lift(dirfd, path, below, f"{top}.{len(waiting)}")


def _empty(dirfd: int, path: str) -> list[str]:
    """Delete ``path``; if it holds directories, only the files in it, and these are told."""
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
    finally:
        os.close(directory)
    if not below:
        os.rmdir(path, dir_fd=dirfd)
    return below


def _lift(dirfd: int, path: str, below: list[str], stem: str) -> list[str]:
    """Move directories from deep below to the top, where their paths are short again; tells these."""
    directory = open_directory(dirfd, path)
    try:
        for number, name in enumerate(below):
            os.rename(name, f"{stem}.{number}", src_dir_fd=directory, dst_dir_fd=dirfd)
    finally:
        os.close(directory)
    return [f"{stem}.{number}" for number in range(len(below))]


def _open_up(dirfd: int, path: str) -> None:
    status = os.stat(path, dir_fd=dirfd, follow_symlinks=False)
    if stat.S_ISDIR(status.st_mode) and status.st_mode & 0o700 != 0o700:
        # Just seen to be no symlink; and whoever could swap it now owns the tree anyway.
        os.chmod(path, 0o700, dir_fd=dirfd)
