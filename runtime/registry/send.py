"""One blob from the store to a registry: at once, in chunks, or on from where a connection broke.

Source: distribution-spec, "Pushing a blob monolithically", "in chunks", "Mounting a blob".
"""

import re
from typing import IO
from urllib.parse import urljoin

import requests

from sandcell.runtime.errors import Corrupted, RegistryRefused, Unreachable
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.registry.client import BUSY, TRIES, Client
from sandcell.runtime.registry.telling import Tell
from sandcell.runtime.store import Store

_TOLD_EACH = 1 << 20
_SMALLER = 8 << 20
_OCTETS = {"Content-Type": "application/octet-stream"}
_TOO_LARGE = 413


class Sender:
    """Sends blobs to one repository. ``chunk``: most bytes in one request, 0 for all at once; ``tell``:
    hears of each blob how many bytes are there. Safe between threads."""

    def __init__(
        self,
        client: Client,
        repository: str,
        store: Store,
        tell: Tell,
    ) -> None:
        self._client = client
        self._repository = repository
        self._store = store
        self._tell = tell
        self._scopes = (f"repository:{repository}:pull,push",)
        self._chunk = client.chunk

    def send(self, blob: Descriptor, elsewhere: str | None) -> None:
        """The repository has the blob when this returns. ``elsewhere``: a repository that may have it.

        ``Corrupted`` where its bytes here are others, ``RegistryRefused`` and the like.
        """
        path = f"{self._repository}/blobs/{blob.digest}"
        found = self._client.call("HEAD", path, scopes=self._scopes, accept=(404,))
        if found.status_code == 200:
            self._tell(blob, blob.size, "exists")
            return
        for attempt in range(1, TRIES + 1):
            upload = _Upload(self, blob)
            if not upload.begin(elsewhere if attempt == 1 else None):
                self._tell(blob, blob.size, "mounted")
                return
            if upload.carry(self._chunk):
                self._tell(blob, blob.size, "done")
                return
            if upload.too_large and not self._chunk:
                self._chunk = _SMALLER
            elif attempt == TRIES:
                raise upload.failure()
            self._client.pause(attempt)
        raise upload.failure()


