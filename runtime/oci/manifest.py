"""What ties an image together: a manifest, and an index of several.

Source: image-spec, manifest.md and image-index.md.
"""

from typing import Annotated, Any

import msgspec

from sandcell.runtime.errors import InvalidDocument
from sandcell.runtime.oci import media_types
from sandcell.runtime.oci.decode import decode
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.platform import Platform

Version = Annotated[int, msgspec.Meta(ge=2, le=2)]


def _two() -> int:
    return 2


class Manifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One image for one platform: its config and its layers, lowest first."""

    # Made by functions, so that they are written although they are defaults.
    schema_version: Version = msgspec.field(default_factory=_two)
    media_type: str = msgspec.field(default_factory=lambda: media_types.MANIFEST)
    artifact_type: str = ""
    config: Descriptor
    layers: tuple[Descriptor, ...]
    subject: Descriptor | None = None
    annotations: dict[str, str] = {}


class Index(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Several manifests, one a platform, or a layout's table of contents."""

    schema_version: Version = msgspec.field(default_factory=_two)
    media_type: str = msgspec.field(default_factory=lambda: media_types.INDEX)
    artifact_type: str = ""
    manifests: tuple[Descriptor, ...] = msgspec.field(default_factory=lambda: ())
    subject: Descriptor | None = None
    annotations: dict[str, str] = {}

    def choose(self, platform: Platform) -> Descriptor | None:
        """The manifest a machine of ``platform`` runs: an exact variant first, then any that runs."""
        fitting = [one for one in self.manifests if one.platform is None or platform.runs(one.platform)]
        exact = [one for one in fitting if one.platform and one.platform.variant == platform.variant]
        return next(iter(exact or fitting), None)


def decode_manifest(data: bytes, *, object: str) -> Manifest | Index:
    """Read ``data`` as a manifest or an index, whichever it is.

    ``InvalidDocument`` also for one that could be read as both, or in which a key comes twice: two readers
    would see two different images (image-spec, manifest.md, on ``mediaType``).
    """
    keys = decode(_Keys, data, object=object, unique=True)
    if keys.manifests is None:
        return decode(Manifest, data, object=object)
    if keys.layers is not None or keys.config is not None:
        raise InvalidDocument("read", object, "it has layers and manifests: image and index at once")
    return decode(Index, data, object=object)


class _Keys(msgspec.Struct):
    """The keys by which a manifest and an index are told apart."""

    layers: Any = None
    config: Any = None
    manifests: Any = None
