"""The store as one value: blobs, names, snapshots, cache and leases below one directory."""

import os
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, BinaryIO, Literal, TypeAlias

import msgspec

from sandcell.runtime.errors import BadInput, Corrupted
from sandcell.runtime.layer.disk import refused
from sandcell.runtime.oci.config import ImageConfig
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.image import Image
from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.store import images, prune
from sandcell.runtime.store.blobs import BlobStore
from sandcell.runtime.store.cache import Cache
from sandcell.runtime.store.files import Litter, Locks, replace
from sandcell.runtime.store.layers import Layers
from sandcell.runtime.store.leases import Leases
from sandcell.runtime.store.names import LAYOUT_VERSION, Names, empty_index, layout_file
from sandcell.runtime.store.snapshots import Snapshots
from sandcell.runtime.store.worker import Worker

if TYPE_CHECKING:
    from sandcell.runtime.layer.compress import Compression
    from sandcell.runtime.store.load import Loaded

ArchiveForm: TypeAlias = Literal["oci-archive", "oci-dir", "docker-archive"]

_DIRECTORIES = (
    "layout",
    "layout/blobs",
    "layout/blobs/sha256",
    "snapshots",
    "cache",
    "leases",
    "locks",
    "tmp",
)


class Store:
    """Images on disk, below the directory ``home``. Opening makes what is missing and costs little.

    ``blobs``, ``names``, ``layers``, ``snapshots``, ``cache`` and ``leases`` do the work; each may be
    used by many processes and threads at once. ``HostRefused`` and ``StoreFull`` where the directory cannot
    be made, ``Corrupted`` where it is a layout of another version.

    ``shared``: homes of other stores, whose names, blobs, unpacked layers and cached steps are used as well,
    and never written. ``BadInput`` where one is no store.
    """

    def __init__(self, home: str | os.PathLike[str], shared: Sequence[str] = ()) -> None:
        self.home = os.path.abspath(home)
        self.shared = tuple(path for each in shared if (path := os.path.abspath(each)) != self.home)
        for path in self.shared:
            _check_shared(path)
        self._locks = Locks(f"{self.home}/locks")
        self.litter = Litter(f"{self.home}/tmp", self._locks)
        blobs = [f"{path}/layout/blobs" for path in self.shared]
        self.blobs = BlobStore(f"{self.layout_path}/blobs", self.litter, self._locks, blobs)
        indexes = [f"{path}/layout/index.json" for path in self.shared]
        self.names = Names(f"{self.layout_path}/index.json", self.litter, self._locks, indexes)
        self.layers = Layers(self.blobs)
        trees = [f"{path}/snapshots" for path in self.shared]
        self.snapshots = Snapshots(f"{self.home}/snapshots", self.blobs, self.litter, self._locks, trees)
        self.cache = Cache(f"{self.home}/cache", self.litter, [f"{path}/cache" for path in self.shared])
        self.leases = Leases(f"{self.home}/leases", self._locks)
        self._open()

    @property
    def layout_path(self) -> str:
        """The OCI image layout, for other tools: ``skopeo copy oci:<layout_path>:<name> …``."""
        return f"{self.home}/layout"

    def image(self, wanted: str | Reference) -> Image:
        """The image called ``wanted``: a name (``hello``), a digest, or at least four digits of one.

        Read and verified: ``ImageNotFound`` with names that look alike, ``BlobNotFound``, ``Corrupted``,
        ``InvalidDocument``.
        """
        return images.find(self.blobs, self.names, wanted)[0]

    def load(self, descriptor: Descriptor) -> Image:
        """The image behind a descriptor of a manifest or an index."""
        return images.load(self.blobs, descriptor)

    def write_image(
        self, config: ImageConfig, layers: Sequence[Descriptor], *, annotations: dict[str, str] | None = None
    ) -> Image:
        """Store ``config`` and a manifest of it and ``layers`` (stored already, lowest first).

        It has no name yet: hold a working lease until it has. Equal values give the same image.
        """
        return images.write(self.blobs, config, layers, annotations or {})

    def save(
        self,
        wanted: str | Reference | Sequence[str],
        out: str | BinaryIO,
        form: ArchiveForm = "oci-archive",
        compression: "Compression" = "none",
    ) -> None:
        """Write one or several images as one archive to a path, or to an open binary file.

        ``oci-archive`` is what skopeo and podman call so, ``docker-archive`` what ``docker save`` writes;
        ``oci-dir`` makes ``out`` a directory. An index is saved as a whole where all its images are here,
        else, and in docker's form, the image for this machine is.
        """
        from sandcell.runtime.store import archive

        found = archive.collect(self.blobs, self.names, _several(wanted))
        if form == "oci-dir":
            if not isinstance(out, str):
                raise BadInput("save", form, "a directory cannot be written to a stream", "name it")
            archive.save_directory(self.blobs, found, out)
            return

        def plain(file: BinaryIO) -> None:
            if form == "docker-archive":
                from sandcell.runtime.store.docker_archive import save_docker

                save_docker(self.blobs, found, file)
            else:
                archive.save(self.blobs, found, file)

        write = archive.compressed(plain, compression)
        if isinstance(out, str):
            archive.write_file(out, write)
            return
        try:
            write(out)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise refused(error, "save", "archive") from error

    def take(self, source: str | BinaryIO, name: str | None = None) -> "tuple[Loaded, ...]":
        """Load all images of a layout directory, an archive file or an open archive (see ``load.load``)."""
        from sandcell.runtime.store.load import load

        return load(self, source, name)

    def prune(
        self,
        worker: Worker | None = None,
        *,
        cache: bool = False,
        keep: Iterable[Digest] = (),
        dry_run: bool = False,
    ) -> prune.Pruned:
        """Delete what nothing leads to (see ``prune.prune``). ``worker`` deletes the unpacked trees."""
        return prune.prune(self, worker, cache=cache, keep=keep, dry_run=dry_run)

    def lock(self, name: str, *, shared: bool = False) -> AbstractContextManager[None]:
        """Hold a lock of this store in a with statement: all its users, of all processes, wait for it."""
        return self._locks.hold(name, shared=shared)

    def attempt(self, name: str) -> AbstractContextManager[bool]:
        """Hold such a lock alone if nobody holds it; the with statement's value tells whether."""
        return self._locks.attempt(name)

    def _open(self) -> None:
        marker = f"{self.layout_path}/oci-layout"
        try:
            with open(marker, "rb") as file:
                self._check(file.read())
        except FileNotFoundError:
            self._make(marker)
        except OSError as error:
            raise refused(error, "open", self.home) from error

    def _make(self, marker: str) -> None:
        """Make the directories, the marker last: without it the next one does this again."""
        try:
            os.makedirs(self.home, mode=0o700, exist_ok=True)
            for name in _DIRECTORIES:
                os.makedirs(f"{self.home}/{name}", mode=0o700, exist_ok=True)
            with self._locks.hold("index"):
                index = f"{self.layout_path}/index.json"
                if not os.path.exists(index):
                    replace(index, msgspec.json.encode(empty_index()), self.litter)
                replace(marker, layout_file(), self.litter)
        except OSError as error:
            raise refused(error, "open", self.home) from error

    def _check(self, marker: bytes) -> None:
        if LAYOUT_VERSION.encode() not in marker:
            raise Corrupted(
                "open", self.layout_path, f"it is no OCI image layout of version {LAYOUT_VERSION}",
                "choose another directory with SANDCELL_HOME",
            )  # fmt: skip


def _check_shared(path: str) -> None:
    try:
        with open(f"{path}/layout/index.json", "rb"):
            pass
    except OSError as error:
        raise BadInput(
            "use shared store", path, f"{path}/layout/index.json: {os.strerror(error.errno or 0)}",
            "mount it, let everybody read it, or take it out of `stores` in config.toml",
        ) from None  # fmt: skip


def _several(wanted: str | Reference | Sequence[str]) -> Sequence[str | Reference]:
    return [wanted] if isinstance(wanted, str | Reference) else wanted
