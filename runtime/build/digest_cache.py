"""Content hashes of files, remembered by what stat(2) tells, so that unchanged files are not read again."""

import os
import time
from typing import Any, Protocol, TypeAlias

import msgspec

from sandcell.runtime.known import known

# A file changed this short a time ago may change again within the same tick of the file system's clock.
_SETTLED_NS = 2_000_000_000

Stamp: TypeAlias = tuple[int, int, int, int, int]
"""Device, inode, size, and the times of change of content and of inode in nanoseconds."""


def stamp(status: os.stat_result) -> Stamp:
    """The stamp of a file."""
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


class Records(Protocol):
    """What remembers between builds: the store's cache."""

    def get(self, key: str) -> dict[str, Any] | None:
        """The record of ``key``, or ``None``."""
        ...

    def put(self, key: str, record: dict[str, Any]) -> None:
        """Remember ``record``."""
        ...


class DigestCache:
    """Content hashes by place and stamp, in one record for a context; losing it costs only time."""

    def __init__(self, records: Records, key: str) -> None:
        self._records = records
        self._key = key
        self._known: dict[str, tuple[Stamp, str]] | None = None
        self._used: dict[str, tuple[Stamp, str]] = {}
        self._changed = False

    def get(self, place: str, stamp: Stamp) -> str:
        """The hash remembered for this very file, or an empty text."""
        if self._known is None:
            self._known = self._load()
        row = self._known.get(place)
        if row is None or row[0] != stamp:
            return ""
        self._used[place] = row
        return row[1]

    def put(self, place: str, stamp: Stamp, digest: str) -> None:
        """Remember ``digest``, unless the file was changed only just now or its name is no text."""
        settled = time.time_ns() - max(stamp[3], stamp[4]) > _SETTLED_NS
        if settled and place.isprintable():
            self._used[place] = (stamp, digest)
            self._changed = True

    def save(self) -> None:
        """Remember what is new; of a record grown by other builds only what this one used is kept."""
        if not self._changed:
            return
        kept = {**(self._known or {}), **self._used}
        if len(kept) > 1000 + 4 * len(self._used):
            kept = self._used
        self._records.put(self._key, {"files": kept})

    def _load(self) -> dict[str, tuple[Stamp, str]]:
        record = self._records.get(self._key) or {}
        try:
            return msgspec.convert(record.get("files", {}), known(dict[str, tuple[Stamp, str]]))
        except msgspec.ValidationError:
            return {}
