"""The store as a registry sees it: repositories, tags, manifests, and what refers to what.

A repository ``team/app`` with the tag ``1`` is our image ``team/app:1``, and ``hello`` our ``hello``; names
with another registry's host in front are not shown. What has no tag is kept under its digest. A repository
has the blobs that its manifests name, and those that were sent to it or mounted while it is served.
"""

import os
import threading

import msgspec

from sandcell.runtime.errors import BadInput, BlobNotFound, InvalidDocument, SandcellError
from sandcell.runtime.oci import media_types
from sandcell.runtime.oci.decode import encode
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.manifest import Index, Manifest, decode_manifest
from sandcell.runtime.oci.reference import DOCKER_HUB, Reference
from sandcell.runtime.store import Store

LARGEST_MANIFEST = 4 << 20
_REMEMBERED = 4096


class _Card(msgspec.Struct, frozen=True):
    """What a manifest or index says, as far as it matters here: its parts, and as a referrer itself."""

    manifests: tuple[Digest, ...]
    blobs: tuple[Digest, ...]
    subject: Digest | None
    told: Descriptor

    @property
    def as_entry(self) -> Descriptor:
        """For the list of names, where nothing else is told of it."""
        return Descriptor(self.told.media_type, self.told.digest, self.told.size)


class Shelf:
    """What a registry over ``store`` has to offer, and how it changes. Safe between threads."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._lock = threading.Lock()
        self._came: dict[str, set[Digest]] = {}
        self._cards: dict[Digest, _Card] = {}
        self._named: tuple[tuple[int, int, int], list[tuple[Reference, Descriptor]]] = (0, 0, 0), []

    # ------------------------------------------------------------ repositories

    def repositories(self) -> list[str]:
        """All, sorted."""
        return sorted({_shown(reference) for reference, _ in self._all()})

    def tags(self, repository: str) -> list[str] | None:
        """The tags of a repository, sorted in bytes; ``None`` for one that is not there."""
        found = self._of(repository)
        return sorted(ref.tag for ref, _ in found if ref.tag) if found else None

    # ------------------------------------------------------------ blobs

    def holds(self, repository: str, digest: Digest) -> bool:
        """Does the repository have that blob? One that it has stays for now, whatever ``prune`` does."""
        with self._lock:
            came = digest in self._came.get(_full(repository), ())
        return (came or digest in self._contents(repository)[1]) and self.store.blobs.touch(digest)

    def mount(self, repository: str, digest: Digest, source: str) -> bool:
        """Let a repository have the blob of another one, of any if ``source`` is empty."""
        known = self.holds(source, digest) if source else self._anywhere(digest)
        if known:
            self.came(repository, digest)
        return known

    def _anywhere(self, digest: Digest) -> bool:
        with self._lock:
            came = any(digest in blobs for blobs in self._came.values())
        named = came or digest in self._below([one.digest for _, one in self._all()])[1]
        return named and self.store.blobs.touch(digest)

    def came(self, repository: str, digest: Digest) -> None:
        """A blob is here and belongs to the repository from now on."""
        with self._lock:
            self._came.setdefault(_full(repository), set()).add(digest)

    def drop(self, repository: str, digest: Digest) -> bool:
        """Take a blob away; ``False`` if there was none. ``PermissionError`` while a manifest names it: the
        bytes belong to every image of the store, and are deleted by ``prune`` when no image needs them."""
        manifests, blobs = self._contents(repository)
        if digest in blobs or digest in manifests:
            raise PermissionError
        with self._lock:
            came = self._came.get(_full(repository), set())
            known = digest in came
            came.discard(digest)
        return known

    # ------------------------------------------------------------ manifests

    def find(self, repository: str, wanted: str) -> tuple[Descriptor, bytes] | None:
        """A manifest or index by tag or digest: its descriptor and its verified bytes."""
        if ":" in wanted:
            digest = Digest.parse(wanted)
            if digest not in self._contents(repository)[0]:
                return None
        else:
            named = self.store.names.get(_reference(repository, wanted))
            if named is None:
                return None
            digest = named.digest
        try:
            if self.store.blobs.size(digest) > LARGEST_MANIFEST:
                return None
            data = self.store.blobs.read(digest)
            document = decode_manifest(data, object=digest)
        except (BlobNotFound, InvalidDocument):
            return None
        return Descriptor(document.media_type, digest, len(data)), data

    def put(self, repository: str, wanted: str, data: bytes, media_type: str) -> tuple[Digest, Digest | None]:
        """Store a manifest or index, byte for byte, under a tag or its digest; with its digest that of its
        subject, which need not be here.

        ``BadInput`` for what is no manifest, ``BlobNotFound`` for one that names what is not here. The
        image that a tag meant before stays, under its digest.
        """
        reference = _reference(repository, wanted)
        if reference.is_host:
            raise BadInput("push", repository, "host is this machine's own image")
        document = decode_manifest(data, object="manifest")
        if not media_type and b'"mediaType"' in data:
            media_type = document.media_type
        if media_type not in media_types.MANIFESTS | media_types.INDEXES or (
            b'"mediaType"' in data and media_type != document.media_type
        ):
            cause = f"it is sent as {media_type[:80]!r} and is a {document.media_type[:80]!r}"
            raise InvalidDocument("push", wanted, cause)
        self._check(repository, document)
        with self.store.blobs.writer() as writer:
            writer.write(data)
            stored = writer.commit(media_type, reference.digest)
        with self._lock:
            if reference.tag:
                self._untag(repository, reference)
            self.store.names.set(reference, stored)
            if isinstance(document, Index):
                # They came first, by digest; from now on the index holds them.
                for one in document.manifests:
                    self.store.names.remove(_reference(repository, one.digest))
        return stored.digest, document.subject.digest if document.subject else None

    def remove(self, repository: str, wanted: str) -> bool:
        """Take a tag away, or a manifest with all its tags; ``False`` if there was none. What an index named
        stays, under its digest.

        ``PermissionError`` for a manifest that an index of the repository names.
        """
        with self._lock:
            if ":" not in wanted:
                reference = _reference(repository, wanted)
                self._untag(repository, reference)
                return self.store.names.remove(reference) is not None
            digest = Digest.parse(wanted)
            going = [ref for ref, one in self._of(repository) if one.digest == digest]
            others = [one.digest for _, one in self._of(repository) if one.digest != digest]
            staying = self._below(others)[0]
            if digest in staying:
                raise PermissionError
            card = self._card(digest) if going else None
            for child in card.manifests if card is not None else ():
                known = self._card(child)
                if known is not None and child not in staying:
                    self.store.names.set(_reference(repository, child), known.as_entry)
            for reference in going:
                self.store.names.remove(reference)
            return bool(going)

    def referrers(self, repository: str, subject: Digest) -> list[Descriptor]:
        """What says of itself that it belongs to ``subject`` (distribution-spec, "Listing Referrers")."""
        found = []
        for digest in sorted(self._contents(repository)[0]):
            card = self._card(digest)
            if card is not None and card.subject == subject:
                found.append(card.told)
        return found

    # ------------------------------------------------------------ below

    def _untag(self, repository: str, reference: Reference) -> None:
        """What the tag means goes on under its digest, if it has no other name."""
        before = self.store.names.get(reference)
        if before is None:
            return
        others = [one.digest for ref, one in self._of(repository) if ref != reference]
        if before.digest not in self._below(others)[0]:
            self.store.names.set(_reference(repository, before.digest), before)

    def _check(self, repository: str, document: Manifest | Index) -> None:
        if isinstance(document, Index):
            known = self._contents(repository)[0]
            missing = [one for one in document.manifests if one.digest not in known]
            parts = tuple(one for one in document.manifests if one.digest in known)
        else:
            # What has addresses of its own need not be here (image-spec, layer.md, non-distributable).
            parts = tuple(one for one in (document.config, *document.layers) if not one.urls)
            missing = [one for one in parts if not self.holds(repository, one.digest)]
        if missing:
            raise BlobNotFound("push", missing[0].digest, "it was not sent before the manifest that names it")
        for part in parts:
            if self.store.blobs.size(part.digest) != part.size:
                raise InvalidDocument("push", part.digest, "it has another size than the manifest says")

    def _of(self, repository: str) -> list[tuple[Reference, Descriptor]]:
        full = _full(repository)
        return [(ref, one) for ref, one in self._all() if ref.repository == full]

    def _contents(self, repository: str) -> tuple[set[Digest], set[Digest]]:
        """The manifests and the blobs to which the names of a repository lead."""
        return self._below([one.digest for _, one in self._of(repository)])

    def _below(self, roots: list[Digest]) -> tuple[set[Digest], set[Digest]]:
        manifests: set[Digest] = set()
        blobs: set[Digest] = set()
        waiting = list(roots)
        while waiting:
            digest = waiting.pop()
            card = None if digest in manifests else self._card(digest)
            if card is not None:
                manifests.add(digest)
                blobs.update(card.blobs)
                waiting += card.manifests
        return manifests, blobs

    def _card(self, digest: Digest) -> _Card | None:
        """What is under a digest says, if it is a manifest; read once."""
        known = self._cards.get(digest)
        if known is not None:
            return known
        try:
            if self.store.blobs.size(digest) > LARGEST_MANIFEST:
                return None
            document = decode_manifest(self.store.blobs.read(digest), object=digest)
            size = self.store.blobs.size(digest)
        except SandcellError:
            return None
        kind = document.artifact_type
        if isinstance(document, Manifest):
            kind = kind or document.config.media_type
            manifests: tuple[Digest, ...] = ()
            blobs = (document.config.digest, *(one.digest for one in document.layers))
        else:
            manifests, blobs = tuple(one.digest for one in document.manifests), ()
        told = Descriptor(
            document.media_type, digest, size, annotations=document.annotations, artifact_type=kind
        )
        card = _Card(manifests, blobs, document.subject.digest if document.subject else None, told)
        if len(self._cards) >= _REMEMBERED:
            self._cards = {}
        self._cards[digest] = card
        return card

    def _all(self) -> list[tuple[Reference, Descriptor]]:
        # The same file says the same: it is only ever replaced.
        state = os.stat(f"{self.store.layout_path}/index.json")
        version = (state.st_ino, state.st_mtime_ns, state.st_size)
        if self._named[0] != version:
            found = []
            for name, descriptor in self.store.names.all().items():
                try:
                    reference = Reference.parse(name)
                except SandcellError:
                    continue
                if reference.registry == DOCKER_HUB and not reference.is_host:
                    found.append((reference, descriptor))
            self._named = version, found
        return self._named[1]


def fitting(manifests: list[Descriptor]) -> list[Descriptor]:
    """As many from the beginning as one index has room for, at least one."""
    room = LARGEST_MANIFEST - len(encoded_index([]))
    for number, one in enumerate(manifests):
        room -= len(encode(one)) + 1
        if room < 0:
            return manifests[: max(1, number)]
    return manifests


def encoded_index(manifests: list[Descriptor]) -> bytes:
    """The index that answers a question for referrers."""
    return encode(Index(manifests=tuple(manifests)))


def _full(repository: str) -> str:
    return repository if "/" in repository else f"library/{repository}"


def _shown(reference: Reference) -> str:
    name = reference.repository.removeprefix("library/")
    return reference.repository if "/" in name else name


def _reference(repository: str, wanted: str) -> Reference:
    if ":" in wanted:
        return Reference(DOCKER_HUB, _full(repository), "", Digest.parse(wanted))
    # Read as a whole once more: what comes over the wire may be anything.
    return Reference.parse(f"{DOCKER_HUB}/{repository}:{wanted}")
