"""What can be asked of a repository, or done to it, without anything coming here."""

import json
from typing import Any

from sandcell.runtime.errors import ImageNotFound, InvalidDocument, RegistryRefused
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.registry import referrers
from sandcell.runtime.registry.bodies import bounded
from sandcell.runtime.registry.client import FAILURES, Client
from sandcell.runtime.registry.documents import fetch_document
from sandcell.runtime.registry.paging import following

_MOST_PAGES = 1000
_PAGE = "1000"


def tags(client: Client, reference: Reference) -> tuple[str, ...]:
    """All tags of a repository, in the registry's order; ``ImageNotFound`` where there is none."""
    found: list[str] = []
    seen: set[str] = set()
    path, query = f"{reference.repository}/tags/list", {"n": _PAGE}
    for _ in range(_MOST_PAGES):
        with client.call(
            "GET",
            path,
            scopes=(f"repository:{reference.repository}:pull",),
            query=query,
            accept=(404,),
            stream=True,
        ) as response:
            if response.status_code == 404:
                cause = f"{client.registry} has no repository {reference.repository}"
                raise ImageNotFound("list tags", reference.name, cause, "is the name right?")
            try:
                told: Any = json.loads(bounded(response, "list of tags"))
            except FAILURES as error:
                raise RegistryRefused("list tags", reference.name, f"it broke off: {error}") from None
            except ValueError as error:
                raise InvalidDocument("list tags", reference.name, f"not JSON: {error}") from None
            page = told.get("tags") if isinstance(told, dict) else told
            # Written in Go, an empty list may be null.
            if page is not None and not (isinstance(page, list) and all(isinstance(t, str) for t in page)):
                raise InvalidDocument("list tags", reference.name, "it is no list of tags")
            new = [one for one in page or () if one not in seen]
            found += new
            seen.update(new)
            path, query = following(client, response), {}
        if not path or not new:
            break
    return tuple(found)


def digest_of(client: Client, reference: Reference) -> Digest:
    """The digest of what a reference means there; ``ImageNotFound``."""
    if reference.digest is not None:
        return reference.digest
    return fetch_document(client, reference, reference.tag, doing="ask for").descriptor.digest


def delete(client: Client, reference: Reference) -> Digest:
    """Delete what a reference means there, with all its tags, as skopeo-delete(1); gives its digest.

    Of others that name it as their subject the list is kept right. ``ImageNotFound``;
    ``RegistryRefused`` where the registry lets nobody delete.
    """
    wanted = str(reference.digest or reference.tag)
    one = fetch_document(client, reference, wanted, doing="delete")
    digest = one.descriptor.digest
    response = client.call(
        "DELETE",
        f"{reference.repository}/manifests/{digest}",
        scopes=(f"repository:{reference.repository}:pull,push,delete",),
        accept=(404, 405),
    )
    if response.status_code == 404:
        raise ImageNotFound("delete", reference.familiar, f"{client.registry} has it no more")
    if response.status_code == 405:
        hint = "docker-registry: REGISTRY_STORAGE_DELETE_ENABLED=true"
        raise RegistryRefused("delete", reference.familiar, f"{client.registry} lets nobody delete it", hint)
    referrers.forget(client, reference, one)
    return digest
