"""Which shared libraries a program needs: ELF's dynamic section, and where ld.so would look.

Own reader of the few fields that matter (elf(5)), for both word sizes and byte orders. The search
follows ld.so(8): a name with a slash is a path; DT_RPATH of the object and of what loaded it, unless
the object has a DT_RUNPATH; DT_RUNPATH; ld.so.cache; the default directories.
"""

import os
import struct
from collections.abc import Iterable, Mapping

import msgspec

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NEEDED, _DT_STRTAB, _DT_RPATH, _DT_RUNPATH = 1, 5, 15, 29
_LONGEST_STRING = 4096
_LARGEST_TABLE = 1 << 20
# PT_INTERP names one of these on Linux; the cache has entries of other word sizes too.
_CACHE_MAGIC = b"glibc-ld.so.cache1.1"
_CACHE_HEADER = struct.Struct("=20sII20x")
_CACHE_ENTRY = struct.Struct("=iIIIQ")


class Elf(msgspec.Struct, frozen=True, kw_only=True):
    """What the loader reads of a program or library.

    ``bits`` 32 or 64; ``machine``: e_machine; ``interpreter``: the loader's path, empty for a library
    or a static program; ``rpath``, ``runpath``: directories as written.
    """

    bits: int
    machine: int
    interpreter: str = ""
    needed: tuple[str, ...] = ()
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A library of a closure. ``path``: as the loader opens it; ``relative``: it was found through
    ``$ORIGIN``, so it stays found when the whole tree moves; ``by_default``: in a default directory."""

    name: str
    path: str
    relative: bool = False
    by_default: bool = False


def read(path: str) -> Elf | None:
    """The ELF facts of a file; ``None`` for anything else, a damaged one included."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _Reader(fd).read()
    except (struct.error, OSError, ValueError, OverflowError):
        return None
    finally:
        os.close(fd)


class _Reader:
    def __init__(self, fd: int) -> None:
        self.fd = fd

    def read(self) -> Elf | None:
        ident = os.pread(self.fd, 64, 0)
        if len(ident) < 52 or ident[:4] != b"\x7fELF" or ident[4] not in (1, 2) or ident[5] not in (1, 2):
            return None
        wide = ident[4] == 2
        order = "<" if ident[5] == 1 else ">"
        (machine,) = struct.unpack_from(order + "H", ident, 18)
        if wide:
            offset, size, count = (
                *struct.unpack_from(order + "Q", ident, 32),
                *struct.unpack_from(order + "HH", ident, 54),
            )
        else:
            offset, size, count = (
                *struct.unpack_from(order + "I", ident, 28),
                *struct.unpack_from(order + "HH", ident, 42),
            )
        table = os.pread(self.fd, min(size * count, _LARGEST_TABLE), offset)
        loads: list[tuple[int, int, int]] = []
        dynamic = (0, 0)
        interpreter = ""
        for number in range(count):
            kind, place, address, length = _segment(table, number * size, order, wide=wide)
            if kind == _PT_LOAD:
                loads.append((address, place, length))
            elif kind == _PT_DYNAMIC:
                dynamic = (place, length)
            elif kind == _PT_INTERP:
                interpreter = _text(os.pread(self.fd, min(length, _LONGEST_STRING), place))
        tags = self.tags(dynamic, order, wide=wide)
        return Elf(
            bits=64 if wide else 32, machine=machine, interpreter=interpreter, **self.strings(tags, loads)
        )

    def tags(self, dynamic: tuple[int, int], order: str, *, wide: bool) -> list[tuple[int, int]]:
        pair = struct.Struct(order + ("qQ" if wide else "iI"))
        length = min(dynamic[1], _LARGEST_TABLE)
        data = os.pread(self.fd, length, dynamic[0])
        found = []
        for tag, value in pair.iter_unpack(data[: len(data) - len(data) % pair.size]):
            if tag == 0:
                break
            found.append((tag, value))
        return found

    def strings(
        self, tags: list[tuple[int, int]], loads: list[tuple[int, int, int]]
    ) -> dict[str, tuple[str, ...]]:
        """The texts of the tags that matter; they lie in a table given by its address in memory."""
        address = next((value for tag, value in tags if tag == _DT_STRTAB), 0)
        place = next(
            (address - start + offset for start, offset, size in loads if start <= address < start + size), 0
        )

        def text(value: int) -> str:
            return _text(os.pread(self.fd, _LONGEST_STRING, place + value))

        def directories(wanted: int) -> tuple[str, ...]:
            return tuple(
                part for tag, value in tags if tag == wanted for part in text(value).split(":") if part
            )

        return {
            "needed": tuple(text(value) for tag, value in tags if tag == _DT_NEEDED),
            "rpath": directories(_DT_RPATH),
            "runpath": directories(_DT_RUNPATH),
        }


def _segment(table: bytes, at: int, order: str, *, wide: bool) -> tuple[int, int, int, int]:
    """Kind, place in the file, address in memory and size in the file of a program header."""
    if wide:
        kind, _, place, address, _, length = struct.unpack_from(order + "IIQQQQ", table, at)
    else:
        kind, place, address, _, length = struct.unpack_from(order + "IIIII", table, at)
    return kind, place, address, length


