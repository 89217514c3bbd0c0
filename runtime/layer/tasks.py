"""What is done to unpacked trees, as plain functions that may run in another process.

As an unprivileged user, trees are owned by the ids of a user namespace and only its root may handle
them; so the store hands these functions, by dotted name, to a worker that calls them there. They take
paths, texts and numbers as keyword arguments and return what JSON can hold; they raise only the
errors of ``runtime.errors``. Names of files travel as their bytes read as Latin-1, for they may be
no text at all.
"""

import hashlib
import os
from collections.abc import Sequence
from typing import Any

import msgspec

from sandcell.runtime.errors import Corrupted
from sandcell.runtime.known import known
from sandcell.runtime.layer import attributes
from sandcell.runtime.layer.changes import upper_changes
from sandcell.runtime.layer.compress import Compression, compressor, decompress
from sandcell.runtime.layer.disk import refused
from sandcell.runtime.layer.pack import Sink, pack
from sandcell.runtime.layer.stack import Unseen
from sandcell.runtime.layer.tree import Change
from sandcell.runtime.layer.unpack import unpack
from sandcell.runtime.layer.whiteout import XattrFlavour
from sandcell.runtime.linux.ownership import unrecorded
from sandcell.runtime.linux.trees import remove
from sandcell.runtime.oci.digest import Digest

PLAIN = (0, 0, 0o755)
"""User, group and mode of a root directory that no layer tells anything of."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def unpack_layer(
    *,
    stream: int,
    target: str,
    diff_id: str,
    flavour: XattrFlavour,
    lowers: Sequence[str] | None,
    recorded_owners: bool,
    ahead: bool,
) -> dict[str, Any] | None:
    """Unpack the layer that the descriptor ``stream`` gives (a file or a pipe; it stays open) into the new
    directory ``target`` (mode 755) and verify it.

    ``lowers``: directories of the layers below, lowest first; ``None`` where these are not complete yet, and
    then the result is ``None`` if they turn out to be needed. Gives ``size`` (bytes uncompressed),
    ``entries`` and ``approximated`` as ``unpack.Unpacked``; ``root``: user, group and mode of ``target``, and
    ``rooted``: whether the archive tells these. ``Corrupted`` where the bytes are others than ``diff_id``;
    after any error, and after ``None``, ``target`` holds a part and must be removed.
    """
    opened: list[int] = []
    try:
        os.mkdir(target, 0o755)
        opened.extend(os.open(path, _DIRECTORY) for path in (target, *(lowers or ())))
        root = _like_below(opened[0], opened[1:], recorded_owners)
        with open(stream, "rb", buffering=0, closefd=False) as file:
            done = unpack(
                decompress(file),
                opened[0],
                flavour=flavour,
                lowers=None if lowers is None else opened[1:],
                recorded_owners=recorded_owners,
                ahead=ahead,
            )
    except Unseen:
        return None
    except OSError as error:
        raise refused(error, "unpack", diff_id) from error
    finally:
        for fd in opened:
            os.close(fd)
    if done.diff_id != diff_id:
        raise Corrupted("unpack", diff_id, f"the layer holds {done.diff_id}", "get the image again")
    return {
        "size": done.size,
        "entries": done.entries,
        "approximated": list(done.approximated),
        "root": list(done.root or root),
        "rooted": done.root is not None,
    }


def pack_upper(
    *,
    upper: str,
    out: str,
    compression: Compression,
    source_date_epoch: int | None,
    recorded_owners: bool,
) -> dict[str, Any]:
    """Write the overlay upper directory ``upper`` as a compressed layer over the existing file ``out``.

    Gives ``diff_id``, ``unpacked_size``, ``entries``, ``unrecorded`` (files whose owner is kept nowhere,
    see ``linux/ownership``), and of the file ``digest`` and ``size``. The file is synced.
    ``StoreFull``, ``Conflict`` as ``pack.pack``.
    """
    try:
        with open(out, "wb") as file:
            layer = Squeezed(file, compression)
            packed = pack(
                upper,
                layer,
                overlay=True,
                source_date_epoch=source_date_epoch,
                recorded_owners=recorded_owners,
            )
            layer.finish()
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise refused(error, "pack", upper) from error
    return {
        "diff_id": str(packed.diff_id),
        "unpacked_size": packed.size,
        "entries": packed.entries,
        "unrecorded": unrecorded(upper) if recorded_owners else 0,
        "digest": str(layer.digest),
        "size": layer.size,
    }


def diff_upper(*, upper: str, lowers: Sequence[str], recorded_owners: bool) -> str:
    """What ``changes.upper_changes`` finds, as text; ``read_changes`` makes it values again."""
    try:
        found = upper_changes(upper, lowers, recorded_owners=recorded_owners)
    except OSError as error:
        raise refused(error, "diff", upper) from error
    return msgspec.json.encode([_renamed(change, "utf-8", "latin-1") for change in found]).decode()


def remove_tree(*, path: str) -> None:
    """Delete ``path`` and everything below; nothing there is fine. Follows no symlink, enters no mount."""
    try:
        remove(path)
    except OSError as error:
        raise refused(error, "remove", path) from error


def read_changes(text: str) -> tuple[Change, ...]:
    """The values that ``diff_upper`` sent."""
    return tuple(
        _renamed(change, "latin-1", "utf-8") for change in msgspec.json.decode(text, type=known(list[Change]))
    )


class Squeezed:
    """A sink that compresses into another and knows the digest and size of what came out."""

    def __init__(self, out: Sink, compression: Compression) -> None:
        self._out = out
        self._compressor = compressor(compression)
        self._hasher = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Take ``data``."""
        self._put(self._compressor.compress(data))

    def finish(self) -> None:
        """Call once at the end."""
        self._put(self._compressor.flush())

    @property
    def digest(self) -> Digest:
        """Of the compressed bytes; final after ``finish``."""
        return Digest.from_hasher(self._hasher)

    def _put(self, data: bytes) -> None:
        if data:
            self._hasher.update(data)
            self.size += len(data)
            self._out.write(data)


def _like_below(target: int, lowers: Sequence[int], recorded: bool) -> tuple[int, int, int]:
    """The root directory looks as in the layer below, unless the archive says otherwise: user, group and
    mode."""
    look = PLAIN
    if lowers:
        look = attributes.owner(lowers[-1], os.fstat(lowers[-1]), recorded=recorded)
    attributes.write(target, *look, {})
    return look


def _renamed(change: Change, old: str, new: str) -> Change:
    """``change`` with its names decoded otherwise: they are bytes, and JSON is text."""
    if change.path.isascii() and change.entry.link.isascii() and not change.entry.xattrs:
        return change

    def again(text: str) -> str:
        return text.encode(old, "surrogateescape").decode(new, "surrogateescape")

    entry = msgspec.structs.replace(
        change.entry,
        path=again(change.entry.path),
        link=again(change.entry.link),
        xattrs={again(name): value for name, value in change.entry.xattrs.items()},
    )
    return Change(change.kind, again(change.path), entry)
