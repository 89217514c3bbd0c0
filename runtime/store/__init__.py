"""DISK: an OCI image layout that other tools can read, and beside it the layers unpacked.

::

    layout/      oci-layout, index.json, blobs/<algorithm>/<hex>     image-spec, image-layout.md
    snapshots/   <key>/ a layer in overlay form, and <key>.json, written last: then it is complete
    cache/       what a build step made, one small file a step
    leases/      of processes at work: what they write is in use although no name leads to it yet
    locks/ tmp/  of running processes; nothing in them matters after a crash

Many processes use one store at once. Every file appears under its name complete and synced, so a
process killed at any moment leaves a store that opens; what it left half-done, ``prune`` clears.
"""

from sandcell.runtime.store.store import Store

__all__ = ["Store"]
