"""One blob from a registry into the store: compared with its digest, and continued where it broke off."""

from collections.abc import Iterator

import requests

from sandcell.runtime.errors import Corrupted, RegistryRefused
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.registry.client import FAILURES, TRIES, Client
from sandcell.runtime.registry.endpoint import Endpoint
from sandcell.runtime.registry.telling import Tell
from sandcell.runtime.store import Store
from sandcell.runtime.store.arriving import Taker
from sandcell.runtime.store.blobs import BlobWriter

_CHUNK = 1 << 18
_TOLD_EACH = 1 << 20


class Fetcher:
    """Fetches blobs of one repository. ``at``: a mirror, or ``None`` for the registry; ``tell``: hears of
    each blob how many bytes are here. Safe between threads."""

    def __init__(
        self,
        client: Client,
        repository: str,
        store: Store,
        at: Endpoint | None = None,
        tell: Tell = lambda *_: None,
    ) -> None:
        self._client = client
        self._repository = repository
        self._store = store
        self._at = at
        self._tell = tell
        self._stopped = False

    def stop(self) -> None:
        """Give up what is being fetched."""
        self._stopped = True

    def fetch(self, blob: Descriptor, taker: Taker | None = None) -> None:
        """The blob is in the store when this returns; ``Corrupted``, ``RegistryRefused`` and the like.

        ``taker``: gets its bytes as they come, and is not called where the blob is in the store.
        What came before a failure, or before this process was killed, need not come again.
        """
        if self._store.blobs.touch(blob.digest) and self._store.blobs.size(blob.digest) == blob.size:
            self._tell(blob, blob.size, "exists")
            return
        with self._store.blobs.writer(blob.digest) as writer:
            resumed = 0 < writer.size <= blob.size
            if not resumed:
                writer.clear()
            self._tell(blob, writer.size, "moving")
            try:
                self._fill(blob, writer, taker)
            except Corrupted:
                writer.clear()
                if not resumed:
                    raise
                # What was left behind may be damaged: a crash of the machine loses what was not synced.
                self._fill(blob, writer, taker)
        self._tell(blob, blob.size, "done")

    def _fill(self, blob: Descriptor, writer: BlobWriter, taker: Taker | None) -> None:
        told = writer.size
        if taker is not None:
            taker.begin()
            for piece in writer.written():
                taker.write(piece)
        for piece in self._pieces(blob, writer.size):
            writer.write(piece)
            if taker is not None:
                taker.write(piece)
            if writer.size - told >= _TOLD_EACH:
                told = writer.size
                self._tell(blob, told, "moving")
        if taker is not None:
            taker.end()
        writer.commit(blob.media_type, blob)

    def _pieces(self, blob: Descriptor, got: int) -> Iterator[bytes]:
        """The bytes of a blob from ``got`` on; a connection that breaks is taken up where it broke."""
        failures = 0
        asked = False
        while got < blob.size or not (asked or got):
            before = got
            headers = {"Range": f"bytes={got}-"} if got else {}
            path = f"{self._repository}/blobs/{blob.digest}"
            scopes = (f"repository:{self._repository}:pull",)
            try:
                with self._client.call(
                    "GET", path, scopes=scopes, at=self._at, headers=headers, stream=True
                ) as response:
                    asked = True
                    skip = self._offset(response, blob, got)
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
                raise RegistryRefused("pull", blob.digest, cause, "pull again: what came is kept")
            if got == before:
                self._client.pause(failures)

    def _offset(self, response: requests.Response, blob: Descriptor, got: int) -> int:
        """How many bytes to pass over: a server may begin again although we asked for the rest."""
        if response.status_code != 206:
            return got
        start = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
        if not (start.isascii() and start.isdecimal() and len(start) < 19) or int(start) > got:
            raise RegistryRefused("pull", blob.digest, "it sends another part than was asked for")
        return got - int(start)
