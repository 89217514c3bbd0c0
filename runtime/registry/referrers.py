"""What refers to an image in a registry: signatures, lists of contents, and the like.

Source: distribution-spec, "Listing Referrers" and, for registries without that, "Referrers Tag Schema".
"""

import msgspec

from sandcell.runtime.errors import ImageNotFound, InvalidDocument, RegistryRefused
from sandcell.runtime.oci import media_types
from sandcell.runtime.oci.decode import decode, encode
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.manifest import Index, Manifest
from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.registry.bodies import bounded
from sandcell.runtime.registry.client import FAILURES, Client
from sandcell.runtime.registry.documents import Document, fetch_document
from sandcell.runtime.registry.paging import following

_MOST_PAGES = 100


def fallback_tag(digest: Digest) -> str:
    """The tag under which a registry that cannot list referrers keeps their index."""
    return f"{digest.algorithm}-{digest.hex}"[:128]


def listed(client: Client, reference: Reference, subject: Digest, kind: str = "") -> tuple[Descriptor, ...]:
    """What says of itself that it belongs to ``subject``; ``kind``: only that artifact type.

    ``LoginNeeded``, ``RegistryRefused``, ``Unreachable``, ``InvalidDocument``.
    """
    found: list[Descriptor] = []
    path = f"{reference.repository}/referrers/{subject}"
    query = {"artifactType": kind} if kind else {}
    for _ in range(_MOST_PAGES):
        with client.call(
            "GET",
            path,
            scopes=(f"repository:{reference.repository}:pull",),
            query=query,
            headers={"Accept": media_types.INDEX},
            accept=(400, 404, 405),
            stream=True,
        ) as response:
            told = response.headers.get("Content-Type", "").partition(";")[0].strip()
            if response.status_code != 200 or told != media_types.INDEX:
                found += _fallback(client, reference, subject)
                break
            try:
                data = bounded(response, "list of referrers")
            except FAILURES as error:
                raise RegistryRefused("ask", client.registry, f"the list broke off: {error}") from None
            found += decode(Index, data, object="list of referrers").manifests
            path, query = following(client, response), {}
        if not path:
            break
    return tuple(one for one in found if not kind or one.artifact_type == kind)


def note(client: Client, reference: Reference, one: Document) -> None:
    """Tell a registry that cannot list referrers of one that was pushed, by the index under a tag."""
    subject = one.document.subject
    assert subject is not None
    kind = one.document.artifact_type
    if not kind and isinstance(one.document, Manifest):
        kind = one.document.config.media_type
    entry = msgspec.structs.replace(one.descriptor, annotations=one.document.annotations, artifact_type=kind)
    others = [old for old in _fallback(client, reference, subject.digest) if old.digest != entry.digest]
    _write(client, reference, subject.digest, [*others, entry])


def forget(client: Client, reference: Reference, one: Document) -> None:
    """Take one that was deleted out of the index under a tag, where there is such an index."""
    subject = one.document.subject
    if subject is None:
        return
    known = _fallback(client, reference, subject.digest)
    others = [old for old in known if old.digest != one.descriptor.digest]
    if len(others) != len(known):
        _write(client, reference, subject.digest, others)


def _write(client: Client, reference: Reference, subject: Digest, entries: list[Descriptor]) -> None:
    client.call(
        "PUT",
        f"{reference.repository}/manifests/{fallback_tag(subject)}",
        scopes=(f"repository:{reference.repository}:pull,push",),
        headers={"Content-Type": media_types.INDEX},
        body=encode(Index(manifests=tuple(entries))),
    )


def _fallback(client: Client, reference: Reference, subject: Digest) -> tuple[Descriptor, ...]:
    try:
        found = fetch_document(client, reference, fallback_tag(subject)).document
    except ImageNotFound:
        return ()
    if not isinstance(found, Index):
        raise InvalidDocument("ask", reference.familiar, f"its tag {fallback_tag(subject)} is no index")
    return found.manifests
