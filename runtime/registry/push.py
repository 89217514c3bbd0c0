"""From the store to a registry: blobs first, several at once, then the manifest that names them.

Source: distribution-spec, "Pushing blobs" (monolithic by POST and PUT, mounting) and "Pushing Manifests".
"""

from collections.abc import Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import IO
from urllib.parse import urljoin

from sandcell.runtime.errors import Corrupted, RegistryRefused, Unreachable
from sandcell.runtime.events import Callback, TransferEvent
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.image import Image
from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.registry.client import TRIES, Client
from sandcell.runtime.store import Store

_AT_ONCE = 4
_TOLD_EACH = 1 << 20


def push(
    client: Client,
    reference: Reference,
    image: Image,
    store: Store,
    *,
    elsewhere: Mapping[Digest, str],
    on_event: Callback,
) -> None:
    """Let ``reference`` mean ``image`` there. What the registry has is not sent again.

    ``elsewhere``: repositories of the same registry that may have a blob already. Every blob is
    compared with its digest while it is read: ``Corrupted``. ``LoginNeeded``, ``RegistryRefused``,
    ``Unreachable``: the name there then means what it meant.
    """
    _Push(client, reference, image, store, elsewhere, on_event).all()


class _Push:
    def __init__(
        self,
        client: Client,
        reference: Reference,
        image: Image,
        store: Store,
        elsewhere: Mapping[Digest, str],
        on_event: Callback,
    ) -> None:
        self._client = client
        self._reference = reference
        self._image = image
        self._store = store
        self._elsewhere = elsewhere
        self._on_event = on_event
        self._repository = reference.repository
        self._scopes = (f"repository:{reference.repository}:pull,push",)

    def all(self) -> None:
        manifest = self._image.manifest
        blobs = {one.digest: one for one in (*manifest.layers, manifest.config)}
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="push") as pool:
            try:
                ordered = sorted(blobs.values(), key=lambda one: one.size, reverse=True)
                done, _ = wait([pool.submit(self._blob, one) for one in ordered], return_when=FIRST_EXCEPTION)
                for job in done:
                    job.result()
            finally:
                pool.shutdown(cancel_futures=True)
        data = self._store.blobs.read(self._image.digest)
        response = self._client.call(
            "PUT",
            f"{self._repository}/manifests/{self._reference.tag or self._image.digest}",
            scopes=self._scopes,
            headers={"Content-Type": self._image.descriptor.media_type},
            body=data,
        )
        told = response.headers.get("Docker-Content-Digest", "")
        if told.partition(":")[0] == self._image.digest.algorithm and told != self._image.digest:
            raise Corrupted("push", self._image.digest, f"{self._client.registry} stored {told[:80]}")

    def _blob(self, blob: Descriptor) -> None:
        found = self._client.call(
            "HEAD", f"{self._repository}/blobs/{blob.digest}", scopes=self._scopes, accept=(404,)
        )
        if found.status_code == 200:
            self._tell(blob, blob.size, "exists")
            return
        for attempt in range(1, TRIES + 1):
            started = self._start(blob, mount=attempt == 1)
            if started is None:
                self._tell(blob, blob.size, "mounted")
                return
            try:
                # A broken upload begins anew: only that is sure to be whole.
                self._client.call(
                    "PUT",
                    started,
                    scopes=self._scopes,
                    headers={"Content-Type": "application/octet-stream"},
                    body=lambda: _Reader(self, blob),  # type: ignore[arg-type, return-value]
                    tries=1,
                )
                break
            except Unreachable:
                if attempt == TRIES:
                    raise
            except RegistryRefused as error:
                if attempt == TRIES or "answered 5" not in error.cause:
                    raise
            self._client.pause(attempt)
        self._tell(blob, blob.size, "done")

    def _start(self, blob: Descriptor, *, mount: bool) -> str | None:
        """The address to send the blob to; ``None`` where the registry took it from another repository."""
        other = self._elsewhere.get(blob.digest) if mount else None
        query = {}
        scopes: tuple[str, ...] = self._scopes
        if other is not None and other != self._repository:
            query = {"mount": str(blob.digest), "from": other}
            scopes = (*scopes, f"repository:{other}:pull")
        response = self._client.call(
            "POST",
            f"{self._repository}/blobs/uploads/",
            scopes=scopes,
            query=query,
            headers={"Content-Length": "0"},
        )
        if response.status_code == 201:
            return None
        location = response.headers.get("Location", "")
        if response.status_code != 202 or not location:
            raise RegistryRefused("push", self._client.registry, "it does not say where to send a blob")
        url = urljoin(response.url, location)
        if not url.startswith("https://") and not self._client.endpoint.loose:
            raise RegistryRefused(
                "push", self._client.registry, "it sends us from TLS to a connection without"
            )
        return f"{url}{'&' if '?' in url else '?'}digest={blob.digest}"

    def _tell(self, blob: Descriptor, done: int, state: str = "moving") -> None:
        self._on_event(
            TransferEvent(
                action="push",
                name=self._reference.familiar,
                digest=str(blob.digest),
                done=done,
                total=blob.size,
                state=state,
            )
        )

    def open(self, blob: Descriptor) -> IO[bytes]:
        """The bytes of a blob."""
        return self._store.blobs.open(blob.digest)

    def moved(self, blob: Descriptor, done: int) -> None:
        """So much of it has been sent."""
        self._tell(blob, done)


class _Reader:
    """A blob being sent: hashed on the way, and told of. The last bytes go only when all were right."""

    def __init__(self, push: _Push, blob: Descriptor) -> None:
        self._push = push
        self._blob = blob
        self._file = push.open(blob)
        self._hasher = blob.digest.hasher()
        self._done = self._told = 0

    def __len__(self) -> int:
        return self._blob.size

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._hasher.update(data)
        self._done += len(data)
        if self._done >= self._blob.size and data:
            wrong = Digest.from_hasher(self._hasher) != self._blob.digest or self._done != self._blob.size
            if wrong:
                cause = "its bytes are not those it is named after"
                raise Corrupted("push", self._blob.digest, cause, "build or load the image again")
        if self._done - self._told >= _TOLD_EACH:
            self._told = self._done
            self._push.moved(self._blob, self._done)
        return data

    def close(self) -> None:
        self._file.close()
