"""Classic BPF as seccomp(2) takes it, assembled from the last instruction to the first.

Every jump goes forward, so whatever an instruction leads to is already there when it is made, and
its place, counted from the end, never changes. Equal instructions are made once and shared. A
conditional jump reaches 255 instructions; farther targets are reached through an unconditional one
or, for an answer, a second copy.

A *target* is what code may lead to: 0 and up is an instruction, counted from the end; below 0 is
an answer, made by ``returns``.
"""

import struct

# linux/bpf_common.h: class | size or operation | mode or source
_LOAD = 0x20  # LD | W | ABS
_AND = 0x54  # ALU | AND | K
_JUMP = 0x05  # JMP | JA
_IF_EQUAL = 0x15  # JMP | JEQ | K
_IF_GREATER_EQUAL = 0x35  # JMP | JGE | K
_IF_SET = 0x45  # JMP | JSET | K
_RETURN = 0x06  # RET | K

_INSTRUCTION = struct.Struct("HBBI")
_REACH = 255
_LOW_32 = 0xFFFFFFFF

# From this value on (up to the next range) code goes to this target.
Range = tuple[int, int]


def returns(answer: int) -> int:
    """The target that ends the program with the 32-bit ``answer``."""
    return -1 - answer


class Assembler:
    """Collects instructions; each method gives the target that leads to what it made."""

    def __init__(self) -> None:
        self._code: list[tuple[int, int, int, int]] = []  # (operation, jump if true, if false, k)
        self._made: dict[tuple[int, int, int, int], int] = {}
        self._answers: dict[int, int] = {}

    def equal(self, value: int, then: int, otherwise: int) -> int:
        """Compare the accumulator with ``value``."""
        return self._branch(_IF_EQUAL, value, then, otherwise)

    def load(self, offset: int, target: int) -> int:
        """Load the 32-bit word at ``offset`` of ``struct seccomp_data``, go on at ``target``."""
        return self._step(_LOAD, offset, target)

    def search(self, ranges: list[Range]) -> int:
        """Go where the range that the accumulator lies in leads; the first begins at 0.

        Of two ranges with one start the later counts.
        """
        return self._search(_joined(ranges))

    def search_wide(self, offset: int, ranges: list[Range]) -> int:
        """The same for the 64-bit argument at ``offset`` of ``struct seccomp_data``."""
        inner: dict[int, list[Range]] = {}
        for start, target in _joined(ranges):
            inner.setdefault(start >> 32, []).append((start & _LOW_32, target))
        upper: list[Range] = []
        current = ranges[0][1]
        for high, lows in inner.items():
            if lows[0][0]:
                lows.insert(0, (0, current))
            current = lows[-1][1]
            # Little-endian: the low word stands first.
            upper.append((high, self.load(offset, self.search(lows)) if len(lows) > 1 else current))
            if high < _LOW_32:
                upper.append((high + 1, current))
        target = self.search(upper)
        return self.load(offset + 4, target) if len(_joined(upper)) > 1 else target

    def masked_equal(self, offset: int, mask: int, value: int, then: int, otherwise: int) -> int:
        """Is the 64-bit argument at ``offset``, and-ed with ``mask``, equal to ``value``?"""
        if value & ~mask:
            return otherwise
        for place, shift in ((offset, 0), (offset + 4, 32)):
            bits, wanted = mask >> shift & _LOW_32, value >> shift & _LOW_32
            if not bits:
                continue
            if not wanted:
                then = self.load(place, self._branch(_IF_SET, bits, otherwise, then))
            else:
                compared = self._branch(_IF_EQUAL, wanted, then, otherwise)
                then = self.load(place, self._step(_AND, bits, compared))
        return then

    def finish(self, target: int) -> bytes:
        """The whole program, an array of ``struct sock_filter`` that begins at ``target``."""
        self._adjacent(target)
        return b"".join(_INSTRUCTION.pack(*instruction) for instruction in reversed(self._code))

    def _search(self, ranges: list[Range]) -> int:
        if len(ranges) == 1:
            return ranges[0][1]
        if len(ranges) == 3 and ranges[0][1] == ranges[2][1] and ranges[1][0] + 1 == ranges[2][0]:
            return self._branch(_IF_EQUAL, ranges[1][0], ranges[1][1], ranges[0][1])
        middle = len(ranges) // 2
        above = self._search(ranges[middle:])
        below = self._search(ranges[:middle])
        return self._branch(_IF_GREATER_EQUAL, ranges[middle][0], above, below)

    def _branch(self, operation: int, value: int, then: int, otherwise: int) -> int:
        if then == otherwise:
            return then
        key = (operation, value, then, otherwise)
        made = self._made.get(key)
        if made is None:
            # Bringing one near may push the other away by one.
            then = self._near(then, _REACH - 1)
            otherwise = self._near(otherwise, _REACH)
            place = len(self._code) - 1
            made = self._made[key] = self._add(operation, place - then, place - otherwise, value)
        return made

    def _step(self, operation: int, k: int, target: int) -> int:
        key = (operation, k, target, target)
        made = self._made.get(key)
        if made is None:
            self._adjacent(target)
            made = self._made[key] = self._add(operation, 0, 0, k)
        return made

    def _adjacent(self, target: int) -> None:
        if target < 0:
            self._answers[target] = self._add(_RETURN, 0, 0, -1 - target)
        elif target != len(self._code) - 1:
            self._add(_JUMP, 0, 0, len(self._code) - 1 - target)

    def _near(self, target: int, reach: int) -> int:
        place = self._answers.get(target) if target < 0 else target
        if place is not None and len(self._code) - 1 - place <= reach:
            return place
        self._adjacent(target)
        return len(self._code) - 1

    def _add(self, operation: int, then: int, otherwise: int, k: int) -> int:
        self._code.append((operation, then, otherwise, k))
        return len(self._code) - 1


def _joined(ranges: list[Range]) -> list[Range]:
    """Without ranges that are empty or lead where the one before leads."""
    joined: list[Range] = []
    for start, target in ranges:
        if joined and joined[-1][0] == start:
            joined.pop()
        if not joined or joined[-1][1] != target:
            joined.append((start, target))
    return joined
