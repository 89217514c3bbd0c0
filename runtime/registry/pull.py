"""From a registry into the store: manifest, configuration, layers; every byte compared with its digest."""

from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress

from sandcell.runtime.errors import (
    Corrupted,
    HostRefused,
    ImageNotFound,
    InvalidDocument,
    RegistryRefused,
    SandcellError,
)
from sandcell.runtime.events import Callback, silent
from sandcell.runtime.oci import media_types
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.image import Image
from sandcell.runtime.oci.manifest import Index, Manifest
from sandcell.runtime.oci.platform import Platform
from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.registry.client import Client
from sandcell.runtime.registry.documents import fetch_document
from sandcell.runtime.registry.endpoint import Endpoint
from sandcell.runtime.registry.fetch import Fetcher
from sandcell.runtime.registry.telling import telling
from sandcell.runtime.store import Store
from sandcell.runtime.store.arriving import Taker
from sandcell.runtime.store.worker import Manner

_AT_ONCE = 4
_DEEPEST = 4
_MOST_MANIFESTS = 500


def pull(
    client: Client,
    reference: Reference,
    store: Store,
    *,
    platform: Platform | None = None,
    all_platforms: bool = False,
    manner: Manner | None = None,
    on_event: Callback = silent,
) -> Image:
    """Bring the image that ``reference`` means there, and let the name mean it here.

    Of an index the image for ``platform`` (this machine's by default) is taken, or with ``all_platforms``
    the whole of it, which then is what the name means. A single image is taken as it is, unless another
    ``platform`` was asked for: ``ImageNotFound``. ``manner``: how its layers are unpacked while they
    come, if it is for this machine; nothing of them is seen before all is verified. Blobs that are here are
    not asked for; one that is cut off is continued, also by the next pull. ``ImageNotFound``, ``Corrupted``,
    ``BadInput``, ``InvalidDocument``, ``LoginNeeded``, ``RegistryRefused``, ``Unreachable``: the name then
    means what it meant.
    """
    failure: SandcellError | None = None
    for source in client.sources():
        one = _Pull(client, reference, store, source, platform, manner, on_event)
        try:
            with store.leases.working():
                named, image = one.everything() if all_platforms else one.image()
                store.names.set(reference, named)
                return image
        except (RegistryRefused, ImageNotFound, Corrupted, InvalidDocument) as error:
            # A mirror that fails is passed over; what the registry itself says is the answer.
            failure = error
    assert failure is not None
    raise failure


