"""Manifests and indexes of a registry: asked for, and believed only as far as digest and type agree."""

import msgspec
import requests

from sandcell.runtime.errors import Corrupted, ImageNotFound, InvalidDocument, RegistryRefused
from sandcell.runtime.oci import media_types
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.manifest import Index, Manifest, decode_manifest
from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.registry.bodies import bounded
from sandcell.runtime.registry.client import FAILURES, TRIES, Client
from sandcell.runtime.registry.endpoint import Endpoint

ACCEPT = ", ".join(
    (media_types.MANIFEST, media_types.INDEX, media_types.DOCKER_MANIFEST, media_types.DOCKER_MANIFEST_LIST)
)


class Document(msgspec.Struct, frozen=True):
    """A manifest or an index: what it says, its bytes, and the descriptor of these."""

    descriptor: Descriptor
    document: Manifest | Index
    data: bytes


def fetch_document(
    client: Client,
    reference: Reference,
    wanted: str,
    expected: Descriptor | None = None,
    at: Endpoint | None = None,
    doing: str = "pull",
) -> Document:
    """The document under the tag or digest ``wanted`` in the repository of ``reference``.

    ``doing``: for the error. ``expected``: what led here, if something did; its size must agree.
    ``ImageNotFound``, ``Corrupted``
    where the bytes are others than asked for, ``InvalidDocument`` where they are no manifest, or one under
    another name.
    """
    name = reference.familiar
    response, data = _ask(client, reference, wanted, at, doing)
    told = response.headers.get("Content-Type", "").partition(";")[0].strip()
    asked = wanted if ":" in wanted else response.headers.get("Docker-Content-Digest", "")
    digest = Digest.of(data)
    if asked:
        promised = Digest.parse(asked)
        hasher = promised.hasher()
        hasher.update(data)
        if Digest.from_hasher(hasher) != promised:
            raise Corrupted(doing, promised, f"{client.registry} sent other bytes", "try again")
        digest = promised
    if expected is not None and expected.size != len(data):
        raise Corrupted(doing, digest, f"{len(data)} bytes came, {expected.size} were promised")
    document = decode_manifest(data, object=f"manifest of {name}")
    known = media_types.MANIFESTS | media_types.INDEXES
    if told in known and told != document.media_type and b'"mediaType"' in data[:4096]:
        cause = f"it is sent as {told} and calls itself {document.media_type}"
        raise InvalidDocument(doing, digest, cause)
    if expected is not None and (expected.media_type in media_types.INDEXES) != isinstance(document, Index):
        cause = f"it is called {expected.media_type[:100]} and is a {document.media_type[:100]}"
        raise InvalidDocument(doing, digest, cause)
    if document.media_type not in known:
        raise InvalidDocument(doing, name, f"it is a {document.media_type[:100]}, no image")
    return Document(Descriptor(document.media_type, digest, len(data)), document, data)


def _ask(
    client: Client, reference: Reference, wanted: str, at: Endpoint | None, doing: str
) -> tuple[requests.Response, bytes]:
    """The answer and its body, asked for again where it breaks off."""
    cause = ""
    for attempt in range(1, TRIES + 1):
        with client.call(
            "GET",
            f"{reference.repository}/manifests/{wanted}",
            scopes=(f"repository:{reference.repository}:pull",),
            at=at,
            headers={"Accept": ACCEPT},
            accept=(404,),
            stream=True,
        ) as response:
            if response.status_code == 404:
                cause = f"{client.registry} has no image of that name"
                raise ImageNotFound(doing, reference.familiar, cause, "is the name right, and the tag?")
            try:
                data = bounded(response, "manifest")
            except FAILURES as error:
                cause = str(error)[:200]
                client.pause(attempt)
                continue
            return response, data
    raise RegistryRefused(doing, reference.familiar, f"the manifest broke off: {cause}")
