"""What the OCI distribution specification 1.1 asks of a registry: pulling, names and errors.

Every test is asked of our own registry and, as a test of the tests, of Debian's docker-registry, where
that can do it: it follows version 1.0 of the specification.
"""

import json
import secrets

import pytest

from sandcell.runtime.oci import media_types
from sandcell.runtime.oci.digest import Digest

from .asking import Registry

# ---------------------------------------------------------------- end-1


def test_a_registry_answers_200_at_v2(registry: Registry) -> None:
    assert registry("GET", "/v2/").status == 200


# ---------------------------------------------------------------- pull


def test_get_and_head_of_an_unknown_blob_are_404(registry: Registry) -> None:
    path = f"blobs/{Digest.of(b'never sent')}"
    assert registry("HEAD", path).status == 404
    answer = registry("GET", path)
    assert answer.status == 404 and answer.codes == ["BLOB_UNKNOWN"]


def test_get_of_a_blob_gives_its_bytes_and_digest(registry: Registry) -> None:
    digest = registry.blob(b"some bytes")
    answer = registry("GET", f"blobs/{digest}")
    assert (answer.status, answer.body) == (200, b"some bytes")
    assert answer.headers["docker-content-digest"] == digest


def test_head_of_a_blob_gives_its_length(registry: Registry) -> None:
    digest = registry.blob(b"0123456789")
    answer = registry("HEAD", f"blobs/{digest}")
    assert (answer.status, answer.headers["content-length"], answer.body) == (200, "10", b"")


@pytest.mark.parametrize(
    ("told", "expected"),
    [("bytes=2-4", b"234"), ("bytes=7-", b"789"), ("bytes=-2", b"89"), ("bytes=0-", b"0123456789")],
)
def test_range_gives_the_part_of_a_blob(registry: Registry, told: str, expected: bytes) -> None:
    digest = registry.blob(b"0123456789")
    answer = registry("GET", f"blobs/{digest}", Range=told)
    assert answer.status == 206 and answer.body == expected
    assert answer.headers["content-range"].endswith("/10")


def test_a_range_beyond_the_end_is_416(registry11: Registry) -> None:
    digest = registry11.blob(b"0123456789")
    answer = registry11("GET", f"blobs/{digest}", Range="bytes=10-20")
    assert (answer.status, answer.headers["content-range"]) == (416, "bytes */10")


def test_head_ignores_range_as_http_says(registry11: Registry) -> None:
    digest = registry11.blob(b"0123456789")
    answer = registry11("HEAD", f"blobs/{digest}", Range="bytes=2-4")
    assert (answer.status, answer.headers["content-length"]) == (200, "10")


def test_range_counts_only_for_the_bytes_that_are_meant(registry: Registry) -> None:
    digest = registry.blob(b"0123456789")
    etag = registry("HEAD", f"blobs/{digest}").headers["etag"]
    for told, expected in ((etag, (206, b"0")), ('"other"', (200, b"0123456789"))):
        answer = registry("GET", f"blobs/{digest}", Range="bytes=0-0", If_Range=told)
        assert (answer.status, answer.body) == expected


def test_what_a_client_has_already_is_304(registry: Registry) -> None:
    data = registry.manifest()
    registry.put(data, "v1")
    for path in (f"blobs/{json.loads(data)['layers'][0]['digest']}", "manifests/v1"):
        found = registry("GET", path, Accept=media_types.MANIFEST)
        again = registry("GET", path, Accept=media_types.MANIFEST, If_None_Match=found.headers["etag"])
        assert (again.status, again.body) == (304, b"")
        other = registry("GET", path, Accept=media_types.MANIFEST, If_None_Match='"other"')
        assert (other.status, other.body) == (200, found.body)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("reference", ["none", "sha256:" + "0" * 64, ".INVALID", "a" * 129])
def test_an_unknown_manifest_is_404(registry: Registry, method: str, reference: str) -> None:
    registry.put(registry.manifest(), "known")
    assert registry(method, f"manifests/{reference}").status == 404


def test_a_manifest_is_served_by_tag_and_digest_as_it_was_sent(registry: Registry) -> None:
    data = registry.manifest()
    digest = Digest.of(data)
    assert registry.put(data, "v1").status == 201
    for reference in ("v1", digest):
        for method in ("GET", "HEAD"):
            answer = registry(method, f"manifests/{reference}", Accept=media_types.MANIFEST)
            assert answer.status == 200
            assert answer.headers["content-type"] == media_types.MANIFEST
            assert answer.headers["docker-content-digest"] == digest
            assert answer.headers["content-length"] == str(len(data))
            assert answer.body == (data if method == "GET" else b"")


def test_a_repository_has_only_its_own_blobs_and_manifests(registry: Registry) -> None:
    data = registry.manifest()
    registry.put(data, "v1")
    layer = json.loads(data)["layers"][0]["digest"]
    stranger = Registry(registry.address, registry.version)
    stranger.put(stranger.manifest(), "v1")
    assert stranger("GET", f"blobs/{layer}").status == 404
    assert stranger("GET", f"manifests/{Digest.of(data)}").status == 404


# ---------------------------------------------------------------- names and errors


@pytest.mark.parametrize("name", ["a", "a/b/c", "a.b_c__d-e---f/0", "x" * 200])
def test_names_of_the_grammar_are_taken(registry: Registry, name: str) -> None:
    registry.repository = f"{name}/{secrets.token_hex(3)}"
    assert registry.put(registry.manifest(), "v1").status == 201
    assert registry("GET", "tags/list").json["name"] == registry.repository


@pytest.mark.parametrize("name", ["A", "a//b", "-a", "a-", "a..b", "a___b", "a/../b", "a" * 300])
def test_other_names_are_refused(registry: Registry, name: str) -> None:
    if registry.version == "1.0" and len(name) > 255:
        pytest.skip("docker-registry answers 500")
    assert registry("GET", f"/v2/{name}/tags/list").status in (301, 400, 404)
    assert registry("POST", f"/v2/{name}/blobs/uploads/").status in (301, 400, 404, 405)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("POST", "/v2/", "GET, HEAD"), ("DELETE", "tags/list", "GET, HEAD"), ("GET", "blobs/uploads/", "POST"),
     ("PATCH", "manifests/v1", "GET, HEAD, PUT, DELETE")],
)  # fmt: skip
def test_405_tells_what_is_allowed(registry11: Registry, method: str, path: str, allowed: str) -> None:
    answer = registry11(method, path)
    assert (answer.status, answer.headers["allow"]) == (405, allowed)


def test_errors_are_json_with_a_code_in_capitals(registry: Registry) -> None:
    for answer in (
        registry("GET", "manifests/none"),
        registry("GET", "tags/list"),
        registry("GET", f"blobs/{Digest.of(b'none')}"),
        registry.put(b"{", "v1"),
    ):
        assert answer.headers["content-type"].startswith("application/json")
        for one in answer.json["errors"]:
            assert one["code"].replace("_", "").isalpha() and one["code"].isupper()
            assert isinstance(one["message"], str)
