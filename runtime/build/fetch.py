"""ADD of an address: fetched once, then asked for only whether it changed; the bytes are a blob of the store.

Dockerfile reference, "ADD", "Adding files from a URL" and ``--checksum``; RFC 9110, conditional requests.
"""

import hashlib
import re
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from sandcell.runtime.build.archives import unpacked
from sandcell.runtime.build.context import ContextError
from sandcell.runtime.build.modes import read_mode
from sandcell.runtime.build.ops import Place, Remote
from sandcell.runtime.build.placing import Load, Thing
from sandcell.runtime.build.spool import Spool
from sandcell.runtime.errors import BadInput, Corrupted
from sandcell.runtime.known import known
from sandcell.runtime.layer.tree import Entry
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.store import Store

_MODE = 0o600
_CHUNK = 1 << 18
_TIMEOUT = (10, 60)
_TRIES = 3
_BUSY = frozenset({429, 502, 503, 504})


class Fetched(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an address gave: the digest of its bytes, how many, the name for a file of it, when it was
    last changed (seconds, 0 where it does not tell), and what to ask with whether it changed since."""

    digest: str
    size: int
    name: str = ""
    mtime: int = 0
    etag: str = ""
    modified: str = ""


def fetch(store: Store, remote: Remote) -> "FetchedFile":
    """What is at an address of HTTP; ``ContextError`` where nothing is, or not what its checksum says."""
    key = f"fetched {remote.url}"
    known = _known(store, key)
    if known is not None and remote.checksum and known.digest == remote.checksum:
        return FetchedFile(store, known)
    found = _ask(store, remote, known)
    if found is not known:
        store.cache.put(key, msgspec.to_builtins(found))
    _compare(store, remote, found)
    return FetchedFile(store, found)


def _known(store: Store, key: str) -> Fetched | None:
    record = store.cache.get(key)
    try:
        found = msgspec.convert(record, known(Fetched)) if record is not None else None
    except msgspec.ValidationError:
        return None
    if found is not None and not store.blobs.touch(Digest(found.digest)):
        return None
    return found


def _ask(store: Store, remote: Remote, known: Fetched | None) -> Fetched:
    import requests
    import urllib3

    headers = {"User-Agent": "sandcell", "Accept-Encoding": "identity"}
    if known is not None and known.etag:
        headers["If-None-Match"] = known.etag
    elif known is not None and known.modified:
        headers["If-Modified-Since"] = known.modified
    failure = ""
    for _ in range(_TRIES):
        try:
            with requests.get(remote.url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
                if response.status_code == 304 and known is not None:
                    return known
                if response.ok:
                    return _take(store, remote, response)
                failure = f"it answered {response.status_code}"
                if response.status_code not in _BUSY:
                    break
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            failure = _reason(error)
            if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.MissingSchema):
                break
    raise ContextError(f"{remote.url} could not be fetched: {failure}", "is the address right?")


def _take(store: Store, remote: Remote, response: Any) -> Fetched:
    expected = response.headers.get("Content-Length", "")
    with store.blobs.writer() as writer:
        size = 0
        # Not left to the library, which would tell of a connection that breaks in words of its own.
        response.raw.enforce_content_length = False
        while data := response.raw.read(_CHUNK, decode_content=False):
            writer.write(data)
            size += len(data)
        if expected.isdecimal() and int(expected) != size:
            raise OSError(5, f"{size} of {expected} bytes came")
        stored = writer.commit("application/octet-stream")
    modified = response.headers.get("Last-Modified", "")
    return Fetched(
        digest=str(stored.digest),
        size=size,
        name=_name(response.headers.get("Content-Disposition", ""), remote.url),
        mtime=_seconds(modified),
        etag=response.headers.get("ETag", ""),
        modified=modified,
    )


def _compare(store: Store, remote: Remote, found: Fetched) -> None:
    if not remote.checksum:
        return
    algorithm = remote.checksum.partition(":")[0]
    actual = found.digest
    if algorithm != "sha256":
        with open(store.blobs.path(Digest(found.digest)), "rb") as file:
            actual = f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"
    if actual != remote.checksum:
        raise ContextError(f"{remote.url} is not what --checksum says: it is {actual}")


class FetchedFile:
    """A fetched file as a source of ADD."""

    def __init__(self, store: Store, found: Fetched) -> None:
        self._store = store
        self._found = found

    @property
    def digest(self) -> Digest:
        """The blob that holds it."""
        return Digest(self._found.digest)

    def told(self) -> Any:
        """Name and content."""
        return ["fetched", self._found.name, self._found.digest]

    def load(self, op: Place, owner: tuple[int, int], time: int, spool: Spool) -> Load:
        """The file, or what it holds where an archive is to be unpacked."""
        found, digest = self._found, self.digest
        if op.unpack:
            with open(self._store.blobs.path(digest), "rb", buffering=0) as file:
                try:
                    archive = unpacked(file, spool, owner if op.owner else None, time)
                except (BadInput, Corrupted) as error:
                    raise ContextError(f"{error.object}: {error.cause}") from None
            if archive is not None:
                return archive
        if not found.name and op.into:
            raise ContextError(
                f"{op.sources[0]} tells no name for the file", "write a destination that is no directory"
            )
        mode = read_mode(op.mode)(_MODE, False) if op.mode else _MODE
        entry = Entry("", "file", mode, *owner, found.size, found.mtime or time)
        return Load(found.name, (Thing("", entry, lambda: self._store.blobs.open(digest)),))


def _name(disposition: str, url: str) -> str:
    """What to call the file: as the server says, else as the address ends."""
    match = re.search(r"""filename="?([^";]+)"?""", disposition)
    text = match[1] if match else unquote(urlsplit(url).path)
    name = text.replace("\\", "/").rpartition("/")[2].strip()
    return "" if name in (".", "..") or "\0" in name else name


def _seconds(modified: str) -> int:
    try:
        return int(parsedate_to_datetime(modified).timestamp())
    except (TypeError, ValueError, OverflowError):
        return 0


def _reason(error: BaseException) -> str:
    while True:
        inner = getattr(error, "reason", None) or next(
            (one for one in error.args if isinstance(one, BaseException)), None
        )
        if not isinstance(inner, BaseException):
            break
        error = inner
    text = str(error.strerror if isinstance(error, OSError) and error.strerror else error)
    match = re.search(r"\[Errno -?\d+\] ([^()]+)", text)
    return (match[1] if match else text)[:200] or type(error).__name__
