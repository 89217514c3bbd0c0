"""The store as a registry sees it: repositories, tags, manifests, and what refers to what.

A repository ``team/app`` with the tag ``1`` is our image ``team/app:1``, and ``hello`` our ``hello``; names
with another registry's host in front are not shown. What has no tag is kept under its digest.
"""

from collections.abc import Iterator

from sandcell.runtime.errors import BadInput, BlobNotFound, InvalidDocument, SandcellError
from sandcell.runtime.oci import media_types
from sandcell.runtime.oci.decode import encode
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.manifest import Index, Manifest, decode_manifest
from sandcell.runtime.oci.reference import DOCKER_HUB, Reference
from sandcell.runtime.store import Store

LARGEST_MANIFEST = 4 << 20
_CONFIGS = frozenset({media_types.CONFIG, media_types.DOCKER_CONFIG})


class Shelf:
    """What a registry over ``store`` has to offer, and how it changes."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def repositories(self) -> list[str]:
        """All, sorted."""
        return sorted({_shown(reference) for reference, _ in self._all()})

    def tags(self, repository: str) -> list[str]:
        """The tags of a repository, sorted in bytes; none for one that is not there."""
        wanted = _full(repository)
        return sorted(ref.tag for ref, _ in self._all() if ref.repository == wanted and ref.tag)

    def find(self, repository: str, wanted: str) -> tuple[Descriptor, bytes] | None:
        """A manifest or index by tag or digest: its descriptor and its verified bytes."""
        if ":" in wanted:
            digest = Digest.parse(wanted)
            if not self.store.blobs.has(digest) or self.store.blobs.size(digest) > LARGEST_MANIFEST:
                return None
        else:
            named = self.store.names.get(_reference(repository, wanted))
            if named is None:
                return None
            digest = named.digest
        data = self.store.blobs.read(digest)
        try:
            document = decode_manifest(data, object=digest)
        except InvalidDocument:
            return None
        return Descriptor(document.media_type, digest, len(data)), data

    def put(self, repository: str, wanted: str, data: bytes, media_type: str) -> tuple[Digest, Digest | None]:
        """Store a manifest or index under a tag or its digest; with its digest that of its subject.

        ``BadInput`` for what is no manifest, ``BlobNotFound`` for one that names what is not here.
        """
        reference = _reference(repository, wanted)
        if reference.is_host:
            raise BadInput("push", repository, "host is this machine's own image")
        digest = Digest.of(data)
        if (
            reference.digest is not None
            and reference.digest.algorithm == "sha256"
            and reference.digest != digest
        ):
            raise InvalidDocument("push", wanted, f"its bytes are those of {digest}")
        document = decode_manifest(data, object="manifest")
        if media_type not in media_types.MANIFESTS | media_types.INDEXES or (
            b'"mediaType"' in data and media_type != document.media_type
        ):
            cause = f"it is sent as {media_type[:80]!r} and is a {document.media_type[:80]!r}"
            raise InvalidDocument("push", wanted, cause)
        self._check(document)
        stored = self.store.blobs.put_bytes(data, media_type)
        if isinstance(document, Manifest) and document.config.media_type in _CONFIGS:
            self.store.load(stored)
        self.store.names.set(reference, stored)
        if isinstance(document, Index):
            # They came first, by digest; from now on the index holds them.
            for one in document.manifests:
                self.store.names.remove(_reference(repository, one.digest))
        return digest, document.subject.digest if document.subject else None

    def remove(self, repository: str, wanted: str) -> bool:
        """Take a tag away, or all names of a digest in this repository; ``False`` if there was none."""
        if ":" not in wanted:
            return self.store.names.remove(_reference(repository, wanted)) is not None
        full = _full(repository)
        found = [ref for ref, one in self._all() if ref.repository == full and one.digest == wanted]
        for reference in found:
            self.store.names.remove(reference)
        return bool(found)

    def referrers(self, repository: str, subject: Digest) -> list[Descriptor]:
        """What says of itself that it belongs to ``subject`` (distribution-spec, "Listing Referrers")."""
        full = _full(repository)
        found: dict[Digest, Descriptor] = {}
        for reference, one in self._all():
            if reference.repository != full:
                continue
            try:
                document = decode_manifest(self.store.blobs.read(one.digest), object=one.digest)
            except SandcellError:
                continue
            if document.subject is not None and document.subject.digest == subject:
                kind = document.artifact_type
                if not kind and isinstance(document, Manifest):
                    kind = document.config.media_type
                size = self.store.blobs.size(one.digest)
                found[one.digest] = Descriptor(
                    document.media_type,
                    one.digest,
                    size,
                    annotations=document.annotations,
                    artifact_type=kind,
                )
        return [found[digest] for digest in sorted(found)]

    def _check(self, document: Manifest | Index) -> None:
        if isinstance(document, Index):
            parts: tuple[Descriptor, ...] = document.manifests
        else:
            parts = (document.config, *document.layers)
        for part in parts:
            if not self.store.blobs.touch(part.digest):
                raise BlobNotFound("push", part.digest, "it was not sent before the manifest that names it")
            if self.store.blobs.size(part.digest) != part.size:
                raise InvalidDocument("push", part.digest, "it has another size than the manifest says")

    def _all(self) -> Iterator[tuple[Reference, Descriptor]]:
        for name, descriptor in self.store.names.all().items():
            try:
                reference = Reference.parse(name)
            except SandcellError:
                continue
            if reference.registry == DOCKER_HUB and not reference.is_host:
                yield reference, descriptor


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
