"""A tree put together from files of this machine: what goes into it, under which name, and its form.

Owners, modes and times are normalised as the files come in, so the same files give the same layer
whoever collects them and whenever they were installed.
"""

import os
import stat
from collections.abc import Callable, Iterator
from functools import partial
from io import FileIO

import msgspec

from sandcell.runtime.layer.pack import Content
from sandcell.runtime.layer.tree import Entry, order

# Some programs refuse times before 1980.
NORMAL_TIME = 1_577_836_800
_MOST_LINKS = 40


class _Node(msgspec.Struct, frozen=True):
    entry: Entry
    content: Content


class HostTree:
    """Paths of the tree are absolute. What is put in twice stays as it was first."""

    def __init__(self) -> None:
        self._nodes: dict[str, _Node] = {}

    def __contains__(self, path: str) -> bool:
        return path in self._nodes

    def entries(self) -> Iterator[tuple[Entry, Content]]:
        """All entries in order, as ``layer.pack.pack_entries`` wants them."""
        for path in sorted(self._nodes, key=order):
            node = self._nodes[path]
            yield node.entry, node.content

    def content(self, path: str) -> bytes:
        """The bytes of a file of the tree."""
        content = self._nodes[path].content
        if isinstance(content, bytes):
            return content
        if not callable(content):
            return b""
        file = content()
        try:
            return file.read(1 << 30)
        finally:
            file.close()

    def directory(self, path: str, *, mode: int = 0o755, owner: int = 0) -> None:
        """A directory, and those above it. ``owner``: user and group."""
        if path in ("", "/") or path in self:
            return
        self.directory(os.path.dirname(path))
        self._put(path, Entry(path[1:], "dir", mode, owner, owner, mtime=NORMAL_TIME), None)

    def text(self, path: str, content: str | bytes, *, mode: int = 0o644, owner: int = 0) -> None:
        """A file with ``content``."""
        data = content.encode() if isinstance(content, str) else content
        path = self._under(path)
        entry = Entry(path[1:], "file", mode, owner, owner, len(data), NORMAL_TIME)
        self._put(path, entry, data)

    def symlink(self, path: str, target: str) -> None:
        """A symbolic link."""
        path = self._under(path)
        self._put(path, Entry(path[1:], "symlink", 0o777, mtime=NORMAL_TIME, link=target), None)

    def copy(self, source: str, path: str) -> bool:
        """The host's file ``source`` as ``path``; False if it is no file that everybody may read."""
        try:
            status = os.stat(source)
        except OSError:
            return False
        if not stat.S_ISREG(status.st_mode) or not status.st_mode & stat.S_IROTH:
            return False
        path = self._under(path)
        mode = 0o755 if status.st_mode & 0o111 else 0o644
        entry = Entry(path[1:], "file", mode, size=status.st_size, mtime=NORMAL_TIME)
        self._put(path, entry, partial(_opened, source))
        return True

    def carry(self, path: str, place: Callable[[str], str] = str) -> str:
        """A path of the host with the symbolic links that lead to it, and the file at its end.

        ``place`` says where a path of the host stands in the tree (the same place by default). Gives
        the file's own path on the host, or an empty text if there is no file that everybody may read.
        """
        here = path
        for _ in range(_MOST_LINKS):
            parts = here.split("/")
            for number in range(2, len(parts) + 1):
                step = "/".join(parts[:number])
                try:
                    target = os.readlink(step)
                except OSError:
                    continue
                moved = place(step)
                rest = "/".join(parts[number:])
                absolute = os.path.normpath(os.path.join(os.path.dirname(step), target))
                if moved not in self:
                    self.symlink(moved, target if moved == step else _relative(place(absolute), moved))
                here = absolute + ("/" + rest if rest else "")
                break
            else:
                return here if self.copy(here, place(here)) else ""
        return ""

    def _under(self, path: str) -> str:
        """``path`` with the tree's own links on the way resolved; its directory is made."""
        parent, _, name = path.rpartition("/")
        parts: list[str] = []
        todo = parent.split("/")[:0:-1]
        while todo:
            part = todo.pop()
            if part == "..":
                del parts[-1:]
                continue
            node = self._nodes.get("/".join(("", *parts, part)))
            if node is not None and node.entry.kind == "symlink":
                link = node.entry.link
                if link.startswith("/"):
                    parts = []
                todo += [one for one in link.split("/")[::-1] if one]
                continue
            parts.append(part)
        parent = "/".join(("", *parts))
        self.directory(parent)
        return f"{parent}/{name}"

    def _put(self, path: str, entry: Entry, content: Content) -> None:
        self._nodes.setdefault(path, _Node(entry, content))


def _opened(source: str) -> FileIO:
    return FileIO(source, "rb")


def _relative(target: str, link: str) -> str:
    return os.path.relpath(target, os.path.dirname(link))
