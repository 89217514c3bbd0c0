"""From a registry into the store: manifest, configuration, layers; every byte compared with its digest."""

from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

import requests

from sandcell.runtime.errors import Corrupted, ImageNotFound, InvalidDocument, RegistryRefused, SandcellError
from sandcell.runtime.events import Callback, TransferEvent, silent
from sandcell.runtime.oci import media_types
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.image import Image
from sandcell.runtime.oci.manifest import Index, Manifest, decode_manifest
from sandcell.runtime.oci.platform import Platform
from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.registry.client import FAILURES, TRIES, Client
from sandcell.runtime.registry.endpoint import Endpoint
from sandcell.runtime.store import Store

_ACCEPT = ", ".join(
    (media_types.MANIFEST, media_types.INDEX, media_types.DOCKER_MANIFEST, media_types.DOCKER_MANIFEST_LIST)
)
_LARGEST_DOCUMENT = 4 << 20
_CHUNK = 1 << 18
_TOLD_EACH = 1 << 20
_AT_ONCE = 4


def pull(
    client: Client,
    reference: Reference,
    store: Store,
    *,
    platform: Platform | None = None,
    on_event: Callback = silent,
) -> Image:
    """Bring the image that ``reference`` means there, and let the name mean it here.

    Of an index the image for ``platform`` (this machine's by default) is taken. Blobs that are here are
    not asked for; one that is cut off is continued. ``ImageNotFound``, ``Corrupted``, ``LoginNeeded``,
    ``RegistryRefused``, ``Unreachable``: the name then means what it meant.
    """
    failure: SandcellError | None = None
    for source in client.sources():
        try:
            with store.leases.working():
                image = _Pull(client, reference, store, source, platform or Platform.here(), on_event).image()
                store.names.set(reference, image.descriptor)
                return image
        except (RegistryRefused, ImageNotFound, Corrupted) as error:
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
        self._on_event = on_event
        self._stopped = False
        self._repository = reference.repository
        self._scopes = (f"repository:{reference.repository}:pull",)

    def image(self) -> Image:
        wanted = self._reference.digest or self._reference.tag
        descriptor, document = self._manifest(wanted, None)
        if isinstance(document, Index):
            chosen = document.choose(self._platform)
            if chosen is None or chosen.media_type not in media_types.MANIFESTS:
                have = ", ".join(sorted({str(one.platform) for one in document.manifests if one.platform}))
                hint = f"it has {have}" if have else ""
                cause = f"it has no image for {self._platform}"
                raise ImageNotFound("pull", self._reference.familiar, cause, hint)
            descriptor, document = self._manifest(chosen.digest, chosen)
            if isinstance(document, Index):
                raise InvalidDocument("pull", chosen.digest, "an index in an index is called an image")
        blobs = {one.digest: one for one in (document.config, *document.layers)}
        self._fetch_all(list(blobs.values()))
        return self._store.load(descriptor)

    def _manifest(self, wanted: str, expected: Descriptor | None) -> tuple[Descriptor, Manifest | Index]:
        """The document under a tag or a digest, verified and stored."""
        path = f"{self._repository}/manifests/{wanted}"
        with self._client.call(
            "GET",
            path,
            scopes=self._scopes,
            at=self._at,
            headers={"Accept": _ACCEPT},
            accept=(404,),
            stream=True,
        ) as response:
            if response.status_code == 404:
                cause = f"{self._client.registry} has no image of that name"
                raise ImageNotFound(
                    "pull", self._reference.familiar, cause, "is the name right, and the tag?"
                )
            data = self._document(response)
            told = response.headers.get("Content-Type", "").partition(";")[0].strip()
            promised = response.headers.get("Docker-Content-Digest", "")
        digest = Digest.of(data)
        asked = expected.digest if expected else wanted if ":" in wanted else promised
        if asked:
            name = Digest.parse(asked)
            hasher = name.hasher()
            hasher.update(data)
            if Digest.from_hasher(hasher) != name:
                raise Corrupted("pull", name, f"{self._client.registry} sent other bytes", "try again")
            digest = name
        if expected is not None and expected.size != len(data):
            cause = f"{len(data)} bytes came, {expected.size} were promised"
            raise Corrupted("pull", digest, cause)
        document = decode_manifest(data, object=f"manifest of {self._reference.familiar}")
        known = media_types.MANIFESTS | media_types.INDEXES
        if told in known and told != document.media_type and b'"mediaType"' in data[:4096]:
            cause = f"it is sent as {told} and calls itself {document.media_type}"
            raise InvalidDocument("pull", digest, cause)
        if document.media_type not in known:
            cause = f"it is a {document.media_type[:100]}, no image"
            raise InvalidDocument("pull", self._reference.familiar, cause)
        with self._store.blobs.writer() as writer:
            writer.write(data)
            stored = writer.commit(document.media_type, digest)
        return stored, document

    def _document(self, response: requests.Response) -> bytes:
        try:
            data: bytes = b""
            while len(data) <= _LARGEST_DOCUMENT:
                more = response.raw.read(_LARGEST_DOCUMENT + 1 - len(data), decode_content=False)
                if not more:
                    break
                data += more
        except FAILURES as error:
            raise RegistryRefused(
                "pull", self._reference.familiar, f"the manifest broke off: {error}"
            ) from None
        if len(data) > _LARGEST_DOCUMENT:
            raise InvalidDocument("pull", self._reference.familiar, "its manifest is larger than 4 MiB")
        return data

    def _fetch_all(self, blobs: list[Descriptor]) -> None:
        """All blobs, several at once; the first error stops the others."""
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="pull") as pool:
            try:
                # The big ones first: they take longest.
                jobs = [
                    pool.submit(self._fetch, one)
                    for one in sorted(blobs, key=lambda one: one.size, reverse=True)
                ]
                done, _ = wait(jobs, return_when=FIRST_EXCEPTION)
                for job in done:
                    job.result()
            finally:
                self._stopped = True
                pool.shutdown(cancel_futures=True)

    def _fetch(self, blob: Descriptor) -> None:
        if self._store.blobs.touch(blob.digest) and self._store.blobs.size(blob.digest) == blob.size:
            self._tell(blob, blob.size, "exists")
            return
        with self._store.blobs.writer() as writer:
            written = told = 0
            self._tell(blob, 0)
            for piece in self._pieces(blob):
                writer.write(piece)
                written += len(piece)
                if written - told >= _TOLD_EACH:
                    told = written
                    self._tell(blob, written)
            writer.commit(blob.media_type, blob)
        self._tell(blob, blob.size, "done")

    def _pieces(self, blob: Descriptor) -> Iterator[bytes]:
        """The bytes of a blob; a connection that breaks is taken up where it broke."""
        got = 0
        failures = 0
        while got < blob.size or got == 0:
            before = got
            headers = {"Range": f"bytes={got}-"} if got else {}
            path = f"{self._repository}/blobs/{blob.digest}"
            try:
                with self._client.call(
                    "GET", path, scopes=self._scopes, at=self._at, headers=headers, stream=True
                ) as response:
                    skip = self._offset(response, got)
                    while data := response.raw.read(_CHUNK, decode_content=False):
                        if self._stopped:
                            raise RegistryRefused("pull", blob.digest, "given up, for another blob failed")
                        dropped = min(skip, len(data))
                        skip -= dropped
                        data = data[dropped:]
                        if got + len(data) > blob.size:
                            cause = f"more than the {blob.size} bytes that were promised came"
                            raise Corrupted("pull", blob.digest, cause)
                        got += len(data)
                        if data:
                            yield data
            except FAILURES as error:
                cause = str(error)[:200]
            else:
                cause = f"it ended after {got} of {blob.size} bytes"
            if got >= blob.size:
                return
            # As long as something comes it goes on.
            failures = 0 if got > before else failures + 1
            if failures >= TRIES:
                raise Corrupted("pull", blob.digest, cause, "try again")

    def _offset(self, response: requests.Response, got: int) -> int:
        """How many bytes to pass over: a server may begin again although we asked for the rest."""
        if response.status_code != 206:
            return got
        start = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
        if not start.isdecimal() or int(start) > got:
            raise RegistryRefused(
                "pull", self._reference.familiar, "it sends another part than was asked for"
            )
        return got - int(start)

    def _tell(self, blob: Descriptor, done: int, state: str = "moving") -> None:
        self._on_event(
            TransferEvent(
                action="pull",
                name=self._reference.familiar,
                digest=str(blob.digest),
                done=done,
                total=blob.size,
                state=state,
            )
        )
