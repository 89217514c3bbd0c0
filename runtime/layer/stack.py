"""Read-only overlay-form directories, looked at as overlayfs would show them merged."""

import errno
import os
import stat
from collections.abc import Iterable, Sequence

from sandcell.runtime.layer import whiteout
from sandcell.runtime.linux.trees import open_directory

_ABSENT = frozenset((errno.ENOENT, errno.ENOTDIR))


class Unseen(Exception):
    """What is below is needed, and cannot be looked at yet."""


class Stack:
    """Looks up paths in the directories ``roots`` (open descriptors), lowest first.

    Nothing is mounted, and nothing followed: a path through a symlink is not found.
    """

    def __init__(self, roots: Sequence[int]) -> None:
        self._directories: dict[str, tuple[int, ...]] = {"": self._visible(reversed(tuple(roots)), "")}

    def find(self, path: str) -> tuple[int, os.stat_result] | None:
        """The root ``path`` is seen from, and what it is there; ``None`` if it is not, or was deleted."""
        for root in self.directory(path.rpartition("/")[0]):
            status = _status(root, path)
            if status is not None:
                return None if whiteout.is_whiteout(status) else (root, status)
        return None

    def directory(self, path: str) -> tuple[int, ...]:
        """The roots whose directories ``path`` are seen merged, uppermost first; none if it is none."""
        known = self._directories.get(path)
        if known is None:
            known = self._visible(self.directory(path.rpartition("/")[0]), path)
            self._directories[path] = known
        return known

    def names(self, path: str) -> set[str]:
        """What is seen in the directory ``path``."""
        seen: set[str] = set()
        hidden: set[str] = set()
        for root in self.directory(path):
            directory = open_directory(root, path)
            try:
                found = set(os.listdir(directory)) - seen - hidden
                gone = {name for name in found if _deleted(directory, name)}
            finally:
                os.close(directory)
            hidden |= gone
            seen |= found - gone
        return seen

    def _visible(self, roots: Iterable[int], path: str) -> tuple[int, ...]:
        found: list[int] = []
        for root in roots:
            status = _status(root, path or ".")
            if status is None:
                continue
            if not stat.S_ISDIR(status.st_mode):
                break
            found.append(root)
            directory = open_directory(root, path)
            try:
                if whiteout.is_opaque(directory):
                    break
            finally:
                os.close(directory)
        return tuple(found)


class Hidden(Stack):
    """Layers that are there, but not complete: whatever is looked up raises ``Unseen``."""

    def __init__(self) -> None:
        super().__init__(())

    def find(self, _: str) -> tuple[int, os.stat_result] | None:
        """Never anything."""
        raise Unseen


def _status(root: int, path: str) -> os.stat_result | None:
    try:
        return os.stat(path, dir_fd=root, follow_symlinks=False)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise


def _deleted(directory: int, name: str) -> bool:
    return whiteout.is_whiteout(os.stat(name, dir_fd=directory, follow_symlinks=False))
