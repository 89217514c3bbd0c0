"""What a file system that refuses is called in our error tree."""

import errno

from sandcell.runtime.errors import HostRefused, SandcellError, StoreFull
from sandcell.runtime.layer.tree import told

_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


def refused(error: OSError, operation: str, object: str) -> SandcellError:
    """The error to raise for ``error``: ``StoreFull`` for no space, no inodes, over quota; else
    ``HostRefused`` with the kernel's words."""
    if error.errno in _FULL:
        cause = "the disk is full" if error.errno == errno.ENOSPC else str(error.strerror).lower()
        return StoreFull(operation, object, cause, "free some space, or run: sandcell prune")
    where = f" ({told(error.filename)})" if isinstance(error.filename, str) else ""
    return HostRefused(operation, object, f"{error.strerror or error}{where}")