class _Upload:
    """One upload session. ``place``: the address that it goes on at, the newest that was told."""

    def __init__(self, sender: Sender, blob: Descriptor) -> None:
        self._sender = sender
        self._blob = blob
        self._client = sender._client
        self._scopes = sender._scopes
        self._offset = 0
        self._least = 0
        self._said = ""
        self._asked: str | None = None
        self.too_large = False
        self.place = ""

    def begin(self, elsewhere: str | None) -> bool:
        """Ask for a place to send to; ``False`` where nothing needs to be sent."""
        query: dict[str, str] = {}
        scopes: tuple[str, ...] = self._scopes
        if elsewhere is not None and elsewhere != self._sender._repository:
            query = {"mount": str(self._blob.digest), "from": elsewhere}
            scopes = (*scopes, f"repository:{elsewhere}:pull")
        path = f"{self._sender._repository}/blobs/uploads/"
        headers = {"Content-Length": "0"}
        for attempt in range(1, TRIES + 1):
            response = self._client.call("POST", path, scopes=scopes, query=query, headers=headers)
            if response.status_code == 201:
                return False
            if response.status_code == 202 and response.headers.get("Location"):
                break
            self._client.pause(attempt)
        else:
            raise RegistryRefused("push", self._client.registry, "it does not say where to send a blob")
        least = response.headers.get("OCI-Chunk-Min-Length", "")
        self._least = int(least) if re.fullmatch(r"[0-9]{1,12}", least) else 0
        self._move(response)
        return True

    def carry(self, chunk: int) -> bool:
        """Send all that is left, in chunks if ``chunk`` is not 0; ``False`` where only a new upload helps."""
        failures = 0
        while True:
            before, self._asked = self._offset, None
            try:
                if self._parts(max(chunk, self._least) if chunk else 0):
                    return True
            except Unreachable as error:
                self._said = error.cause
            if self.too_large:
                return False
            failures = 0 if self._offset > before else failures + 1
            if failures >= TRIES:
                raise self.failure()
            self._client.pause(failures or 1, self._asked)
            if not self._look():
                return False

    def failure(self) -> Exception:
        """Why it did not work."""
        return Unreachable("push", self._client.registry, self._said or "the upload broke off", "try again")

    def _parts(self, chunk: int) -> bool:
        blob, size = self._blob, self._blob.size
        if not chunk and not self._offset:
            return self._request("PUT", self._finishing(), 0, size) is not None
        if self._offset:
            # What went before was not looked at by who goes on.
            self._sender._store.blobs.verify(blob.digest)
        while self._offset < size:
            length = min(chunk or size, size - self._offset)
            response = self._request("PATCH", self.place, self._offset, length)
            if response is None:
                return False
            self._offset += length
            self._move(response)
        return self._request("PUT", self._finishing(), size, 0) is not None

    def _request(self, method: str, url: str, start: int, length: int) -> requests.Response | None:
        """Send some bytes; ``None`` where it is too much for them, or not now."""
        blob = self._blob
        headers = dict(_OCTETS)
        if method == "PATCH":
            headers["Content-Range"] = f"{start}-{start + length - 1}"
        response = self._client.call(
            method,
            url,
            scopes=self._scopes,
            headers=headers,
            body=(lambda: _Reader(self._sender, blob, start, length)) if length else b"",  # type: ignore[arg-type, return-value]
            accept=(_TOO_LARGE, 404, 416, *BUSY),
            tries=1,
        )
        if response.ok:
            return response
        self._said = f"it answered {response.status_code}"
        self._asked = response.headers.get("Retry-After")
        self.too_large = response.status_code == _TOO_LARGE
        response.close()
        return None

    def _look(self) -> bool:
        """How much came? ``False`` where the upload is no more."""
        try:
            response = self._client.call(
                "GET", self.place, scopes=self._scopes, accept=tuple(range(400, 500))
            )
        except RegistryRefused:
            return False
        match = re.fullmatch(r"(?:bytes=)?0-([0-9]{1,18})", response.headers.get("Range", "").strip())
        if response.status_code != 204 or match is None:
            return False
        last = int(match[1])
        self._offset = last + 1 if last else 0
        self._move(response)
        return self._offset <= self._blob.size

    def _move(self, response: requests.Response) -> None:
        location = response.headers.get("Location", "")
        url = urljoin(response.url, location) if location else self.place
        if not url.startswith("https://") and not self._client.endpoint.loose:
            cause = "it sends us from TLS to a connection without"
            raise RegistryRefused("push", self._client.registry, cause)
        self.place = url

    def _finishing(self) -> str:
        return f"{self.place}{'&' if '?' in self.place else '?'}digest={self._blob.digest}"


class _Reader:
    """Part of a blob being sent. Of a whole one the last bytes go only when all were right."""

    def __init__(self, sender: Sender, blob: Descriptor, start: int, length: int) -> None:
        self._sender = sender
        self._blob = blob
        self._file: IO[bytes] = sender._store.blobs.open(blob.digest)
        self._file.seek(start)
        self._hasher = blob.digest.hasher() if length == blob.size else None
        self._left = self._length = length
        self._done = self._told = start

    def __len__(self) -> int:
        return self._length

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        self._done += len(data)
        if self._hasher is not None:
            self._hasher.update(data)
        if not data and self._left:
            raise self._wrong()
        if data and not self._left and self._hasher is not None:
            whole = self._done == self._sender._store.blobs.size(self._blob.digest)
            if not whole or Digest.from_hasher(self._hasher) != self._blob.digest:
                raise self._wrong()
        if self._done - self._told >= _TOLD_EACH:
            self._told = self._done
            self._sender._tell(self._blob, self._done, "moving")
        return data

    def close(self) -> None:
        self._file.close()

    def _wrong(self) -> Corrupted:
        cause = "its bytes are not those it is named after"
        return Corrupted("push", self._blob.digest, cause, "build or load the image again")
