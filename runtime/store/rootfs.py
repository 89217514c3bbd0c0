"""A plain root file system as a tar becomes an image of one layer."""

import hashlib
from typing import TYPE_CHECKING, BinaryIO

from sandcell.runtime.errors import BadInput
from sandcell.runtime.layer.compress import decompress
from sandcell.runtime.layer.tar_read import TarReader
from sandcell.runtime.layer.tasks import Squeezed
from sandcell.runtime.oci import media_types
from sandcell.runtime.oci.config import History, ImageConfig, RootFs
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.image import Image
from sandcell.runtime.oci.platform import Platform

if TYPE_CHECKING:
    from sandcell.runtime.store.store import Store


def import_root(
    store: "Store", file: BinaryIO, *, created: str, message: str = "", platform: Platform | None = None
) -> Image:
    """The tar in ``file``, compressed or not, as an image without a name: hold a working lease.

    It is read through: ``Corrupted`` where it is damaged or cut off, ``BadInput`` where it holds
    nothing or what no layer may hold; then nothing was stored. ``created``: RFC 3339. ``platform``: what
    it is for, this machine's if left out.
    """
    plain = decompress(file, archive=True)
    hasher = hashlib.sha256()
    with store.blobs.writer() as writer:
        layer = Squeezed(writer, "gzip")

        def read(size: int) -> bytes:
            data = plain.read(size)
            hasher.update(data)
            layer.write(data)
            return data

        if not sum(1 for _ in TarReader(read)):
            raise BadInput(
                "import", "archive", "there are no files in it", "a tar of a root directory is taken"
            )
        layer.finish()
        descriptor = writer.commit(media_types.LAYER_GZIP)
    meant = platform or Platform.here()
    config = ImageConfig(architecture=meant.architecture, variant=meant.variant, os=meant.os, rootfs=RootFs())
    told = History(created=created, created_by="import", comment=message)
    return store.write_image(config.with_layer(Digest.from_hasher(hasher), told), [descriptor])