class _Pull:
    """One pull from one place. ``at``: a mirror, or ``None`` for the registry."""

    def __init__(
        self,
        client: Client,
        reference: Reference,
        store: Store,
        at: Endpoint | None,
        platform: Platform | None,
        manner: Manner | None,
        on_event: Callback,
    ) -> None:
        self._client = client
        self._reference = reference
        self._store = store
        self._at = at
        self._asked = platform is not None
        self._platform = platform or Platform.here()
        self._manner = manner
        self._configs: set[Digest] = set()
        self._fetcher = Fetcher(
            client, reference.repository, store, at, telling("pull", reference.familiar, on_event)
        )

    def image(self) -> tuple[Descriptor, Image]:
        """The image for one platform."""
        descriptor, document = self._root()
        if self._asked and isinstance(document, Manifest):
            image = self._early(descriptor, document)
            if image is not None and not _alike(image.platform, self._platform):
                raise self._no_image(document, (image.platform,))
        for _ in range(_DEEPEST):
            if isinstance(document, Manifest):
                self._fetch_one(descriptor, document)
                return descriptor, self._store.load(descriptor)
            chosen = document.choose(self._platform)
            if chosen is None or chosen.media_type not in media_types.MANIFESTS | media_types.INDEXES:
                raise self._no_image(document)
            descriptor, document = self._document(chosen.digest, chosen)
        raise InvalidDocument("pull", self._reference.familiar, "indexes in indexes, too deep")

    def everything(self) -> tuple[Descriptor, Image]:
        """An index with all that it names; with its descriptor the image for one platform."""
        root, document = self._root()
        waiting, seen = [document], {root.digest}
        manifests: list[Manifest] = []
        first: Descriptor | None = root if isinstance(document, Manifest) else None
        while waiting:
            one = waiting.pop(0)
            if isinstance(one, Manifest):
                manifests.append(one)
                continue
            for entry in one.manifests:
                if entry.digest in seen:
                    continue
                if len(seen) > _MOST_MANIFESTS:
                    cause = f"it has more than {_MOST_MANIFESTS} images"
                    raise InvalidDocument("pull", self._reference.familiar, cause)
                seen.add(entry.digest)
                descriptor, inner = self._document(entry.digest, entry)
                waiting.append(inner)
                if isinstance(inner, Manifest) and first is None:
                    first = descriptor
        self._fetch_all(manifests)
        if isinstance(document, Index):
            first = document.choose(self._platform) or first
        if first is None:
            raise self._no_image(document)
        return root, self._store.load(first)

    def _no_image(self, document: Manifest | Index, there: tuple[Platform, ...] = ()) -> ImageNotFound:
        if isinstance(document, Index):
            there = tuple(one.platform for one in document.manifests if one.platform)
        have = ", ".join(sorted({str(one) for one in there}))
        cause = f"it has no image for {self._platform}"
        return ImageNotFound("pull", self._reference.familiar, cause, f"it has {have}" if have else "")

    def _root(self) -> tuple[Descriptor, Manifest | Index]:
        return self._document(self._reference.digest or self._reference.tag, None)

    def _document(self, wanted: str, expected: Descriptor | None) -> tuple[Descriptor, Manifest | Index]:
        """The document under a tag or a digest, verified and stored."""
        found = fetch_document(self._client, self._reference, wanted, expected, self._at)
        with self._store.blobs.writer() as writer:
            writer.write(found.data)
            stored = writer.commit(found.document.media_type, found.descriptor.digest)
        return stored, found.document

    def _fetch_one(self, descriptor: Descriptor, manifest: Manifest) -> None:
        """All blobs of an image, its layers unpacked too where they can be."""
        image = self._early(descriptor, manifest) if self._manner else None
        if image is None or self._manner is None or not _alike(image.platform, Platform.here()):
            self._fetch_all([manifest])
            return
        with self._store.snapshots.arriving(image, *self._manner) as arriving:
            self._fetch_all([manifest], arriving.taker)
            # What this host cannot unpack can still be sent on; who wants to run it is told.
            with suppress(HostRefused):
                arriving.finish()

    def _early(self, descriptor: Descriptor, manifest: Manifest) -> Image | None:
        """The image, before its layers are here; ``None`` where that cannot be."""
        self._fetcher.fetch(manifest.config)
        self._configs.add(manifest.config.digest)
        try:
            return self._store.load(descriptor)
        except SandcellError:
            return None  # told when all is here

    def _fetch_all(
        self, manifests: list[Manifest], taker: Callable[[Digest], Taker | None] = lambda _: None
    ) -> None:
        """All blobs, several at once; the first error stops the others."""
        blobs = {one.digest: one for document in manifests for one in (document.config, *document.layers)}
        for digest in self._configs:
            blobs.pop(digest, None)  # it is here
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="pull") as pool:
            try:
                # The big ones first: they take longest.
                jobs = [
                    pool.submit(self._fetcher.fetch, one, taker(one.digest))
                    for one in sorted(blobs.values(), key=lambda one: one.size, reverse=True)
                ]
                done, _ = wait(jobs, return_when=FIRST_EXCEPTION)
                for job in done:
                    job.result()
            finally:
                self._fetcher.stop()
                pool.shutdown(cancel_futures=True)


def _alike(one: Platform, other: Platform) -> bool:
    return (one.os, one.architecture) == (other.os, other.architecture)
