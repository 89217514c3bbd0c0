"""Blobs on their way to our own registry, each over several requests."""

import secrets
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack

from sandcell.runtime.errors import Conflict
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.store import Store

_MOST = 200
_LONGEST_REST = 24 * 3600.0
"""Seconds after which nobody will go on with an upload (distribution-spec, "Cancel a blob upload")."""
_BLOB = "application/octet-stream"


class Upload:
    """One blob that comes in pieces. ``offset``: bytes that are here; ``lock``: hold it to go on;
    ``closed``: it has ended, and takes nothing more."""

    def __init__(self, store: Store, repository: str) -> None:
        self.id = secrets.token_hex(16)
        self.repository = repository
        self.offset = 0
        self.lock = threading.RLock()
        self.closed = False
        self._held = ExitStack()
        self._writer = self._held.enter_context(store.blobs.writer())

    def take(self, pieces: Iterable[bytes]) -> None:
        """Append; what came before a connection broke stays. ``StoreFull``: so does what fitted."""
        for piece in pieces:
            self._writer.write(piece)
            self.offset += len(piece)

    def finish(self, digest: Digest) -> Descriptor:
        """The blob stands under its digest; ``Corrupted`` where its bytes are others."""
        return self._writer.commit(_BLOB, digest)

    def close(self) -> None:
        """Nothing remains of it, unless it was finished. Waits for who is writing to it."""
        with self.lock:
            self.closed = True
            self._held.close()


class Uploads:
    """Those that were begun and not ended. One that rests for a day is ended; of too many, the one that rests
    longest gives way. ``now``: any clock, in seconds."""

    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        self._store = store
        self._now = now
        self._lock = threading.Lock()
        self._open: dict[str, tuple[float, Upload]] = {}

    def begin(self, repository: str) -> Upload:
        """A new one; ``Conflict`` where all others are busy."""
        upload = Upload(self._store, repository)
        with self._lock:
            for id, (used, _) in list(self._open.items()):
                if self._now() - used > _LONGEST_REST:
                    self._let_go(id)
            if len(self._open) >= _MOST and not self._give_way():
                upload.close()
                raise Conflict("push", repository, f"{_MOST} uploads are going on", "try again later")
            self._open[upload.id] = (self._now(), upload)
        return upload

    def find(self, repository: str, id: str) -> Upload | None:
        """The one of that id."""
        with self._lock:
            found = self._open.get(id)
            if found is None or found[1].repository != repository:
                return None
            self._open[id] = (self._now(), found[1])
            return found[1]

    def end(self, upload: Upload) -> None:
        """Forget it."""
        with self._lock:
            self._open.pop(upload.id, None)
        upload.close()

    def close(self) -> None:
        """Forget all."""
        for _, upload in list(self._open.values()):
            self.end(upload)

    def _give_way(self) -> bool:
        return any(self._let_go(id) for id in sorted(self._open, key=lambda id: self._open[id][0]))

    def _let_go(self, id: str) -> bool:
        """End one to which nobody writes."""
        _, upload = self._open[id]
        if not upload.lock.acquire(blocking=False):
            return False
        try:
            del self._open[id]
            upload.close()
        finally:
            upload.lock.release()
        return True
