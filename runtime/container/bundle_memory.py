"""``linux.memoryPolicy`` → the step that sets it. Pure. config-linux.md, ``linux/mempolicy.h``."""

from sandcell.runtime.container.bundle_steps import MemoryFrom
from sandcell.runtime.errors import InvalidDocument
from sandcell.runtime.oci.spec_linux import MemoryPolicy

MODES = {
    "MPOL_DEFAULT": 0,
    "MPOL_PREFERRED": 1,
    "MPOL_BIND": 2,
    "MPOL_INTERLEAVE": 3,
    "MPOL_LOCAL": 4,
    "MPOL_PREFERRED_MANY": 5,
    "MPOL_WEIGHTED_INTERLEAVE": 6,
}
FLAGS = {"MPOL_F_NUMA_BALANCING": 1 << 13, "MPOL_F_RELATIVE_NODES": 1 << 14, "MPOL_F_STATIC_NODES": 1 << 15}
_MOST = 1024
_WORD = 8


def memory_policy(wanted: MemoryPolicy) -> MemoryFrom:
    """``InvalidDocument`` for words and nodes that do not exist."""
    if wanted.mode not in MODES:
        raise InvalidDocument("set", "linux.memoryPolicy", f"there is no mode {wanted.mode!r}")
    for name in wanted.flags:
        if name not in FLAGS:
            raise InvalidDocument("set", "linux.memoryPolicy", f"there is no flag {name!r}")
    mode = MODES[wanted.mode] | sum(FLAGS[name] for name in set(wanted.flags))
    mask = sum(1 << node for node in _nodes(wanted.nodes))
    if not mask:
        return MemoryFrom(mode, b"")
    # The kernel wants whole words, and one bit more than there are nodes.
    words = mask.bit_length() // (8 * _WORD) + 1
    return MemoryFrom(mode, mask.to_bytes(_WORD * words, "little"))


def _nodes(text: str) -> set[int]:
    found: set[int] = set()
    for part in text.split(",") if text else ():
        first, sign, last = part.strip().partition("-")
        last = last if sign else first
        if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last) < _MOST):
            raise InvalidDocument("set", "linux.memoryPolicy", f"{text!r} is no list of nodes")
        found |= set(range(int(first), int(last) + 1))
    return found
