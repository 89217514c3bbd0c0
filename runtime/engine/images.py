"""Images for the engine: the store, the layers as directories, and builds."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from sandcell.runtime.container import state
from sandcell.runtime.engine import preferences, record
from sandcell.runtime.engine.record import Record
from sandcell.runtime.engine.values import HistoryEntry, ImageEntry, Removed
from sandcell.runtime.engine.work import Worker
from sandcell.runtime.errors import Conflict, SandcellError
from sandcell.runtime.layer.compress import Compression
from sandcell.runtime.layer.whiteout import XattrFlavour
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.image import Image
from sandcell.runtime.oci.manifest import Index, Manifest
from sandcell.runtime.oci.media_types import INDEXES
from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.store import Store, images
from sandcell.runtime.store.store import ArchiveForm
from sandcell.runtime.store.worker import Manner

if TYPE_CHECKING:
    from sandcell.runtime.engine.engine import Engine
    from sandcell.runtime.store.prune import Pruned

PRUNING = "prune"
"""The store's lock that keeps new containers and ``prune`` apart."""


class Images:
    """The engine's view of its store."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self.store = Store(engine.places.home, preferences.stores())
        self._version: tuple[tuple[int, int, int], ...] = ()
        self._found: dict[str, Image] = {}

    # ------------------------------------------------------------ finding

    def find(self, name: str) -> Image:
        """The image of that name or digest; ``host`` and ``host:tiny`` are made when asked for."""
        # A name means what index.json says: as long as that file is the same, so is the answer.
        version = self.store.names.version()
        if version != self._version:
            self._version, self._found = version, {}
        if name not in self._found:
            reference = self._reference(name)
            if reference is not None and reference.is_host:
                return self.host(reference.tag)
            self._found[name] = self.store.image(name)
        return self._found[name]

    def host(self, variant: str) -> Image:
        """The image of this machine's own userland; quick once it has been made."""
        from sandcell.runtime.build.host_base import host_image

        return host_image(self.store, variant)

    def familiar(self, name: str) -> str:
        """The name as people see it; digests stay as they are."""
        reference = self._reference(name)
        return name if reference is None else reference.familiar

    @staticmethod
    def _reference(name: str) -> Reference | None:
        # A digest or the beginning of one is no reference; the store knows these.
        if name.startswith(("sha256:", "sha512:")):
            return None
        return Reference.parse(name)

    def entries(self, given: Sequence[str] = ()) -> tuple[ImageEntry, ...]:
        """The named images, newest first, or those that ``given`` filters leave; one that another tool
        broke is left out."""
        from sandcell.runtime.engine import image_filters

        filters = image_filters.parse(given, lambda name: self.find(name).config.created or "")
        names = [(name, descriptor.digest) for name, descriptor in self.store.names.all().items()]
        if filters.dangling:
            names = [("", digest) for digest in self._nameless({digest for _, digest in names})]
        found = []
        for name, digest in names:
            try:
                image = self.store.image(str(digest))
            except SandcellError:
                continue  # an artifact, or one for another machine
            entry = ImageEntry(
                name=name,
                digest=image.digest,
                created=image.config.created or "",
                size=image.size,
                layers=len(image.layers),
            )
            if filters.match(entry, image.config.config.labels):
                found.append(entry)
        return tuple(sorted(found, key=lambda entry: entry.created, reverse=True))

    def _nameless(self, named: set[Digest]) -> Iterator[Digest]:
        """The images of the store that no name leads to, not even by way of an index."""
        seen = set(named)
        for digest in named:
            document = images.document(self.store.blobs, digest)
            if isinstance(document, Index):
                seen.update(entry.digest for entry in document.manifests)
        for digest in self.store.blobs.list():
            if digest not in seen and isinstance(images.document(self.store.blobs, digest), Manifest):
                yield digest

    def history(self, name: str) -> tuple[HistoryEntry, ...]:
        """The instructions of the image's past, newest first."""
        image = self.find(name)
        layers = iter(image.layers)
        entries = []
        for told in image.config.history:
            layer = None if told.empty_layer else next(layers, None)
            entries.append(
                HistoryEntry(
                    created=told.created or "",
                    created_by=told.created_by or "",
                    size=layer.descriptor.size if layer else 0,
                    digest=layer.descriptor.digest if layer else None,
                    empty_layer=told.empty_layer,
                    comment=told.comment or "",
                )
            )
        return tuple(reversed(entries))

    # ------------------------------------------------------------ names

    def name(self, name: str, image: Image) -> None:
        """Let ``name`` mean ``image``."""
        self.store.names.set(Reference.parse(name), image.descriptor)

    def tag(self, source: str, target: str) -> Image:
        """Let ``target`` mean what ``source`` means; an index stays one."""
        image = self.find(source)
        reference = self._reference(source)
        named = self.store.names.get(reference) if reference is not None else None
        self.store.names.set(Reference.parse(target), named or image.descriptor)
        return image

    def remove(self, name: str, *, force: bool) -> Removed:
        """Take the name away; ``Conflict`` when it is the last one and a container was made of it."""
        reference = self._reference(name)
        image = self.store.image(name)
        names = [n for n, one in self.store.names.all().items() if self._leads_to(one, image)]
        going = names if reference is None else [reference.familiar]
        if any(self.store.names.shared(Reference.parse(each)) for each in going):
            raise Conflict(
                "remove image",
                name,
                "it is in a shared store, which is only read",
                "who keeps that store can remove it there",
            )
        users = [who.name for who in self._made_of(image)]
        if users and set(going) == set(names) and not force:
            raise Conflict(
                "remove image",
                name,
                f"container {users[0]} was made of it",
                "remove the container first, or use --force: the container stays",
            )
        for each in going:
            self.store.names.remove(Reference.parse(each))
        gone = set(going) == set(names) and not users
        return Removed(tuple(going), (str(image.digest),) if gone else ())

    def _leads_to(self, named: Descriptor, image: Image) -> bool:
        """Does a name mean this image, itself or by way of an index?"""
        if named.digest == image.digest:
            return True
        try:
            return named.media_type in INDEXES and self.store.load(named).digest == image.digest
        except SandcellError:
            return False  # it has none for this machine

    def _made_of(self, image: Image) -> list[Record]:
        """The containers of an image; one that is being removed at its end does not count."""
        places = self._engine.places
        return [
            who
            for who in record.every(places)
            if who.image_digest == image.digest
            and not (who.options.remove and record.current(places, who).status == state.EXITED)
        ]

    def prune(self, *, cache: bool, dry_run: bool) -> "Pruned":
        """Delete what no name, container or cached step leads to."""
        from sandcell.runtime.build import cache_folder, scratch

        mounts: list[str] = []
        with self.store.lock(PRUNING):
            if not dry_run:
                scratch.clear(self.store, lambda: self.worker)
            if cache:
                mounts = cache_folder.clear(self.store, lambda: self.worker, dry_run=dry_run)
            needed = [who.image_digest for who in record.every(self._engine.places)]
            pruned = self.store.prune(self.worker, cache=cache, keep=needed, dry_run=dry_run)
        removed = (*pruned.removed, *(f"cache mount {name}" for name in mounts))
        return msgspec.structs.replace(pruned, removed=removed)

    def save(
        self, names: Sequence[str], out: str | BinaryIO, form: ArchiveForm, compression: Compression
    ) -> None:
        """Write one archive of them all."""
        for name in names:
            self.find(name)  # makes it, where it is `host`
        self.store.save(names, out, form, compression)

    def verify(self, digest: Digest) -> None:
        """``Corrupted`` when the blob's bytes are not what its digest says."""
        self.store.blobs.verify(digest)

    # ------------------------------------------------------------ layers as directories

    @property
    def flavour(self) -> XattrFlavour:
        """Where overlay marks are kept: a user namespace may only write ``user.*``."""
        host = self._engine.host
        return "trusted" if host.rung == "root" and not host.copying else "user"

    @property
    def worker(self) -> Worker:
        """Who handles the unpacked layers."""
        return Worker(lambda: self._engine.launcher, self._engine.idmap)

    @property
    def manner(self) -> Manner | None:
        """How layers are unpacked here; ``None`` where no container can be made of them."""
        if self._engine.host.rung == "none":
            return None
        return Manner(self._engine.idmap, self.flavour, self.worker)

    def lowers(self, image: Image) -> tuple[str, ...]:
        """The image's layers as read-only directories, lowest first; unpacked if need be."""
        snapshots = self.store.snapshots.ensure(image, self._engine.idmap, self.flavour, self.worker)
        return tuple(snapshot.path for snapshot in snapshots)

    def lowers_of(self, who: Record) -> tuple[str, ...]:
        """The layers of the image that the container was made of."""
        return self.lowers(self.store.image(str(who.image_digest)))

    def stop_signal(self, who: Record) -> str:
        """STOPSIGNAL of the container's image, empty where it has none."""
        return self.store.image(str(who.image_digest)).config.config.stop_signal
