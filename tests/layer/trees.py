"""File trees for property tests: drawn by hypothesis, put on disk, and read back."""

import io
import os
from pathlib import Path

from hypothesis import strategies as st

from sandcell.runtime.layer.pack import pack_entries
from sandcell.runtime.layer.scan import scan
from sandcell.runtime.layer.tree import Entry, Tree, apply, order
from sandcell.runtime.oci.digest import Digest

from .archives import unpacked

ROOT = os.geteuid() == 0

# Few names, so that two drawn trees meet; among them those that tar or the shell finds hard.
_NAMES = st.sampled_from(["a", "b", "c d", "é", "n" * 120, "\udcff", "-", "whiteout"])
_IDS = st.sampled_from([0, 1, 1000, 65534, 3_000_000]) if ROOT else st.just(os.geteuid())
_GIDS = st.sampled_from([0, 5, 70_000]) if ROOT else st.just(os.getegid())
_XATTRS = st.dictionaries(st.sampled_from(["user.a", "user.bb"]), st.binary(max_size=20), max_size=2)
_TIMES = st.integers(0, 2**33)


@st.composite
def rows(draw: st.DrawFn) -> list[tuple[Entry, bytes | None]]:
    """A tree as entries with content: parents first, hard links after their file."""
    kinds: dict[str, str] = {}
    for _ in range(draw(st.integers(0, 10))):
        parents = ["", *(path for path, kind in kinds.items() if kind == "dir" and path.count("/") < 3)]
        parent = draw(st.sampled_from(parents))
        path = f"{parent}/{draw(_NAMES)}".lstrip("/")
        if path not in kinds:
            kinds[path] = draw(st.sampled_from(["file", "file", "dir", "dir", "symlink", "hardlink", "fifo"]))
    made: list[tuple[Entry, bytes | None]] = []
    files: list[Entry] = []
    for path in sorted(kinds, key=order):
        kind = kinds[path]
        mode, uid, gid, mtime = draw(st.integers(0, 0o7777)), draw(_IDS), draw(_GIDS), draw(_TIMES)
        if kind == "hardlink" and files:
            first = draw(st.sampled_from(files))
            link = Entry(
                path, "hardlink", first.mode, first.uid, first.gid, 0, first.mtime, first.path, first.xattrs
            )
            made.append((link, None))
        elif kind == "dir":
            # Others than root must be able to look into their own directories.
            mode |= 0 if ROOT else 0o700
            made.append((Entry(path, "dir", mode, uid, gid, 0, mtime, xattrs=draw(_XATTRS)), None))
        elif kind == "symlink":
            made.append((Entry(path, "symlink", 0o777, uid, gid, 0, mtime, draw(_NAMES) * 2), None))
        elif kind == "fifo":
            made.append((Entry(path, "fifo", mode, uid, gid, 0, mtime), None))
        else:
            data = draw(st.binary(max_size=1500))
            mode |= 0 if ROOT else 0o400
            entry = Entry(path, "file", mode, uid, gid, len(data), mtime, xattrs=draw(_XATTRS))
            files.append(entry)
            made.append((entry, data))
    return made


def archive_of(made: list[tuple[Entry, bytes | None]]) -> bytes:
    """The rows as a tar archive."""
    out = io.BytesIO()
    pack_entries(made, out)
    return out.getvalue()


def put(made: list[tuple[Entry, bytes | None]], target: Path) -> None:
    """The rows as files below the new directory ``target``."""
    unpacked(archive_of(made), target)


def look(root: Path) -> Tree:
    """The files below ``root`` as a tree with digests."""
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return apply(Tree(), [_read(entry, content) for entry, content in scan(fd) if entry.path])
    finally:
        os.close(fd)


def _read(entry: Entry, content: int | None) -> Entry:
    import msgspec

    if content is None:
        return entry
    return msgspec.structs.replace(entry, digest=Digest.of(os.read(content, 1 << 20)))
