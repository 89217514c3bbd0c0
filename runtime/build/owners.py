"""``user[:group]`` as numbers, looked up in the image's own passwd and group files (passwd(5), group(5))."""

from collections.abc import Callable

_LARGEST = 2**32 - 2


class UnknownOwner(ValueError):
    """The image knows no such user or group; the text says which."""


def owner_ids(text: str, read: Callable[[str], str]) -> tuple[int, int]:
    """User and group id that ``text`` means; empty is root. ``read`` gives the text of a file of the image.

    Without a group: a number stands for both, a name brings its own group.
    """
    if not text:
        return 0, 0
    user, _, group = text.partition(":")
    own_group = 0
    if user.isdecimal():
        uid = own_group = int(user)
    else:
        row = _row(read("etc/passwd"), user or "root", 4)
        if row is None:
            raise UnknownOwner(f"the image has no user {user}")
        uid, own_group = int(row[2]), int(row[3])
    gid = own_group
    if group.isdecimal():
        gid = int(group)
    elif group:
        row = _row(read("etc/group"), group, 3)
        if row is None:
            raise UnknownOwner(f"the image has no group {group}")
        gid = int(row[2])
    if max(uid, gid) > _LARGEST:
        raise UnknownOwner(f"{text}: ids go up to {_LARGEST}")
    return uid, gid


def _row(text: str, name: str, least: int) -> list[str] | None:
    for line in text.splitlines():
        fields = line.split(":")
        if fields[0] == name and len(fields) >= least and all(one.isdecimal() for one in fields[2:least]):
            return fields
    return None
