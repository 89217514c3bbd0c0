"""Sparse files in archives: where their bytes belong. Everything between is a hole, read as zeros.

GNU tar has four forms, all read here: the old one with a map in and behind its own kind of header, and
0.0, 0.1 and 1.0 with pax records. Source: the manual of GNU tar, "Sparse Formats".
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from sandcell.runtime.errors import BadInput, Corrupted

Segments: TypeAlias = tuple[tuple[int, int], ...]
"""Offset and length of each piece of data, in order, none overlapping."""

PREFIX: Final = b"GNU.sparse."
MAP: Final = b"GNU.sparse.map"
PAIRS: Final = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")
"""Form 0.0 repeats these; joined by commas they are what form 0.1 has in ``MAP``."""

MOST_SEGMENTS = 100_000
LARGEST = 1 << 40
_HOLE = bytes(1 << 16)
_IN_HEADER, _IN_EXTENSION = 4, 21
_LONGEST_NUMBER = 20


def of_header(
    name: str, block: bytes, number: Callable[[bytes], int], take: Callable[[], bytes]
) -> tuple[int, Segments]:
    """Size and segments of the old form: ``block`` is its header, ``take`` gives the blocks that follow."""
    pairs, more = _pairs(block[386:], _IN_HEADER, number), block[482]
    while more:
        if len(pairs) > MOST_SEGMENTS:
            raise _too_many(name)
        extension = take()
        pairs += _pairs(extension, _IN_EXTENSION, number)
        more = extension[504]
    return number(block[483:495]), tuple(pairs)


def of_records(name: str, records: Mapping[bytes, bytes]) -> tuple[int, Segments] | None:
    """Size and segments as pax records of form 0.0 or 0.1 tell them; ``None`` where they tell nothing.

    ``ValueError`` for what is no number.
    """
    size = records.get(PREFIX + b"size")
    if size is None:
        return None
    told = records.get(MAP, b"")
    if told.count(b",") > 2 * MOST_SEGMENTS:
        raise _too_many(name)
    numbers = [int(text) for text in told.split(b",")] if told else []
    if len(numbers) % 2:
        raise _damaged(name)
    return int(size), tuple(zip(numbers[::2], numbers[1::2], strict=True))


def of_data(name: str, take: Callable[[], bytes]) -> Segments:
    """The segments that stand in front of the data in form 1.0; ``take`` gives it block by block."""
    numbers: list[int] = []
    wanted, data = 1, b""
    while len(numbers) < wanted:
        line, end, rest = data.partition(b"\n")
        if not end and len(line) <= _LONGEST_NUMBER:
            data += take()
            continue
        if not line.isdigit() or len(line) > _LONGEST_NUMBER:
            raise _damaged(name)
        numbers.append(int(line))
        data = rest
        if len(numbers) == 1:
            wanted = 1 + 2 * numbers[0]
            if numbers[0] > MOST_SEGMENTS:
                raise _too_many(name)
    return tuple(zip(numbers[1::2], numbers[2::2], strict=True))


def placed(segments: Segments, pieces: Iterable[memoryview]) -> Iterator[tuple[int, memoryview]]:
    """``pieces`` of the stored data, each with the offset in the file it belongs to."""
    waiting = iter(segments)
    at = left = 0
    for piece in pieces:
        while piece:
            if not left:
                at, left = next(waiting)
            part = piece[:left]
            yield at, part
            at, left, piece = at + len(part), left - len(part), piece[len(part) :]


def filled(size: int, placed: Iterable[tuple[int, memoryview]]) -> Iterator[memoryview]:
    """The whole file in pieces, holes as zeros."""
    at = 0
    for offset, piece in placed:
        yield from _zeros(offset - at)
        yield piece
        at = offset + len(piece)
    yield from _zeros(size - at)


def _zeros(count: int) -> Iterator[memoryview]:
    while count > 0:
        piece = memoryview(_HOLE)[:count]
        yield piece
        count -= len(piece)


def checked(name: str, size: int, segments: Segments, stored: int) -> Segments:
    """``segments`` without empty ones; ``Corrupted`` where they are not in order, go beyond ``size`` or
    are not the ``stored`` bytes; ``BadInput`` for a file of more than a tebibyte."""
    if size > LARGEST:
        raise BadInput("read layer", name, f"a sparse file of {size} bytes; {LARGEST} are the most")
    at = total = 0
    for offset, length in segments:
        if offset < at or length < 0:
            raise _damaged(name)
        at = offset + length
        total += length
    if at > size or total != stored:
        raise _damaged(name)
    return tuple(segment for segment in segments if segment[1])


def _pairs(field: bytes, count: int, number: Callable[[bytes], int]) -> list[tuple[int, int]]:
    """The pairs of a header's table, which ends early with an empty one."""
    found = []
    for at in range(0, 24 * count, 24):
        if not field[at : at + 12].strip(b"\0 "):
            break
        found.append((number(field[at : at + 12]), number(field[at + 12 : at + 24])))
    return found


def _too_many(name: str) -> BadInput:
    return BadInput("read layer", name, f"a sparse file in more than {MOST_SEGMENTS} pieces")


def _damaged(name: str) -> Corrupted:
    return Corrupted("read layer", name, "the map of a sparse file makes no sense", "get the layer again")
