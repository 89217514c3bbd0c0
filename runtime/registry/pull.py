"""From a registry into the store: manifest, configuration, layers; every byte compared with its digest."""

from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from sandcell.runtime.errors import Corrupted, ImageNotFound, InvalidDocument, RegistryRefused, SandcellError
from sandcell.runtime.events import Callback, silent
from sandcell.runtime.oci import media_types
from sandcell.runtime.oci.descriptor import Descriptor
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
    on_event: Callback = silent,
) -> Image:
    """Bring the image that ``reference`` means there, and let the name mean it here.

    Of an index the image for ``platform`` (this machine's by default) is taken, or with ``all_platforms``
    the whole of it, which then is what the name means. Blobs that are here are not asked for; one that is
    cut off is continued, also by the next pull. ``ImageNotFound``, ``Corrupted``, ``InvalidDocument``,
    ``LoginNeeded``, ``RegistryRefused``, ``Unreachable``: the name then means what it meant.
    """
    failure: SandcellError | None = None
    for source in client.sources():
        one = _Pull(client, reference, store, source, platform or Platform.here(), on_event)
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
        platform: Platform,
        on_event: Callback,
    ) -> None:
        self._client = client
        self._reference = reference
        self._store = store
        self._at = at
        self._platform = platform
        self._fetcher = Fetcher(
            client, reference.repository, store, at, telling("pull", reference.familiar, on_event)
        )

    def image(self) -> tuple[Descriptor, Image]:
        """The image for one platform."""
        descriptor, document = self._root()
        for _ in range(_DEEPEST):
            if isinstance(document, Manifest):
                self._fetch_all([document])
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

    def _no_image(self, document: Manifest | Index) -> ImageNotFound:
        entries = document.manifests if isinstance(document, Index) else ()
        have = ", ".join(sorted({str(one.platform) for one in entries if one.platform}))
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

    def _fetch_all(self, manifests: list[Manifest]) -> None:
        """All blobs, several at once; the first error stops the others."""
        blobs = {one.digest: one for document in manifests for one in (document.config, *document.layers)}
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="pull") as pool:
            try:
                # The big ones first: they take longest.
                jobs = [
                    pool.submit(self._fetcher.fetch, one)
                    for one in sorted(blobs.values(), key=lambda one: one.size, reverse=True)
                ]
                done, _ = wait(jobs, return_when=FIRST_EXCEPTION)
                for job in done:
                    job.result()
            finally:
                self._fetcher.stop()
                pool.shutdown(cancel_futures=True)
