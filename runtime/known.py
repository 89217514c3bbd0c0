"""Types that msgspec knows already, for reading from several threads.

msgspec finds out about a type when it is first read. Another thread that meanwhile reads something which
holds the same records is handed what is known of these so far, and the process crashes (msgspec 0.22; a GIL
is no help, for what is found out is asked of Python).
"""

# Not threading: a command that has one thread shall not load it.
from _thread import RLock
from typing import TypeVar

import msgspec

T = TypeVar("T")

_LOCK = RLock()
_KNOWN: set[object] = set()


def known(kind: T) -> T:
    """``kind``, to be read by msgspec, when nothing has to be found out about it any more. One thread does
    that while others wait; later it costs nothing."""
    if kind not in _KNOWN:
        with _LOCK:
            # Of JSON, not of msgpack: sandcell-oci has no msgpack (oci_cli/lean.py).
            msgspec.json.Decoder(kind)
            _KNOWN.add(kind)
    return kind
