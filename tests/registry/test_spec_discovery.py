"""What the OCI distribution specification 1.1 asks of a registry: discovery of content, and its management.

Every test is asked of our own registry and, as a test of the tests, of Debian's docker-registry, where
that can do it: it follows version 1.0 of the specification.
"""

import json
import secrets

import pytest

from sandcell.runtime.oci import media_types
from sandcell.runtime.oci.digest import Digest

from .asking import Registry

# ---------------------------------------------------------------- content discovery


@pytest.fixture
def tagged(registry: Registry) -> Registry:
    data = registry.manifest()
    for tag in ("b", "A", "c", "a", "B2", "_x"):
        registry.put(data, tag)
    return registry


def in_order(tagged: Registry) -> list[str]:
    found: list[str] = tagged("GET", "tags/list").json["tags"]
    return found


def test_tags_are_listed_in_order(tagged: Registry) -> None:
    answer = tagged("GET", "tags/list")
    assert answer.status == 200 and answer.json["name"] == tagged.repository
    found = answer.json["tags"] if tagged.version != "1.0" else sorted(answer.json["tags"])
    assert found == sorted(["b", "A", "c", "a", "B2", "_x"])


def test_no_more_than_n_tags_are_listed_and_a_link_leads_on(tagged: Registry) -> None:
    if tagged.version == "1.0":
        pytest.skip("docker-registry 2.8 lists all tags at once")
    found, path = [], "tags/list?n=2"
    while True:
        answer = tagged("GET", path)
        assert len(answer.json["tags"]) <= 2
        found += answer.json["tags"]
        if "link" not in answer.headers:
            break
        place, _, rest = answer.headers["link"].partition(">")
        assert rest == '; rel="next"'
        path = place.lstrip("<")
    assert found == in_order(tagged)


def test_n_of_0_is_an_empty_list_without_a_link(registry11: Registry) -> None:
    registry11.put(registry11.manifest(), "a")
    answer = registry11("GET", "tags/list?n=0")
    assert (answer.status, answer.json["tags"]) == (200, []) and "link" not in answer.headers


def test_tags_after_last_are_listed(registry11: Registry) -> None:
    data = registry11.manifest()
    for tag in ("a", "b", "c", "d"):
        registry11.put(data, tag)
    assert registry11("GET", "tags/list?last=b").json["tags"] == ["c", "d"]
    assert registry11("GET", "tags/list?n=1&last=b").json["tags"] == ["c"]
    # One that is not there has its place all the same.
    assert registry11("GET", "tags/list?last=bb").json["tags"] == ["c", "d"]


def test_tags_of_an_unknown_repository_are_404(registry: Registry) -> None:
    answer = registry("GET", "tags/list")
    assert answer.status == 404 and answer.codes == ["NAME_UNKNOWN"]


def test_referrers_of_anything_are_200_and_an_index(registry11: Registry) -> None:
    answer = registry11("GET", f"referrers/{Digest.of(b'nobody')}")
    assert (answer.status, answer.headers["content-type"]) == (200, media_types.INDEX)
    assert answer.json == {"schemaVersion": 2, "mediaType": media_types.INDEX, "manifests": []}


def test_referrers_of_what_is_no_digest_are_400(registry11: Registry) -> None:
    answer = registry11("GET", "referrers/latest")
    assert answer.status == 400 and answer.codes == ["DIGEST_INVALID"]


@pytest.fixture
def referred(registry11: Registry) -> tuple[Registry, Digest]:
    """A registry with three referrers to a manifest that comes last."""
    wire, subject = registry11, registry11.manifest()
    told = {"mediaType": media_types.MANIFEST, "digest": Digest.of(subject), "size": len(subject)}
    typed = wire.manifest(subject=told, artifactType="text/one", annotations={"a": "1"})
    untyped = wire.manifest(subject=told)
    child = wire.manifest()
    wire.put(child, Digest.of(child))
    entry = {"mediaType": media_types.MANIFEST, "digest": Digest.of(child), "size": len(child)}
    index = {"schemaVersion": 2, "mediaType": media_types.INDEX, "manifests": [entry], "subject": told}
    for data, kind in (
        (typed, media_types.MANIFEST), (untyped, media_types.MANIFEST),
        (json.dumps(index).encode(), media_types.INDEX),
    ):  # fmt: skip
        answer = wire.put(data, Digest.of(data), kind)
        # The subject need not be there.
        assert (answer.status, answer.headers["oci-subject"]) == (201, Digest.of(subject))
    assert "oci-subject" not in wire.put(subject, "signed").headers
    return wire, Digest.of(subject)


def test_referrers_tell_type_and_annotations(referred: tuple[Registry, Digest]) -> None:
    wire, subject = referred
    entries = wire("GET", f"referrers/{subject}").json["manifests"]
    assert sorted(one.get("artifactType", "") for one in entries) == [
        "", media_types.CONFIG, "text/one",
    ]  # fmt: skip
    (typed,) = [one for one in entries if one.get("artifactType") == "text/one"]
    assert typed["annotations"] == {"a": "1"} and typed["mediaType"] == media_types.MANIFEST
    assert len(wire("GET", f"manifests/{typed['digest']}").body) == typed["size"]


