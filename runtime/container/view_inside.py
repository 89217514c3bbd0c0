"""How the steps of ``view_steps`` are carried out, before the root is changed."""

import os
from typing import Any

from sandcell.runtime.container import view_steps as v
from sandcell.runtime.linux import mounts, overlay
from sandcell.runtime.linux.syscall import RESOLVE_IN_ROOT, openat2


def open_overlay(step: v.OpenOverlay, scene: Any) -> None:
    """Mount the layers, take a detached copy of the part that is wanted, and unmount them again."""
    if step.upper:
        overlay.mount_overlay(
            step.at, step.lowers, step.upper, step.work, volatile=step.volatile, userxattr=step.userxattr
        )
    else:
        overlay.mount_lowers(step.at, step.lowers, userxattr=step.userxattr)
    root = os.open(step.at, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    # The kernel looks the path up as if the layers were the root: no link leads to the host.
    found = openat2(root, step.path or ".", os.O_PATH, resolve=RESOLVE_IN_ROOT)
    _take(step.key, found, step.flags, scene)
    os.close(root)
    mounts.umount(os.fsencode(step.at), mounts.MNT_DETACH)


def open_file(step: v.OpenFile, scene: Any) -> None:
    """Write the file into a tmpfs that nobody else sees, and take a detached copy of the file alone."""
    at = os.fsencode(step.at)
    flags = mounts.MS_NOSUID | mounts.MS_NODEV | mounts.MS_NOEXEC
    mounts.mount(b"tmpfs", at, b"tmpfs", flags, b"mode=700")
    path = f"{step.at}/file"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    data = memoryview(step.content)
    while data:
        data = data[os.write(fd, data) :]
    os.fchown(fd, step.uid, step.gid)
    os.fchmod(fd, step.mode)
    os.close(fd)
    _take(step.key, os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC), flags | mounts.MS_RDONLY, scene)
    mounts.umount(at, mounts.MNT_DETACH)


def _take(key: int, found: int, flags: int, scene: Any) -> None:
    tree = mounts.clone_file(found)
    os.close(found)
    scene.trees[key] = tree
    if not mounts.restrict(tree, flags):
        scene.unrestricted[key] = ()
