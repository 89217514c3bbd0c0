"""What a stage has come to after some of its steps: settings, layers, and the history of both."""

import hashlib
from typing import Any

import msgspec

from sandcell.runtime.build.image_files import LayerBlob
from sandcell.runtime.known import known
from sandcell.runtime.oci import media_types
from sandcell.runtime.oci.config import History, ImageConfig
from sandcell.runtime.oci.decode import encode
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.image import Image, chain_id
from sandcell.runtime.oci.manifest import Manifest

# Changes when a key or a record means something else than before.
_FORM = 1


class State(msgspec.Struct, frozen=True):
    """The configuration so far, and the blobs of its layers, lowest first."""

    config: ImageConfig
    layers: tuple[Descriptor, ...]

    @property
    def chain(self) -> str:
        """The chain id of the layers, empty without any."""
        return chain_id(self.config.rootfs.diff_ids) or ""

    @property
    def blobs(self) -> tuple[LayerBlob, ...]:
        """The layers as blobs with their identities."""
        return tuple(map(LayerBlob, self.layers, self.config.rootfs.diff_ids))

    def image(self) -> Image:
        """It as an image, none of which is stored."""
        config = encode(self.config)
        manifest = Manifest(
            config=Descriptor(media_types.CONFIG, Digest.of(config), len(config)), layers=self.layers
        )
        data = encode(manifest)
        return Image(Descriptor(media_types.MANIFEST, Digest.of(data), len(data)), manifest, self.config)

    def with_layer(self, descriptor: Descriptor, diff_id: Digest, history: History) -> "State":
        """With one more layer."""
        return State(self.config.with_layer(diff_id, history), (*self.layers, descriptor))

    def with_history(self, history: History) -> "State":
        """With one more step that made no layer."""
        return State(self.config.with_history(history), self.layers)

    def with_config(self, **changes: Any) -> "State":
        """With other settings."""
        return State(self.config.with_config(**changes), self.layers) if changes else self


class Made(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the cache remembers of a step. ``created``: when it was done. The rest where it made a
    layer; ``chain``: of the stack with that layer on top, so that its snapshot is kept; ``remark``: for
    the history; ``content``: another key that it is remembered under."""

    created: str
    layer: Descriptor | None = None
    diff_id: Digest | None = None
    size: int = 0
    chain: str = ""
    remark: str = ""
    content: str = ""


def to_record(made: Made) -> dict[str, Any]:
    """``made`` as the cache keeps it."""
    record: dict[str, Any] = msgspec.to_builtins(made, enc_hook=str.__str__)
    return record


def from_record(record: dict[str, Any] | None) -> Made | None:
    """What ``to_record`` was given; ``None`` for no record, or one of another form."""
    if record is None:
        return None
    try:
        return msgspec.convert(record, known(Made), dec_hook=_read_digest)
    except msgspec.ValidationError:
        return None


def _read_digest(type: type, value: object) -> object:
    return Digest(value) if type is Digest and isinstance(value, str) else value


def key(kind: str, *inputs: Any) -> str:
    """A cache key of everything that a step's result depends on."""
    data = msgspec.msgpack.encode((_FORM, kind, inputs), enc_hook=str.__str__)
    return f"step {hashlib.sha256(data).hexdigest()}"
