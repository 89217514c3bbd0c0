"""What the engine's verbs give back: frozen values, as they stood at that moment."""

import msgspec

from sandcell.runtime.container.options import Options
from sandcell.runtime.linux.host_model import Facet
from sandcell.runtime.oci.digest import Digest


class ImageEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A line of ``images``. ``created``: RFC 3339 or empty; ``size``: bytes of the compressed
    layers; ``layers``: how many."""

    name: str
    digest: Digest
    created: str
    size: int
    layers: int


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One instruction of an image's past. ``size`` and ``digest`` are of its compressed layer, 0
    and ``None`` where it made none."""

    created: str
    created_by: str
    size: int
    digest: Digest | None
    empty_layer: bool
    comment: str = ""


class Removed(msgspec.Struct, frozen=True):
    """What ``remove_image`` did: names taken away, and manifests nobody names any more."""

    untagged: tuple[str, ...]
    deleted: tuple[str, ...]


class RemoteManifest(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest or an index as a registry has it. ``data``: its bytes, those that ``digest`` is of."""

    digest: Digest
    media_type: str
    data: bytes


class Container(msgspec.Struct, frozen=True, kw_only=True):
    """A container as it stood when asked.

    ``image``: the name it was created by; ``image_digest``: of the manifest. ``state``: created,
    running, paused or exited. ``pid``: of its first process on the host, while it runs. Times are seconds
    since the epoch. ``facets``: those that are not real on this host, with reasons.
    """

    id: str
    name: str
    image: str
    image_digest: Digest
    command: tuple[str, ...]
    created: float
    state: str
    pid: int | None = None
    exit_status: int | None = None
    started: float | None = None
    finished: float | None = None
    oom: bool = False
    error: str = ""
    rung: str = "root"
    facets: tuple[Facet, ...] = ()
    labels: dict[str, str] = {}
    options: Options = Options()

    @property
    def short_id(self) -> str:
        """The first twelve digits of the id."""
        return self.id[:12]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a finished command left. ``status``: 128 + number for a signal; ``duration``: seconds
    from start to end."""

    status: int
    stdout: bytes
    stderr: bytes
    duration: float
    container: Container

    @property
    def text(self) -> str:
        """stdout as text; undecodable bytes are replaced."""
        return self.stdout.decode(errors="replace")


class ContainerPlan(msgspec.Struct, frozen=True):
    """How a container would be made: ``spec`` is its config.json, ``steps`` what is done, ``image`` the
    digest of the image that it would stand on."""

    spec: object
    steps: object
    image: str = ""

    def __str__(self) -> str:
        return str(self.steps)
