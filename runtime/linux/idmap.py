"""Which ids inside a user namespace stand for which ids outside. user_namespaces(7).

As root no user namespace is made and ids are the host's. An unprivileged user has either ranges
of subordinate ids, written by newuidmap(1), or the single id that everybody may map.
"""

import os
from collections.abc import Sequence

import msgspec

from sandcell.runtime.errors import HostRefused


class Range(msgspec.Struct, frozen=True):
    """``size`` ids from ``inside`` on stand for those from ``outside`` on."""

    inside: int
    outside: int
    size: int


class IdMap(msgspec.Struct, frozen=True):
    """The maps of one user namespace; both empty where there is none.

    ``single``: only one id is mapped, so ownership is recorded beside files, not kept on them.
    """

    uids: tuple[Range, ...] = ()
    gids: tuple[Range, ...] = ()

    @property
    def user_namespace(self) -> bool:
        """True where a user namespace is needed at all."""
        return bool(self.uids)

    @property
    def single(self) -> bool:
        """True where exactly one id is mapped."""
        return len(self.uids) == 1 and self.uids[0].size == 1

    @property
    def key(self) -> str:
        """A short text that is equal for equal ownership of unpacked files."""
        if not self.uids:
            return "host"
        if self.single:
            return f"single-{self.uids[0].outside}-{self.gids[0].outside}"
        return ";".join(
            ",".join(f"{r.inside}:{r.outside}:{r.size}" for r in ranges) for ranges in (self.uids, self.gids)
        )

    def holds(self, uid: int, gid: int) -> bool:
        """True when both ids exist in the namespace."""
        return not self.uids or (_holds(self.uids, uid) and _holds(self.gids, gid))

    def with_identity(self, uid: int, gid: int) -> "IdMap":
        """A single-id map whose one id is called ``uid`` and ``gid`` inside."""
        return IdMap((Range(uid, self.uids[0].outside, 1),), (Range(gid, self.gids[0].outside, 1),))


HOST = IdMap()


def _holds(ranges: Sequence[Range], number: int) -> bool:
    return any(r.inside <= number < r.inside + r.size for r in ranges)


def subordinate(text: str, name: str, uid: int) -> tuple[int, int] | None:
    """(first, count) of the largest range that ``text`` (subuid(5)) gives to this user."""
    best: tuple[int, int] | None = None
    for line in text.splitlines():
        parts = line.strip().split(":")
        if len(parts) != 3 or parts[0] not in (name, str(uid)):
            continue
        if not (parts[1].isdigit() and parts[2].isdigit()):
            continue
        candidate = (int(parts[1]), int(parts[2]))
        if best is None or candidate[1] > best[1]:
            best = candidate
    return best


def for_user(
    uid: int, gid: int, uid_range: tuple[int, int] | None, gid_range: tuple[int, int] | None
) -> IdMap:
    """The map for an unprivileged user: root inside is the user; ranges follow where given."""
    if uid_range is None or gid_range is None:
        return IdMap((Range(0, uid, 1),), (Range(0, gid, 1),))
    return IdMap(
        (Range(0, uid, 1), Range(1, *uid_range)),
        (Range(0, gid, 1), Range(1, *gid_range)),
    )


def write(pid: int, idmap: IdMap) -> None:
    """Give the new user namespace of ``pid`` its maps; to be called by its parent, once.

    ``HostRefused`` when newuidmap or newgidmap is missing or refuses. Root needs neither.
    """
    if idmap.single:
        # Only a namespace that can never call setgroups may map a group without privilege.
        _put(f"/proc/{pid}/setgroups", "deny")
        _put(f"/proc/{pid}/uid_map", _text(idmap.uids))
        _put(f"/proc/{pid}/gid_map", _text(idmap.gids))
        return
    if os.geteuid() == 0:
        _put(f"/proc/{pid}/uid_map", _text(idmap.uids))
        _put(f"/proc/{pid}/gid_map", _text(idmap.gids))
        return
    import subprocess  # costs the spawner more than this rare call

    for tool, ranges in (("newuidmap", idmap.uids), ("newgidmap", idmap.gids)):
        arguments = [tool, str(pid)]
        for r in ranges:
            arguments += [str(r.inside), str(r.outside), str(r.size)]
        try:
            done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        except OSError as error:
            raise HostRefused("map ids with", tool, os.strerror(error.errno or 0)) from None
        if done.returncode != 0:
            raise HostRefused("map ids with", tool, done.stderr.strip() or f"exit status {done.returncode}")


def _put(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _text(ranges: Sequence[Range]) -> str:
    return "".join(f"{r.inside} {r.outside} {r.size}\n" for r in ranges)


def own() -> tuple[Range, ...]:
    """The ids that exist in our own user namespace, all of them mapped to themselves."""
    with open("/proc/self/uid_map") as file:
        rows = [line.split() for line in file]
    return tuple(Range(int(inside), int(inside), int(size)) for inside, _, size in rows)


def mine(*, ranges: bool) -> IdMap:
    """The map for the calling user: ``ranges`` as /etc/subuid and /etc/subgid give them, else a
    single id. That newuidmap(1) really writes them is for the caller to have tried."""
    uid, gid = os.getuid(), os.getgid()
    if not ranges:
        return for_user(uid, gid, None, None)
    import pwd

    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    given = []
    for path in ("/etc/subuid", "/etc/subgid"):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                given.append(subordinate(file.read(), name, uid))
        except OSError:
            given.append(None)
    return for_user(uid, gid, given[0], given[1])