def test_referrers_are_filtered_and_say_so(referred: tuple[Registry, Digest]) -> None:
    wire, subject = referred
    answer = wire("GET", f"referrers/{subject}?artifactType=text/one")
    assert answer.headers["oci-filters-applied"] == "artifactType"
    assert [one["artifactType"] for one in answer.json["manifests"]] == ["text/one"]
    assert wire("GET", f"referrers/{subject}?artifactType=text/two").json["manifests"] == []


def test_referrers_outlive_their_subject_and_go_themselves(referred: tuple[Registry, Digest]) -> None:
    wire, subject = referred
    assert wire("DELETE", f"manifests/{subject}").status == 202
    entries = wire("GET", f"referrers/{subject}").json["manifests"]
    assert len(entries) == 3
    assert wire("DELETE", f"manifests/{entries[0]['digest']}").status == 202
    assert len(wire("GET", f"referrers/{subject}").json["manifests"]) == 2


def test_referrers_that_fill_more_than_one_index_come_by_the_page(registry11: Registry) -> None:
    subject = Digest.of(secrets.token_bytes(9))
    told = {"mediaType": media_types.MANIFEST, "digest": subject, "size": 9}
    sent = set()
    for kind in ("text/one", "text/one", "text/one", "text/two"):
        data = registry11.manifest(subject=told, artifactType=kind, annotations={"a": "x" * (1 << 20)})
        assert registry11.put(data, Digest.of(data)).status == 201
        sent.add((Digest.of(data), kind))
    for query, expected in (("", sent), ("?artifactType=text/one", {x for x in sent if x[1] == "text/one"})):
        found, pages, path = [], 0, f"referrers/{subject}{query}"
        while path:
            answer = registry11("GET", path)
            assert len(answer.body) <= 4 << 20 and ("oci-filters-applied" in answer.headers) == bool(query)
            found += [(one["digest"], one["artifactType"]) for one in answer.json["manifests"]]
            place, _, rest = answer.headers.get("link", "").partition(">")
            assert rest in ("", '; rel="next"')
            path, pages = place.lstrip("<"), pages + 1
        assert len(found) == len(expected) and set(found) == expected
        assert pages == (2 if not query else 1)


# ---------------------------------------------------------------- content management


def test_a_deleted_tag_is_gone_and_its_manifest_is_not(registry11: Registry) -> None:
    data = registry11.manifest()
    registry11.put(data, "v1")
    assert registry11("DELETE", "manifests/v1").status == 202
    assert registry11("GET", "manifests/v1").status == 404
    assert registry11("DELETE", "manifests/v1").status == 404
    assert registry11("GET", f"manifests/{Digest.of(data)}").body == data
    assert registry11("GET", "tags/list").json["tags"] == []


def test_a_deleted_manifest_is_gone_with_its_tags(registry: Registry) -> None:
    data, other = registry.manifest(), registry.manifest()
    registry.put(data, "v1")
    registry.put(data, "v2")
    registry.put(other, "v3")
    path = f"manifests/{Digest.of(data)}"
    assert registry("DELETE", path).status == 202
    assert registry("GET", path).status == 404
    assert registry("DELETE", path).status == 404
    assert in_order(registry) == ["v3"]


def test_what_an_index_named_outlives_it(registry: Registry) -> None:
    child = registry.manifest()
    registry.put(child, Digest.of(child))
    entry = {"mediaType": media_types.MANIFEST, "digest": Digest.of(child), "size": len(child)}
    index = json.dumps({"schemaVersion": 2, "mediaType": media_types.INDEX, "manifests": [entry]}).encode()
    registry.put(index, "multi", media_types.INDEX)
    path = f"manifests/{Digest.of(child)}"
    if registry.version != "1.0":  # which lets the index stand without it
        assert registry("DELETE", path).status == 405
    assert registry("DELETE", f"manifests/{Digest.of(index)}").status == 202
    assert registry("GET", path, Accept=media_types.MANIFEST).body == child
    assert registry("DELETE", path).status == 202
    assert registry("GET", path).status == 404


def test_a_deleted_blob_is_gone(registry: Registry) -> None:
    path = f"blobs/{registry.blob(secrets.token_bytes(20))}"
    assert registry("DELETE", path).status == 202
    assert registry("GET", path).status == 404
    assert registry("DELETE", path).status == 404


def test_a_blob_goes_after_its_manifest(registry: Registry) -> None:
    data = registry.manifest()
    registry.put(data, "v1")
    path = f"blobs/{json.loads(data)['config']['digest']}"
    if registry.version != "1.0":  # which lets the manifest stand without it
        assert registry("DELETE", path).status == 405
    registry("DELETE", f"manifests/{Digest.of(data)}")
    assert registry("DELETE", path).status == 202
    assert registry("GET", path).status == 404


def test_a_deleted_blob_can_be_sent_again(registry: Registry) -> None:
    digest = registry.blob(b"again")
    registry("DELETE", f"blobs/{digest}")
    assert registry.blob(b"again") == digest
    assert registry("GET", f"blobs/{digest}").body == b"again"
