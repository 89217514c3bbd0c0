"""A pointer to bytes: what they are, their digest and their size (image-spec, descriptor.md)."""

from typing import Annotated

import msgspec

from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.media_types import REF_NAME
from sandcell.runtime.oci.platform import Platform

Size = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Descriptor(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """``media_type`` says how to read the bytes, ``digest`` and ``size`` (bytes) which they are."""

    media_type: str
    digest: Digest
    size: Size
    urls: tuple[str, ...] = ()
    annotations: dict[str, str] = {}
    data: bytes = b""
    platform: Platform | None = None
    artifact_type: str = ""

    def named(self, name: str) -> "Descriptor":
        """The same as an entry of an index that has this name (image-spec, annotations.md)."""
        return msgspec.structs.replace(self, annotations={**self.annotations, REF_NAME: name})
