"""Filling a new volume with what an image has at its mount point.

The image's layers are mounted read-only in a mount namespace of a child's own, so whiteouts,
owners and links mean what they mean in a container. Nothing is followed out of the image: paths are
resolved with its root as root (openat2(2), RESOLVE_IN_ROOT), the tree is walked by descriptors.
"""

import errno
import os
import stat

from sandcell.runtime.linux.mounts import MS_PRIVATE, MS_REC, mount
from sandcell.runtime.linux.overlay import mount_lowers
from sandcell.runtime.linux.syscall import CLONE_NEWNS, RESOLVE_IN_ROOT, openat2, unshare

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NOT_OURS = (errno.EPERM, errno.EINVAL)
_SKIPPED = "overlay."
_PIECE = 1 << 24


def copy_up(lowers: list[str], root: str, path: str, target: str, userxattr: bool) -> bool:
    """Copy what the image of ``lowers`` (bottom first) has below ``path`` to the empty directory
    ``target``, with owners, modes, times and extended attributes as far as this user may set them.

    ``root``: an existing directory to mount on. False when the image has no directory there. The
    process that calls must end soon after: it has left its mount namespace. If it fails nothing of
    it is in ``target``: all is copied beside it (``target.new``, which must not exist) and renamed.
    """
    if len(lowers) < 2:
        return False  # nothing but mount points
    unshare(CLONE_NEWNS)
    mount(None, b"/", None, MS_REC | MS_PRIVATE)
    mount_lowers(root, lowers, userxattr=userxattr)
    top = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        source = openat2(top, path, os.O_RDONLY | os.O_DIRECTORY, resolve=RESOLVE_IN_ROOT)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return False
        raise
    fresh = target + ".new"
    os.mkdir(fresh, 0o700)
    _tree(source, os.open(fresh, _DIRECTORY), fresh, {})
    os.rename(fresh, target)
    return True


def _tree(source: int, target: int, path: str, linked: dict[tuple[int, int], str]) -> None:
    """``path``: of ``target``. ``linked``: files with several names, by device and inode → their copy."""
    for name in os.listdir(source):
        info = os.stat(name, dir_fd=source, follow_symlinks=False)
        kind = stat.S_IFMT(info.st_mode)
        if kind == stat.S_IFDIR:
            os.mkdir(name, 0o700, dir_fd=target)
            below = os.open(name, _DIRECTORY, dir_fd=target)
            _tree(os.open(name, _DIRECTORY, dir_fd=source), below, f"{path}/{name}", linked)
        elif copy := linked.get((info.st_dev, info.st_ino)):
            os.link(copy, name, dst_dir_fd=target, follow_symlinks=False)
        elif kind == stat.S_IFLNK:
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
            _owner(name, target, info)
        elif kind == stat.S_IFREG:
            _file(name, source, target)
        elif kind == stat.S_IFIFO:
            os.mkfifo(name, 0o600, dir_fd=target)
            os.chmod(name, stat.S_IMODE(info.st_mode), dir_fd=target)
            _owner(name, target, info)
        if kind != stat.S_IFDIR and info.st_nlink > 1:
            linked.setdefault((info.st_dev, info.st_ino), f"{path}/{name}")
    _attributes(source, target)
    os.close(source)
    os.close(target)


def _file(name: str, source: int, target: int) -> None:
    old = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
    new = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=target)
    while os.sendfile(new, old, None, _PIECE):
        pass
    _attributes(old, new)
    os.close(old)
    os.close(new)


def _owner(name: str, target: int, info: os.stat_result) -> None:
    try:
        os.chown(name, info.st_uid, info.st_gid, dir_fd=target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NOT_OURS:
            raise


def _attributes(old: int, new: int) -> None:
    """Owner first, for changing it clears set-user-id bits; the time last."""
    info = os.fstat(old)
    try:
        os.fchown(new, info.st_uid, info.st_gid)
    except OSError as error:
        # Ids that this user does not have; their true owner stays recorded in an attribute.
        if error.errno not in _NOT_OURS:
            raise
    for name in os.listxattr(old):
        if _SKIPPED in name:
            continue
        try:
            os.setxattr(new, name, os.getxattr(old, name))
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EINVAL):
                raise
    os.fchmod(new, stat.S_IMODE(info.st_mode))
    os.utime(new, ns=(info.st_atime_ns, info.st_mtime_ns))
