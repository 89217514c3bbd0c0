"""What a container without a mount namespace of its own has mounted, and how it goes again.

config-linux.md: a namespace that is not listed is the runtime's, so such a container's mounts stand
in the host's tree below its root, until it is deleted.
"""

import os
from collections import Counter

from sandcell.runtime.linux.mounts import MNT_DETACH, UMOUNT_NOFOLLOW, umount
from sandcell.runtime.linux.process import read_text


def below(root: str) -> list[str]:
    """The mount points at and below ``root``, in the order they were made. /proc/PID/mountinfo."""
    points = [_unescaped(line.split(" ")[4]) for line in read_text("/proc/self/mountinfo").splitlines()]
    return [point for point in points if point == root or point.startswith(root.rstrip("/") + "/")]


def since(before: list[str], root: str) -> list[str]:
    """Those that have come since ``below`` said ``before``."""
    stood, made = Counter(before), []
    for point in below(root):
        if stood[point]:
            stood[point] -= 1
        else:
            made.append(point)
    return made


def undo(made: list[str]) -> None:
    """Unmount them, the last first. One that is gone already is no error."""
    for point in reversed(made):
        try:
            umount(os.fsencode(point), MNT_DETACH | UMOUNT_NOFOLLOW)
        except OSError:
            continue


def _unescaped(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
