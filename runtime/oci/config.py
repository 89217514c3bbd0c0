"""The image configuration: how a container of it starts, and how it came to be (image-spec, config.md).

Edits make new values: ``config.with_layer(diff_id, history).with_config(user="1000")``.
"""

from typing import Any

import msgspec

from sandcell.runtime.oci.digest import Digest


class Healthcheck(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """How to see that a container is well; a docker extension. Durations are nanoseconds, 0 inherits."""

    test: tuple[str, ...] = ()
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class RunConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """The defaults a container starts with (``config`` of the image configuration).

    ``env`` holds ``NAME=value`` texts; ``exposed_ports`` and ``volumes`` are maps whose keys matter
    (``80/tcp``, ``/data``) and whose values are empty objects, as in the document.
    """

    user: str = ""
    exposed_ports: dict[str, dict[str, Any]] = {}
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    volumes: dict[str, dict[str, Any]] = {}
    working_dir: str = ""
    labels: dict[str, str] = {}
    stop_signal: str = ""
    args_escaped: bool = False
    healthcheck: Healthcheck | None = None
    shell: tuple[str, ...] = ()
    on_build: tuple[str, ...] = ()
    stop_timeout: int | None = None

    @property
    def environment(self) -> dict[str, str]:
        """``env`` as a map; of a name given twice the last one counts."""
        return {name: value for name, _, value in (entry.partition("=") for entry in self.env)}


class RootFs(msgspec.Struct, frozen=True, kw_only=True):
    """Digests of the uncompressed layers, lowest first."""

    type: str = "layers"
    diff_ids: tuple[Digest, ...] = ()


class History(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One instruction that made the image. ``empty_layer``: it changed the configuration only.

    ``created`` is RFC 3339 text.
    """

    created: str = ""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


class ImageConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The image configuration document. Its digest is what docker calls the image id."""

    created: str = ""
    author: str = ""
    architecture: str
    variant: str = ""
    os: str
    os_version: str = msgspec.field(default="", name="os.version")
    os_features: tuple[str, ...] = msgspec.field(default=(), name="os.features")
    config: RunConfig = msgspec.field(default_factory=RunConfig)
    rootfs: RootFs
    history: tuple[History, ...] = ()

    def with_layer(self, diff_id: Digest, history: History) -> "ImageConfig":
        """The same with one more layer on top and the history entry that tells of it."""
        rootfs = RootFs(diff_ids=(*self.rootfs.diff_ids, diff_id))
        return msgspec.structs.replace(
            self, rootfs=rootfs, history=(*self.history, history), created=history.created or self.created
        )

    def with_history(self, history: History) -> "ImageConfig":
        """The same with one more history entry; for instructions that make no layer."""
        return msgspec.structs.replace(
            self, history=(*self.history, history), created=history.created or self.created
        )

    def with_config(self, **changes: Any) -> "ImageConfig":
        """The same with these fields of ``config`` replaced: ``with_config(user="1000", env=(…))``."""
        return msgspec.structs.replace(self, config=msgspec.structs.replace(self.config, **changes))
