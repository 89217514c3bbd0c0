"""``OpenMapped``: opening, as root, what a container in a user namespace of its own shall see."""

import errno
import os
import socket
from typing import Never

from sandcell.runtime.container import mapped_steps as m
from sandcell.runtime.container.mapped_inside import TREES
from sandcell.runtime.linux import mounts, overlay, process
from sandcell.runtime.linux.syscall import CLONE_NEWNS, libc, unshare

_NO_SETUID_FIXUP = 1 << 2  # capabilities(7), "securebits"


def provide(step: m.OpenMapped, init: int, channel: socket.socket) -> None:
    """Open everything in the user namespace of the process ``init``, whose ids are written, and send it over
    ``channel``. ``OSError``; then nothing was sent.

    A short-lived child of ours does it, in a mount namespace of its own.
    """
    said, tell = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        os.close(said)
        _child(step, init, channel, tell)
    os.close(tell)
    with open(said, "rb") as pipe:
        number, _, what = pipe.read().decode().partition(" ")
    os.waitpid(pid, 0)
    if number != "0":
        raise OSError(int(number or errno.EIO), "", what or "open its files through the id map")


def _child(step: m.OpenMapped, init: int, channel: socket.socket, tell: int) -> Never:
    answer = b"%d" % errno.EIO
    try:
        process.prctl(process.PR_SET_DUMPABLE, 0)
        trees = _open(step, init)
        socket.send_fds(channel, [TREES], trees)
        answer = b"0"
    except OSError as error:
        answer = f"{error.errno or errno.EIO} {error.filename or ''}".encode()
    finally:
        os.write(tell, answer)
        os._exit(0)


def _open(step: m.OpenMapped, init: int) -> list[int]:
    unshare(CLONE_NEWNS)
    mounts.mount(None, b"/", None, mounts.MS_REC | mounts.MS_SLAVE)
    space = os.open(f"/proc/{init}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    if step.oom_score_adj is not None:
        with open(f"/proc/{init}/oom_score_adj", "w") as file:
            file.write(str(step.oom_score_adj))
    found = []
    for one in step.trees:
        tree = mounts.clone_tree(os.fsencode(one.source), recursive=one.recursive)
        if one.mapped:
            _map(tree, space, one.source)
        mounts.restrict(tree, one.flags, recursive=one.recursive)
        found.append(tree)
    found.append(_stack(step, space))
    return found


def _stack(step: m.OpenMapped, space: int) -> int:
    """The overlay of layers that are seen through the map; no device in it opens."""
    # Layers may lie in several stores. All are cloned before any is covered by its clone.
    folders = sorted({os.path.dirname(path) for path in (*step.lowers, step.upper, step.work)})
    trees = [mounts.clone_tree(os.fsencode(folder), recursive=False) for folder in folders]
    for folder, tree in zip(folders, trees, strict=True):
        _map(tree, space, folder)
        # An overlay takes no layer from a mount that is nowhere, before Linux 6.15.
        mounts.attach(tree, os.fsencode(folder))
    # What overlayfs makes for itself it makes as who mounted it, who must exist in the map; and needs root's
    # rights for it, which would go with root's id.
    process.prctl(process.PR_SET_SECUREBITS, _NO_SETUID_FIXUP)
    libc.setfsgid(step.gid)
    libc.setfsuid(step.uid)
    overlay.mount_overlay(step.at, step.lowers, step.upper, step.work, volatile=step.volatile)
    root = mounts.clone_tree(os.fsencode(step.at), recursive=False)
    mounts.restrict(root, mounts.MS_NODEV)
    return root


def _map(tree: int, space: int, what: str) -> None:
    try:
        mounts.map_owners(tree, space)
    except OSError as error:
        raise OSError(error.errno, error.strerror, f"see {what} through the id map") from None
