"""The build context: the directory that COPY and ADD take files from, and nothing outside it.

Every path is walked name by name below one directory descriptor and no symbolic link is followed by
the kernel: links are read and resolved here, so one that leads out is an error and never a file of
the host. Contents are known by their SHA-256, remembered by device, inode, size and both times, so
a second build of an unchanged context reads no file.
"""

import hashlib
import os
import stat
from io import FileIO
from typing import Literal, TypeAlias

import msgspec

from sandcell.runtime.build.digest_cache import DigestCache, Records, Stamp, stamp
from sandcell.runtime.build.dockerfile import did_you_mean
from sandcell.runtime.build.patterns import BadPattern, IgnoreRules, clean, compile_pattern, has_wildcard
from sandcell.runtime.errors import BadInput

_MOST_LINKS = 40

Kind: TypeAlias = Literal["file", "dir", "symlink"]


class ContextError(ValueError):
    """A source that cannot be taken. ``cause`` and ``hint`` as in ``SandcellError``."""

    def __init__(self, cause: str, hint: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.hint = hint


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One file, directory or symbolic link of the context.

    ``path``: below the source it was found by, empty for the source itself. ``place``: where it is
    in the context. ``mode``: permission bits. ``mtime``: nanoseconds. ``link``: a link's target.
    """

    path: str
    place: str
    kind: Kind
    mode: int
    mtime: int
    size: int = 0
    link: str = ""
    stamp: Stamp = (0, 0, 0, 0, 0)


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What one source of a COPY means: ``name`` is what a file of it would be called, ``items`` begin
    with the thing itself, a directory's content follows in order. ``path``: as it was matched."""

    name: str
    items: tuple[Item, ...]
    path: str = ""

    @property
    def is_directory(self) -> bool:
        """Is its content what is copied?"""
        return self.items[0].kind == "dir"


class Context:
    """A context directory, held open. ``records`` remember content hashes between builds."""

    def __init__(self, directory: str, records: Records, ignore: str | None = None) -> None:
        """Open ``directory`` and read its .dockerignore, or take ``ignore`` as the text of one;
        ``BadInput`` if either cannot be used."""
        self.directory = directory
        try:
            self._root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            cause = f"it cannot be opened: {error.strerror}"
            raise BadInput("read build context", directory, cause, "give an existing directory") from None
        self._digests = DigestCache(records, f"context {os.path.realpath(directory)}")
        try:
            self.ignore = IgnoreRules(self._ignore_text() if ignore is None else ignore)
        except BaseException:
            os.close(self._root)
            raise

    def __enter__(self) -> "Context":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remember the digests found and let go of the directory."""
        os.close(self._root)
        self._digests.save()

    def _ignore_text(self) -> str:
        name = ".dockerignore"
        try:
            self._status(name)
            with self.open(self._resolve(name)) as file:
                return file.read().decode("utf-8", "replace")
        except (FileNotFoundError, IsADirectoryError):
            return ""
        except ContextError as error:
            raise BadInput("read", name, error.cause, error.hint) from None
        except OSError as error:
            raise BadInput("read", name, error.strerror or str(error)) from None

    def sources(self, pattern: str, *, deep: bool = False) -> tuple[Source, ...]:
        """What ``pattern`` (a path, perhaps with wildcards) names, in order of name. ``deep``: ``**``
        stands for any number of directories.

        ``ContextError``: nothing there, excluded by .dockerignore, outside the context, or neither
        file, directory nor symbolic link.
        """
        if _leaves(pattern):
            raise ContextError(
                f"{pattern} is outside the build context", f"only files below {self.directory} can be copied"
            )
        path = clean(pattern)
        if not has_wildcard(path):
            return (self._source(path),)
        try:
            found = self._deep(path) if deep and "**" in path else self._matching(path)
        except BadPattern as error:
            raise ContextError(str(error)) from None
        if not found:
            raise ContextError(f"no file of the context matches {pattern}", self._nearest(path))
        return tuple(self._source(one) for one in found)

    def open(self, place: str) -> FileIO:
        """Open a file by its place; ``OSError`` if it is not a file or a link stands in the way."""
        fd = self._descriptor(place, os.O_RDONLY | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise IsADirectoryError(21, "not a regular file", place)
            return FileIO(fd, "rb")
        except BaseException:
            os.close(fd)
            raise

    def read(self, item: Item) -> "Unchanged":
        """Open a listed file; closing it is a ``ContextError`` if it is no longer what was listed."""
        try:
            return Unchanged(self._descriptor(item.place, os.O_RDONLY | os.O_NONBLOCK), item)
        except OSError as error:
            raise ContextError(f"{item.place} cannot be read: {error.strerror}") from None

    def digest(self, item: Item) -> str:
        """SHA-256 of a file's content, in hexadecimal; read only if it may have changed."""
        known = self._digests.get(item.place, item.stamp)
        if known:
            return known
        try:
            with self.open(item.place) as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
                # What was read is what is remembered, even if the file was replaced after the listing.
                self._digests.put(item.place, stamp(os.fstat(file.fileno())), content)
        except OSError as error:
            raise ContextError(f"{item.place} cannot be read: {error.strerror}") from None
        return content

    def _descriptor(self, place: str, flags: int) -> int:
        """Open ``place`` without following any link on the way."""
        here = os.dup(self._root)
        names = place.split("/") if place else ["."]
        try:
            for name in names[:-1]:
                directory = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                below = os.open(name, directory, dir_fd=here)
                os.close(here)
                here = below
            return os.open(names[-1], flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
        finally:
            os.close(here)

    def _source(self, path: str) -> Source:
        place = self._resolve(path)
        rule = self.ignore.excluded_by(place) if place else ""
        if rule and not self._has_exceptions_below(place):
            raise ContextError(f"{path} is excluded by .dockerignore", f"the line is: {rule}")
        status = self._status(place)
        item = _item("", place, status, "")
        if item is None:
            raise ContextError(
                f"{path} is neither a file nor a directory", "remove it, or list it in .dockerignore"
            )
        items = [item]
        if item.kind == "dir":
            self._list(self._descriptor(place, os.O_RDONLY | os.O_DIRECTORY), place, "", items)
        return Source(name=path.rpartition("/")[2], items=tuple(items), path=path)

    def above(self, path: str) -> tuple[Item, ...]:
        """The directories that lead to ``path``, from the top, as they are."""
        parts = path.split("/")[:-1]
        found = []
        for number in range(1, len(parts) + 1):
            place = self._resolve("/".join(parts[:number]))
            item = _item("/".join(parts[:number]), place, self._status(place), "")
            if item is not None:
                found.append(item)
        return tuple(found)

    def _has_exceptions_below(self, place: str) -> bool:
        return self.ignore.has_exceptions and stat.S_ISDIR(self._status(place).st_mode)

    def _list(self, fd: int, place: str, path: str, items: list[Item]) -> None:
        """Append what is below the directory ``fd``, which is closed, each directory before its content."""
        try:
            with os.scandir(fd) as rows:
                entries = sorted(rows, key=lambda row: row.name)
            for entry in entries:
                below = f"{place}/{entry.name}" if place else entry.name
                name = f"{path}/{entry.name}" if path else entry.name
                excluded = bool(self.ignore and self.ignore.excluded_by(below))
                status = entry.stat(follow_symlinks=False)
                is_directory = stat.S_ISDIR(status.st_mode)
                if excluded and not (is_directory and self.ignore.has_exceptions):
                    continue
                link = os.readlink(entry.name, dir_fd=fd) if stat.S_ISLNK(status.st_mode) else ""
                item = _item(name, below, status, link)
                if item is None:
                    continue
                kept = len(items)
                items.append(item)
                if is_directory:
                    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                    self._list(os.open(entry.name, flags, dir_fd=fd), below, name, items)
                    if excluded and len(items) == kept + 1:
                        items.pop()
        except PermissionError as error:
            raise ContextError(f"{place or '.'} cannot be read: {error.strerror}") from None
        finally:
            os.close(fd)

    def _status(self, place: str) -> os.stat_result:
        return os.stat(place or ".", dir_fd=self._root, follow_symlinks=False)

    def _resolve(self, path: str) -> str:
        """The place that ``path`` leads to, links resolved within the context."""
        todo = path.split("/")[::-1] if path else []
        done: list[str] = []
        links = 0
        while todo:
            name = todo.pop()
            if name in ("", "."):
                continue
            if name == "..":
                if not done:
                    raise _escaped(path, "..")
                done.pop()
                continue
            place = "/".join((*done, name))
            try:
                status = self._status(place)
                link = os.readlink(place, dir_fd=self._root) if stat.S_ISLNK(status.st_mode) else None
            except (FileNotFoundError, NotADirectoryError):
                raise ContextError(f"{path} is not in the build context", self._nearest(path)) from None
            except OSError as error:
                raise ContextError(f"{path} cannot be read: {error.strerror}") from None
            if link is None:
                done.append(name)
                continue
            links += 1
            if link.startswith("/"):
                raise _escaped(path, link)
            if links > _MOST_LINKS:
                raise ContextError(f"{path} leads through too many symbolic links")
            todo += link.split("/")[::-1]
            if link.startswith("..") and _climbs(link, len(done)):
                raise _escaped(path, link)
        return "/".join(done)

    def _matching(self, pattern: str) -> list[str]:
        """Paths that the pattern matches, .dockerignore applied."""
        found = [""]
        for part in pattern.split("/"):
            compiled = compile_pattern(part)
            wild = has_wildcard(part)
            next_found = []
            for parent in found:
                names = self._names(parent) if wild else [part]
                for name in names:
                    path = f"{parent}/{name}" if parent else name
                    if compiled.fullmatch(name) if wild else self._exists(path):
                        next_found.append(path)
            found = next_found
        return [path for path in found if not self.ignore.excluded_by(path)]

    def _deep(self, pattern: str) -> list[str]:
        """Paths of the whole context that the pattern with ``**`` matches; not what lies below a match."""
        compiled = compile_pattern(pattern, deep=True)
        items: list[Item] = []
        self._list(self._descriptor("", os.O_RDONLY | os.O_DIRECTORY), "", "", items)
        found: list[str] = []
        for item in items:
            if compiled.fullmatch(item.path) and not (found and item.path.startswith(found[-1] + "/")):
                found.append(item.path)
        return found

    def _names(self, path: str) -> list[str]:
        try:
            fd = self._descriptor(self._resolve(path), os.O_RDONLY | os.O_DIRECTORY)
        except (OSError, ContextError):
            return []
        try:
            return sorted(os.listdir(fd))
        finally:
            os.close(fd)

    def _exists(self, path: str) -> bool:
        try:
            self._status(self._resolve(path))
        except (OSError, ContextError):
            return False
        return True

    def _nearest(self, path: str) -> str:
        """A hint for a path that is not there."""
        parent, _, name = path.rpartition("/")
        names = self._names(parent)
        hint = did_you_mean(name, names)
        if hint:
            return hint.replace("mean ", f"mean {parent}/" if parent else "mean ")
        there = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
        return f"in {parent or self.directory} there is: {there}" if names else "the directory is empty"


class Unchanged(FileIO):
    """A file of the context that must stay as it was listed: its digest already stands for its content."""

    def __init__(self, fd: int, item: Item) -> None:
        super().__init__(fd, "rb")
        self._item = item

    def close(self) -> None:
        """Let go of it; ``ContextError`` if it changed."""
        changed = not self.closed and stamp(os.fstat(self.fileno())) != self._item.stamp
        super().close()
        if changed:
            raise ContextError(
                f"{self._item.place} changed while it was read", "try again when nothing writes to it"
            )


def _leaves(path: str) -> bool:
    """Does the path as written climb out of the context?"""
    return _climbs(path, 0)


def _climbs(path: str, depth: int) -> bool:
    for part in path.split("/"):
        if part == "..":
            depth -= 1
            if depth < 0:
                return True
        elif part not in ("", "."):
            depth += 1
    return False


def _escaped(path: str, link: str) -> ContextError:
    return ContextError(
        f"{path} is a symbolic link that leads out of the build context, to {link}",
        "copy the file itself into the context",
    )


def _item(path: str, place: str, status: os.stat_result, link: str) -> Item | None:
    """The record of what ``status`` tells; ``None`` for sockets, pipes and devices, which are no content."""
    kinds: dict[int, Kind] = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "symlink"}
    kind = kinds.get(stat.S_IFMT(status.st_mode))
    if kind is None:
        return None
    return Item(
        path=path,
        place=place,
        kind=kind,
        mode=stat.S_IMODE(status.st_mode),
        mtime=status.st_mtime_ns,
        size=status.st_size if kind == "file" else 0,
        link=link,
        stamp=stamp(status),
    )
