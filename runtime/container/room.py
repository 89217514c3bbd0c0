"""Where a first process without an interpreter finds things: the slots, and the memory after them. Pure."""

import errno

from sandcell.runtime.container.calls import Calls, Label, Room, Slot

# Slots: what the monitor and the process tell each other, what is in use for a moment, and the trees.
FAILED, WHERE, EXECUTING, SYNC, BEFORE_SYNC, AFTER_SYNC, TARGET, JOIN, JOIN_LAST, STREAMS = range(10)
A, B, REFUSED = 12, 13, 14  # after the three of STREAMS
FIRST_TREE, TREES = 16, 192

# Memory, for what the kernel writes: a message of recvmsg(2), what statx(2) says, a path.
MESSAGE, VECTOR, BYTE, CONTROL = Room(2048), Room(2112), Room(2128), Room(2136)
STATUS, PATH, PATH_SIZE = Room(2304), Room(2560), 4096
CALLS = 7168
"""Bytes from the slots to the calls."""
LONGEST = 160_000
"""Bytes of all calls together."""

STATX_BASIC, STATX_MODE, STATX_DEVICE = 0x7FF, 28, 128


def expect_kind(calls: Calls, kind: int, other: Label, then: Label | None = None) -> None:
    """Go on at ``other`` if what statx(2) told of is of another kind."""
    calls.load(Room(STATUS.offset + STATX_MODE), A)
    calls.expect(Slot(A), kind, errno.ENOTDIR, mask=0o170000, after={errno.ENOTDIR: other}, then=then)
