"""Networks that nobody is on: they are taken down a moment later, also after a crash or when their records
were lost. The notes on our bridges tell which are ours (``live.mark``).
"""

import fcntl
import os
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress

from sandcell.runtime.linux import network as kernel
from sandcell.runtime.network import firewall, live

_LINGER = 0.5  # seconds for which a network without anybody stays


def end_idle(directory: str, id: str, bridges: tuple[str, ...]) -> None:
    """Take down the networks on which nobody has been for a moment. One process waits for them all;
    others return at once. If it is killed, the next that comes to this does it, or ``sweep``.
    ``bridges``: those that the container ``id`` was on, to go even if their records were deleted."""
    with suppress(FileNotFoundError):
        while _empty(directory):
            # The directory itself is the lock of who waits: a file would come in the way of who deletes it.
            watch = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(watch, fcntl.LOCK_EX | fcntl.LOCK_NB)
                while before := _empty(directory):
                    time.sleep(_LINGER)
                    for one in before:
                        end_if_empty(directory, one.name, one)
            except BlockingIOError:
                break
            finally:
                os.close(watch)
    if not {one.bridge for one in live.every(directory)}.issuperset(bridges):
        _end_orphans(directory, id)


def end_if_empty(directory: str, network: str, same: live.Live | None = None) -> None:
    """Take a network down on which nobody is; with ``same`` only if nothing has happened since."""
    with suppress(FileNotFoundError), live.locked(directory):
        now = live.read(directory, network)
        if now is not None and not now.members and same in (None, now):
            live.end(directory, now)


def sweep(directory: str, alive: Callable[[str], bool]) -> None:
    """Take from every network those that are not alive: their monitors were killed. Bridges that no
    record tells of go, too."""
    for one in live.every(directory):
        dead = [id for id in one.members if not alive(id)]
        for id in dead:
            live.leave(directory, one.name, id)
        if not one.members:
            end_if_empty(directory, one.name)
    _end_orphans(directory)


def _end_orphans(directory: str, id: str = "") -> None:
    """Take down our bridges whose records were deleted and on which nobody is. ``id``: a container that
    has ended; its links may still be there."""
    mark = live.mark(directory)
    with ExitStack() as held:
        with suppress(FileNotFoundError):
            held.enter_context(live.locked(directory))
        # Links first: a record is written before its bridge is made, so none is missing for these.
        there = kernel.links()
        recorded = {one.bridge for one in live.every(directory)}
        orphans = [link for link in there if link.alias.endswith(mark) and link.name not in recorded]
        mine = [link for link in there if orphans and id and link.name.startswith(live.outside_name(id))]
        for link in mine:
            kernel.delete_link(link.name)
        used = {link.master for link in there if link not in mine}
        for link in orphans:
            if link.index not in used:
                with suppress(OSError):  # what stays of it speaks of a link that is gone
                    firewall.take_down(link.name)
                kernel.delete_link(link.name)


def _empty(directory: str) -> list[live.Live]:
    return [one for one in live.every(directory) if not one.members]
