"""System calls written down, to be made by a process that has no interpreter. Pure.

A list of calls is bytes that hold together wherever they lie in memory: what a call points to follows the
list, and is named by its distance. Lists may be joined; what one leaves in a slot another can use. Each
call says which errors it expects and where to go on then; every other error ends the process.

A call is a few words of eight bytes::

    number of the system call (u16) · two bits for each operand, and above them how many there are (u16)
      · slot of the result (u8) · what to do, and 128 if it expects errors (u8)
      · how many words further the next call is (u16)
    if it expects errors, two words: three times an errno (u16), how many words further to go on (u16)
    the operands

An operand is a number, the address of something beside the call, a slot, or an address counted from the
slots. Besides a system call there is: to load 32 bits, to expect bits of a number, to store a word.
``bare`` has the instructions that do all that.
"""

import os
import struct
from typing import NamedTuple, TypeAlias

# x86-64, aarch64: unistd.h
_NUMBERS = {
    "capset": (126, 91),
    "chdir": (80, 49),
    "close": (3, 57),
    "close_range": (436, 436),
    "dup3": (292, 24),
    "execve": (59, 221),
    "fchmodat": (268, 53),
    "fchownat": (260, 54),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "getcwd": (79, 17),
    "ioctl": (16, 29),
    "mkdirat": (258, 34),
    "mknodat": (259, 33),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "openat": (257, 56),
    "pivot_root": (155, 41),
    "prctl": (157, 167),
    "prlimit64": (302, 261),
    "recvfrom": (45, 207),
    "recvmsg": (47, 212),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "seccomp": (317, 277),
    "setdomainname": (171, 162),
    "setgroups": (116, 159),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "setresgid": (119, 149),
    "setresuid": (117, 147),
    "setsid": (112, 157),
    "socket": (41, 198),
    "statx": (332, 291),
    "symlinkat": (266, 36),
    "umask": (95, 166),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "write": (1, 64),
}
_MACHINES = {"x86_64": 0, "aarch64": 1}
_HEAD = struct.Struct("<HHBBH")
_ERRORS = struct.Struct("<HHHHHHxxxx")
_OPERANDS = [struct.Struct(f"<{count}Q") for count in range(7)]
_WORD = 8
_EXPECTS = 128
_KERNEL, _LOAD, _EXPECT, _STORE = range(4)
_MASK = (1 << 64) - 1
_FURTHEST = 0xFFFF
FORGOTTEN = 255
ANY = 0xFFFF


class Beside(NamedTuple):
    """An address: ``offset`` in what follows the calls of the list."""

    offset: int

    @property
    def kind(self) -> int:
        """How a call marks such an operand."""
        return 1


class Slot(NamedTuple):
    """What the slot holds."""

    number: int

    @property
    def kind(self) -> int:
        """How a call marks such an operand."""
        return 2


class Room(NamedTuple):
    """An address in the memory that all lists share: ``offset`` counts from the slots."""

    offset: int

    @property
    def kind(self) -> int:
        """How a call marks such an operand."""
        return 3


Operand: TypeAlias = int | Beside | Slot | Room
_NONE = (0,) * 6


class Label:
    """A place in a list, to go on at; where it is is told later. Never told: the end of the list."""

    __slots__ = ("at",)

    def __init__(self) -> None:
        self.at = -1


class Calls:
    """A list in the making, for ``machine`` (uname(2); ``ValueError`` for one that we do not know)."""

    def __init__(self, machine: str = "") -> None:
        machine = machine or os.uname().machine
        if machine not in _MACHINES:
            raise ValueError(f"there are no numbers of calls for {machine}")
        self._machine = _MACHINES[machine]
        self._calls: list[tuple[int, int, int, tuple[Operand, ...], dict[int, Label], Label | None]] = []
        self._beside = bytearray()

    def data(self, content: bytes) -> Beside:
        """Lay ``content`` beside the calls, at a multiple of eight bytes."""
        offset = len(self._beside)
        self._beside += content + bytes(-len(content) % _WORD)
        return Beside(offset)

    def text(self, words: str | bytes) -> Beside:
        """Lay a string of C beside the calls."""
        text = os.fsencode(words) if isinstance(words, str) else words
        if b"\0" in text:
            raise ValueError("a string of C ends at its first NUL")
        return self.data(text + b"\0")

    def place(self, label: Label) -> None:
        """The next call is where ``label`` is."""
        label.at = len(self._calls)

    def call(
        self,
        name: str,
        *operands: Operand,
        into: int = FORGOTTEN,
        after: dict[int, Label] | None = None,
        then: Label | None = None,
    ) -> None:
        """The system call ``name``; its result goes ``into`` a slot. ``after``: where to go on after which
        errno (three at most, or ``ANY``). ``then``: where to go on else, if not with the next."""
        number = _NUMBERS[name][self._machine]
        self._calls.append((_KERNEL, number, into, operands, after or {}, then))

    def load(self, address: Operand, into: int = FORGOTTEN, after: dict[int, Label] | None = None) -> None:
        """32 bits of memory, signed, where a negative number counts as an error."""
        self._calls.append((_LOAD, 0, into, (address,), after or {}, None))

    def expect(
        self,
        value: Operand,
        wanted: int,
        errno: Operand,
        *,
        mask: int = _MASK,
        after: dict[int, Label] | None = None,
        then: Label | None = None,
    ) -> None:
        """``errno`` unless the bits of ``value`` that are in ``mask`` are ``wanted``."""
        self._calls.append((_EXPECT, 0, FORGOTTEN, (value, mask, wanted, errno), after or {}, then))

    def store(self, address: Operand, value: Operand) -> None:
        """Write ``value``, eight bytes."""
        self._calls.append((_STORE, 0, FORGOTTEN, (address, value), {}, None))

    def encode(self) -> bytes:
        """The list, and what lies beside it. ``OverflowError`` when it is too long."""
        places, size = [], 0
        for _, _, _, operands, after, _ in self._calls:
            places.append(size)
            size += 1 + (2 if after else 0) + len(operands)
        end = size + len(self._beside) // _WORD
        if end > _FURTHEST:
            raise OverflowError("this list is too long")
        places.append(end)
        parts: list[bytes] = []
        for index, (verb, number, into, operands, after, then) in enumerate(self._calls):
            here = places[index]
            kinds, values = len(operands) << 12, []
            for place, operand in enumerate(operands):
                if isinstance(operand, int):
                    values.append(operand & _MASK)
                    continue
                kinds |= operand.kind << 2 * place
                values.append(operand[0] if operand.kind != 1 else (size - here) * _WORD + operand[0])
            following = places[index + 1 if then is None else then.at] - here
            parts.append(_HEAD.pack(number, kinds, into, verb | (_EXPECTS if after else 0), following))
            if after:
                errors = [part for errno, label in after.items() for part in (errno, places[label.at] - here)]
                parts.append(_ERRORS.pack(*errors, *_NONE[len(errors) :]))
            parts.append(_OPERANDS[len(values)].pack(*values))
        return b"".join((*parts, self._beside))
