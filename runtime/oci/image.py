"""An image as three frozen values; its bytes are asked of the store by digest."""

from collections.abc import Iterable

import msgspec

from sandcell.runtime.oci.config import History, ImageConfig
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.manifest import Manifest
from sandcell.runtime.oci.platform import Platform


def chain_ids(diff_ids: Iterable[Digest]) -> tuple[Digest, ...]:
    """For each layer, lowest first, the name of it *and all below* (image-spec, config.md)."""
    chain: list[Digest] = []
    for diff_id in diff_ids:
        chain.append(Digest.of(f"{chain[-1]} {diff_id}".encode()) if chain else diff_id)
    return tuple(chain)


def chain_id(diff_ids: Iterable[Digest]) -> Digest | None:
    """The chain id of the whole stack; ``None`` for an image without layers."""
    chain = chain_ids(diff_ids)
    return chain[-1] if chain else None


class Layer(msgspec.Struct, frozen=True):
    """One layer of an image: the compressed blob, what it unpacks to, and the instruction that made it.

    ``history`` is ``None`` where the image's history does not tell.
    """

    descriptor: Descriptor
    diff_id: Digest
    chain_id: Digest
    history: History | None = None


class Image(msgspec.Struct, frozen=True):
    """An image: the pointer to its manifest, the manifest, and the configuration."""

    descriptor: Descriptor
    manifest: Manifest
    config: ImageConfig

    @property
    def digest(self) -> Digest:
        """The digest of the manifest: the image's identity here and in a registry."""
        return self.descriptor.digest

    @property
    def platform(self) -> Platform:
        """What it runs on."""
        return Platform(self.config.architecture, self.config.os, variant=self.config.variant)

    @property
    def size(self) -> int:
        """Bytes of its blobs as stored and sent: manifest, config and compressed layers."""
        layers = sum(layer.size for layer in self.manifest.layers)
        return self.descriptor.size + self.manifest.config.size + layers

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Its layers, lowest first."""
        diff_ids = self.config.rootfs.diff_ids
        told: list[History | None] = [entry for entry in self.config.history if not entry.empty_layer]
        if len(told) != len(diff_ids):
            told = [None] * len(diff_ids)
        rows = zip(self.manifest.layers, diff_ids, chain_ids(diff_ids), told, strict=True)
        return tuple(Layer(*row) for row in rows)
