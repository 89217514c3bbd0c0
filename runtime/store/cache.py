"""What a build step made: one small file a step, forgotten without harm."""

import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from sandcell.runtime.errors import SandcellError
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.store.files import Litter, replace

_DIGEST = rb'"(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})"'


class Cache:
    """Records by key. ``path``: the directory of them; ``shared``: those of other stores, which are only
    read. A record holds what JSON can hold."""

    def __init__(self, path: str, litter: Litter, shared: Sequence[str] = ()) -> None:
        self._path = path
        self._shared = shared
        self._litter = litter

    def get(self, key: str) -> dict[str, Any] | None:
        """The record of ``key``; ``None`` where there is none, or not a whole one."""
        name = _name(key)
        for folder in (self._path, *self._shared):
            try:
                with open(f"{folder}/{name}", "rb") as file:
                    return msgspec.json.decode(file.read(), type=dict[str, Any])
            except (OSError, msgspec.MsgspecError):
                pass
        return None

    def put(self, key: str, record: dict[str, Any]) -> None:
        """Remember ``record``. It is not synced: after a crash of the machine it may be gone.

        A disk that takes no more is no error here: the step will be done again.
        """
        try:
            replace(f"{self._path}/{_name(key)}", msgspec.json.encode(record), self._litter, synced=False)
        except SandcellError:
            pass

    def clear(self) -> None:
        """Forget everything."""
        for name in os.listdir(self._path):
            try:
                os.unlink(f"{self._path}/{name}")
            except FileNotFoundError:
                pass

    def digests(self) -> Iterator[Digest]:
        """Every digest that any record tells of."""
        for name in os.listdir(self._path):
            try:
                with open(f"{self._path}/{name}", "rb") as file:
                    data = file.read()
            except FileNotFoundError:
                continue
            yield from (Digest(found.decode()) for found in re.findall(_DIGEST, data))


def _name(key: str) -> str:
    # A key may hold anything, a file name not.
    return Digest.of(key.encode()).hex
