"""New layers: packed, compressed once, stored. The digest given here is the digest everywhere."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from sandcell.runtime.oci import media_types
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.store.blobs import BlobStore
from sandcell.runtime.store.worker import PACK, Here, Worker

if TYPE_CHECKING:
    from sandcell.runtime.layer.compress import Compression
    from sandcell.runtime.layer.pack import Content
    from sandcell.runtime.layer.tree import Entry


class NewLayer(msgspec.Struct, frozen=True):
    """A layer in the store. ``size``: bytes uncompressed; ``entries``: how many files it tells of;
    ``unrecorded``: of these, how many could not be given the owner that they should have."""

    descriptor: Descriptor
    diff_id: Digest
    size: int
    entries: int
    unrecorded: int = 0

    @property
    def remark(self) -> str:
        """What people should be told of it in the image's history; empty for nothing."""
        files = "file" if self.unrecorded == 1 else "files"
        return f"ownership approximated ({self.unrecorded} {files})" if self.unrecorded else ""


class Layers:
    """Makes layers of a blob store. Hold a working lease until the image that uses them has a name."""

    def __init__(self, blobs: BlobStore, compression: "Compression" = "gzip") -> None:
        self._blobs = blobs
        self._compression = compression

    def compressed(self, compression: "Compression") -> "Layers":
        """The same, compressing otherwise where nothing is said."""
        return Layers(self._blobs, compression)

    def of_upper(
        self,
        upper: str,
        worker: Worker | None = None,
        *,
        compression: "Compression | None" = None,
        source_date_epoch: int | None = None,
        recorded_owners: bool = False,
    ) -> NewLayer:
        """The layer of what an overlay's writable directory changes. Nothing may write to it meanwhile.

        ``source_date_epoch``: no file's time is later (seconds). ``recorded_owners``: owners are kept
        beside the files (``IdMap.single``). ``StoreFull``; ``Conflict`` where a file changed meanwhile.
        """
        compression = compression or self._compression
        with self._blobs.writer() as writer:
            payload = {
                "upper": upper,
                "out": writer.path,
                "compression": compression,
                "source_date_epoch": source_date_epoch,
                "recorded_owners": recorded_owners,
            }
            done = (worker or Here()).run(PACK, payload)
            written = Descriptor(media_types.layer(compression), Digest(done["digest"]), done["size"])
            descriptor = writer.adopt(written)
        return NewLayer(
            descriptor, Digest(done["diff_id"]), done["unpacked_size"], done["entries"], done["unrecorded"]
        )

    def of_entries(
        self,
        entries: "Iterable[tuple[Entry, Content]]",
        *,
        compression: "Compression | None" = None,
        source_date_epoch: int | None = None,
    ) -> NewLayer:
        """The layer of ``entries`` in their order (see ``pack.pack_entries``)."""
        from sandcell.runtime.layer.pack import pack_entries
        from sandcell.runtime.layer.tasks import Squeezed

        compression = compression or self._compression
        with self._blobs.writer() as writer:
            layer = Squeezed(writer, compression)
            packed = pack_entries(entries, layer, source_date_epoch=source_date_epoch)
            layer.finish()
            descriptor = writer.commit(media_types.layer(compression))
        return NewLayer(descriptor, packed.diff_id, packed.size, packed.entries)