def _text(data: bytes) -> str:
    return os.fsdecode(data.partition(b"\0")[0])


def read_cache(data: bytes) -> dict[str, list[str]]:
    """The paths that ld.so.cache gives for each library name, best first; empty for another format."""
    start = data.find(_CACHE_MAGIC)
    if start < 0 or len(data) < start + _CACHE_HEADER.size:
        return {}
    _, count, _ = _CACHE_HEADER.unpack_from(data, start)
    found: dict[str, list[str]] = {}
    at = start + _CACHE_HEADER.size
    for _ in range(min(count, (len(data) - at) // _CACHE_ENTRY.size)):
        _, name, path, _, hardware = _CACHE_ENTRY.unpack_from(data, at)
        at += _CACHE_ENTRY.size
        if not hardware:
            # Places are counted from the beginning of the new format's header.
            key, value = (_text(data[start + one : start + one + _LONGEST_STRING]) for one in (name, path))
            found.setdefault(key, []).append(value)
    return found


class Loader:
    """Finds libraries as ld.so would. ``cache``: of ``read_cache``; ``defaults``: directories tried last."""

    def __init__(self, cache: Mapping[str, list[str]], defaults: Iterable[str]) -> None:
        self._cache = cache
        self._defaults = tuple(defaults)
        self._read: dict[str, Elf | None] = {}

    @classmethod
    def of_host(cls) -> "Loader":
        """With this machine's cache and the default directories of the usual distributions."""
        try:
            with open("/etc/ld.so.cache", "rb") as file:
                cache = read_cache(file.read())
        except OSError:
            cache = {}
        libc = next((os.path.dirname(path) for path in cache.get("libc.so.6", [])), "")
        defaults = [libc] if libc else []
        for directory in ("/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib"):
            # musl also looks in /usr/local/lib; glibc finds that through its cache.
            if directory not in defaults and (directory != "/usr/local/lib" or not cache):
                defaults.append(directory)
        return cls(cache, defaults)

    def facts(self, path: str) -> Elf | None:
        """``read`` of a file, remembered."""
        if path not in self._read:
            self._read[path] = read(path)
        return self._read[path]

    def is_default(self, path: str) -> bool:
        """Does the loader look into the directory of ``path`` by itself, without a cache?"""
        directory = os.path.realpath(os.path.dirname(path))
        return directory in {os.path.realpath(one) for one in self._defaults}

    def closure(
        self, programs: Iterable[str], *, under: str = ""
    ) -> tuple[tuple[Found, ...], tuple[str, ...]]:
        """All libraries that ``programs`` need, and the names of those that are nowhere.

        ``under``: a program whose DT_RPATH also counts for them, as for a module that Python loads.
        """
        inherited = self._rpath(under) if under else ()
        found: dict[str, Found] = {}
        missing: dict[str, None] = {}
        todo = [(path, inherited) for path in programs]
        while todo:
            path, above = todo.pop()
            facts = self.facts(path)
            if facts is None:
                continue
            rpath = above if facts.runpath else (*self._rpath(path), *above)
            for name in facts.needed:
                library = self._find(name, path, facts, rpath)
                if library is None:
                    missing[name] = None
                elif library.path not in found:
                    found[library.path] = library
                    todo.append((library.path, rpath))
        return tuple(found.values()), tuple(
            name for name in missing if name not in {one.name for one in found.values()}
        )

    def _rpath(self, path: str) -> tuple[tuple[str, str], ...]:
        """The DT_RPATH of an object with the directory that its ``$ORIGIN`` means."""
        facts = self.facts(path)
        if facts is None or facts.runpath:
            return ()
        origin = os.path.dirname(os.path.realpath(path))
        return tuple((entry, origin) for entry in facts.rpath)

    def _find(self, name: str, path: str, facts: Elf, rpath: tuple[tuple[str, str], ...]) -> Found | None:
        if "/" in name:
            return Found(name=name, path=name) if self._fits(name, facts) else None
        origin = os.path.dirname(os.path.realpath(path))
        for entry, place in (*rpath, *((one, origin) for one in facts.runpath)):
            relative = "$ORIGIN" in entry or "${ORIGIN}" in entry
            directory = entry.replace("${ORIGIN}", place).replace("$ORIGIN", place)
            candidate = f"{os.path.normpath(directory)}/{name}"
            if self._fits(candidate, facts):
                return Found(
                    name=name, path=candidate, relative=relative, by_default=self.is_default(candidate)
                )
        for candidate in (*self._cache.get(name, ()), *(f"{one}/{name}" for one in self._defaults)):
            if self._fits(candidate, facts):
                return Found(name=name, path=candidate, by_default=self.is_default(candidate))
        return None

    def _fits(self, path: str, wanted: Elf) -> bool:
        facts = self.facts(path)
        return facts is not None and (facts.bits, facts.machine) == (wanted.bits, wanted.machine)
