"""From the store to a registry: blobs first, several at once, then the manifests that name them.

Source: distribution-spec, "Pushing Manifests", "Pushing Manifests with Subject".
"""

from collections.abc import Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from sandcell.runtime.errors import Corrupted
from sandcell.runtime.events import Callback
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.manifest import Index, decode_manifest
from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.registry import referrers
from sandcell.runtime.registry.client import Client
from sandcell.runtime.registry.documents import Document
from sandcell.runtime.registry.send import Sender
from sandcell.runtime.registry.telling import telling
from sandcell.runtime.store import Store

_AT_ONCE = 4


def push(
    client: Client,
    reference: Reference,
    root: Descriptor,
    store: Store,
    *,
    elsewhere: Mapping[Digest, str],
    on_event: Callback,
) -> None:
    """Let ``reference`` mean ``root`` there: a manifest, or an index with all that it names. What the
    registry has is not sent again.

    ``elsewhere``: repositories of the same registry that may have a blob already. Every blob is
    compared with its digest while it is read: ``Corrupted``. ``BlobNotFound`` where a part of an index is
    not here. ``LoginNeeded``, ``RegistryRefused``, ``Unreachable``: the name there then means what it meant.
    """

    documents = _documents(store, root)
    tell = telling("push", reference.familiar, on_event)
    _send_all(Sender(client, reference.repository, store, tell), documents, elsewhere, store)
    for one in documents:
        name = reference.tag if one is documents[-1] and reference.tag else str(one.descriptor.digest)
        put(client, reference, name, one)


def put(client: Client, reference: Reference, name: str, one: Document) -> None:
    """Store a manifest or index in the repository of ``reference`` under the tag or digest ``name``."""
    response = client.call(
        "PUT",
        f"{reference.repository}/manifests/{name}",
        scopes=(f"repository:{reference.repository}:pull,push",),
        headers={"Content-Type": one.descriptor.media_type},
        body=one.data,
    )
    digest = one.descriptor.digest
    told = response.headers.get("Docker-Content-Digest", "")
    if told.partition(":")[0] == digest.algorithm and told != digest:
        raise Corrupted("push", digest, f"{client.registry} stored {told[:80]}")
    if one.document.subject is not None and "OCI-Subject" not in response.headers:
        referrers.note(client, reference, one)


def _documents(store: Store, root: Descriptor) -> list[Document]:
    """``root`` and all below it, each after what it names."""
    found: dict[Digest, Document] = {}

    def take(digest: Digest) -> None:
        if digest in found:
            return
        data = store.blobs.read(digest)
        document = decode_manifest(data, object=digest)
        if isinstance(document, Index):
            for one in document.manifests:
                take(one.digest)
        found[digest] = Document(Descriptor(document.media_type, digest, len(data)), document, data)

    take(root.digest)
    return list(found.values())


def _send_all(
    sender: Sender, documents: list[Document], elsewhere: Mapping[Digest, str], store: Store
) -> None:
    blobs: dict[Digest, Descriptor] = {}
    for one in documents:
        if isinstance(one.document, Index):
            continue
        for blob in (one.document.config, *one.document.layers):
            # What has addresses of its own need not be anywhere else.
            if not blob.urls or store.blobs.has(blob.digest):
                blobs[blob.digest] = blob
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="push") as pool:
        try:
            ordered = sorted(blobs.values(), key=lambda one: one.size, reverse=True)
            jobs = [pool.submit(sender.send, one, elsewhere.get(one.digest)) for one in ordered]
            done, _ = wait(jobs, return_when=FIRST_EXCEPTION)
            for job in done:
                job.result()
        finally:
            pool.shutdown(cancel_futures=True)
