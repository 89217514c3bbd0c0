"""``--userns private``: containers of root with a user namespace, and ids, of their own.

Their files keep the owners that the image gives them, and are seen through the namespace's map
(``container.mapped_steps``), so nothing is copied and a range is only lent: each container has another one
while there are enough. user_namespaces(7), subuid(5).
"""

import os
from collections.abc import Sequence

from sandcell.runtime.container.options import Options
from sandcell.runtime.engine import record
from sandcell.runtime.engine.places import Places
from sandcell.runtime.errors import HostRefused, InvalidOption
from sandcell.runtime.linux.host_model import Host
from sandcell.runtime.linux.idmap import IdMap, Range, own, subordinate

SIZE = 65536
_NEEDED = (5, 19)
_OWNERS = ("sandcell", "containers")
# What systemd and its friends leave to containers: systemd.io/UIDS-GIDS.
_FIRST, _LAST = 524288, 1879048191


def wanted(host: Host, options: Options) -> bool:
    """True where a container shall have ids that root has not; a plain user's always do."""
    return host.rung == "root" and options.userns in ("private", "auto")


def check(host: Host, options: Options) -> None:
    """``HostRefused`` or ``InvalidOption`` where there can be no user namespace of its own."""
    flag = f"--userns {options.userns}"
    if options.userns in ("private", "auto") and host.rung == "chroot":
        raise HostRefused("use", flag, "on rung chroot no namespace can be made", "see `sandcell doctor`")
    if not wanted(host, options):
        return
    for other, mode in (("network", options.network), ("ipc", options.ipc), ("pid", options.pid)):
        if mode.startswith("container:") or (other, mode) == ("pid", "host"):
            cause = "the namespaces of others are not its own to enter"
            raise InvalidOption("use", f"{flag} with --{other} {mode}", cause, "leave one of both away")
    release = tuple(int(word) for word in os.uname().release.split("-")[0].split(".")[:2])
    if host.copying or release < _NEEDED:
        cause = "it takes overlays of idmapped mounts, which this kernel or file system has not"
        raise HostRefused("use", flag, cause, "Linux 5.19 or newer; or run sandcell as a plain user")


def chosen(places: Places, host: Host, id: str, options: Options) -> IdMap | None:
    """The ids lent to the container ``id``; ``None`` where it takes what everybody has.

    Of the range that /etc/subuid and /etc/subgid give to the user ``sandcell`` or ``containers``, else of
    those that nobody is given. ``HostRefused`` where our own user namespace has none to lend.
    """
    if not wanted(host, options):
        return None
    uids, gids = _text("/etc/subuid"), _text("/etc/subgid")
    mine = given(uids, gids)
    others = [] if mine else [*ranges(uids), *ranges(gids)]
    here = own()
    found = [
        start
        for start in slots(mine or (_FIRST, _LAST - _FIRST), others)
        if any(r.inside <= start and start + SIZE <= r.inside + r.size for r in here)
    ]
    if not found:
        cause = f"root here has no {SIZE} ids to lend (/proc/self/uid_map, /etc/subuid)"
        hint = "run it without, or sandcell as a plain user"
        raise HostRefused("use", f"--userns {options.userns}", cause, hint)
    lent = {who.userns.uids[0].outside for who in record.every(places) if who.userns.uids}
    begin = int(id[:8], 16) % len(found)
    turned = found[begin:] + found[:begin]
    # When all are lent, containers share them, as they share root's without the flag.
    start = next((start for start in turned if start not in lent), turned[0])
    lending = (Range(0, start, SIZE),)
    return IdMap(lending, lending)


def slots(within: tuple[int, int], others: Sequence[tuple[int, int]]) -> list[int]:
    """The first ids of all ranges of ``SIZE`` in ``within`` (first, count) that touch none of ``others``
    (first, one after the last)."""
    first, count = within
    starts = range(first, first + count - SIZE + 1, SIZE)
    return [start for start in starts if not any(a < start + SIZE and start < end for a, end in others)]


def given(uids: str, gids: str) -> tuple[int, int] | None:
    """(first, count) of what the texts of subuid(5) and subgid(5) both give for containers."""
    for name in _OWNERS:
        mine, theirs = subordinate(uids, name, -1), subordinate(gids, name, -1)
        if mine is not None and theirs is not None:
            first, end = max(mine[0], theirs[0]), min(sum(mine), sum(theirs))
            return (first, end - first) if end > first else None
    return None


def ranges(text: str) -> list[tuple[int, int]]:
    """(first, one after the last) of every range in the text."""
    rows = [line.strip().split(":") for line in text.splitlines()]
    return [
        (int(row[1]), int(row[1]) + int(row[2]))
        for row in rows
        if len(row) == 3 and row[1].isdigit() and row[2].isdigit()
    ]


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
