"""From what a USER instruction or ``-u`` says to numbers, by the image's own files. passwd(5), group(5)."""

from sandcell.runtime.errors import InvalidOption
from sandcell.runtime.oci.spec import User

_GREATEST = 2**32 - 2  # the one above means "leave it" to setresuid(2)
_DIGITS = 20


def resolve(user: str, passwd: str, group: str, also: tuple[str, ...] = ()) -> tuple[User, str]:
    """The ids and the home directory of ``name``, ``uid``, ``name:group`` or ``uid:gid``; it is in the
    groups ``also``, names or ids, as well.

    Empty is root. A number needs no entry; a name without one is ``InvalidOption``.
    """
    who, sign, team = user.partition(":")
    who = who or "0"
    entries = [line.split(":") for line in passwd.splitlines() if line.count(":") >= 6]
    groups = [line.split(":") for line in group.splitlines() if line.count(":") >= 3]
    entry = _find(entries, who)
    if entry is None and not _is_id(who):
        known = ", ".join(fields[0] for fields in entries[:8])
        hint = f"/etc/passwd in it knows {known}" if known else "it has no /etc/passwd: use a number"
        raise InvalidOption("use", f"user {who}", "the image has no user of that name", hint)
    uid = int(entry[2]) if entry else int(who)
    gid = int(entry[3]) if entry else 0
    home = entry[5] if entry and entry[5] else "/"
    if sign:
        gid = _gid(team, groups)
    more = tuple(_gid(word, groups) for word in also)
    for number in (uid, gid, *more):
        if number > _GREATEST:
            raise InvalidOption("use", f"id {number}", "Linux has no such id", f"{_GREATEST} is the greatest")
    name = entry[0] if entry and not sign else ""
    listed = (int(f[2]) for f in groups if name and name in f[3].split(",") and _is_id(f[2]))
    every = dict.fromkeys((*(g for g in listed if g <= _GREATEST), *more))
    every.pop(gid, None)
    return User(uid=uid, gid=gid, additional_gids=tuple(every)), home


def _is_id(text: str) -> bool:
    return text.isdecimal() and len(text) <= _DIGITS


def _find(entries: list[list[str]], who: str) -> list[str] | None:
    for fields in entries:
        if fields[0] == who and _is_id(fields[2]) and _is_id(fields[3]):
            return fields
    if _is_id(who):
        for fields in entries:
            if fields[2] == who and _is_id(fields[3]):
                return fields
    return None


def _gid(team: str, groups: list[list[str]]) -> int:
    for fields in groups:
        if fields[0] == team and _is_id(fields[2]):
            return int(fields[2])
    if _is_id(team):
        return int(team)
    raise InvalidOption("use", f"group {team}", "the image has no group of that name", "use a number")
