"""What the OCI distribution specification 1.1 asks of a registry: pushing blobs and manifests.

Every test is asked of our own registry and, as a test of the tests, of Debian's docker-registry, where
that can do it: it follows version 1.0 of the specification.
"""

import hashlib
import json
import secrets

import pytest

from sandcell.runtime.oci import media_types
from sandcell.runtime.oci.digest import Digest

from .asking import OCTETS, Registry, finishing

# ---------------------------------------------------------------- push: blobs


def test_post_then_put_stores_a_blob(registry: Registry) -> None:
    data = secrets.token_bytes(300)
    answer = registry("PUT", finishing(registry.begin(), Digest.of(data)), data, Content_Type=OCTETS)
    assert answer.status == 201 and answer.headers["docker-content-digest"] == Digest.of(data)
    assert registry("GET", answer.headers["location"]).body == data


def test_each_post_begins_an_upload_of_its_own(registry: Registry) -> None:
    assert registry.begin() != registry.begin()


def test_a_single_post_stores_or_begins(registry: Registry) -> None:
    data = secrets.token_bytes(300)
    answer = registry("POST", f"blobs/uploads/?digest={Digest.of(data)}", data, Content_Type=OCTETS)
    assert answer.status in (201, 202) and answer.headers["location"]
    if answer.status == 201:
        assert registry("GET", answer.headers["location"]).body == data


def test_chunks_are_put_together(registry: Registry) -> None:
    data = secrets.token_bytes(300)
    begun = registry("POST", "blobs/uploads/")
    assert int(begun.headers.get("oci-chunk-min-length", "0")) <= 100
    first = registry(
        "PATCH", begun.headers["location"], data[:100], Content_Range="0-99", Content_Type=OCTETS
    )
    assert (first.status, first.headers["range"]) == (202, "0-99")
    second = registry(
        "PATCH", first.headers["location"], data[100:200], Content_Range="100-199", Content_Type=OCTETS
    )
    assert (second.status, second.headers["range"]) == (202, "0-199")
    last = registry(
        "PUT", finishing(second.headers["location"], Digest.of(data)), data[200:], Content_Range="200-299",
        Content_Type=OCTETS,
    )  # fmt: skip
    assert last.status == 201
    assert registry("GET", last.headers["location"]).body == data


def test_a_stream_of_unknown_length_is_taken(registry: Registry) -> None:
    data = secrets.token_bytes(300)
    answer = registry("PATCH", registry.begin(), data, Content_Type=OCTETS)
    assert answer.status == 202
    answer = registry("PUT", finishing(answer.headers["location"], Digest.of(data)))
    assert answer.status == 201


def test_a_chunk_out_of_order_is_416_and_the_upload_goes_on(registry: Registry) -> None:
    data = secrets.token_bytes(300)
    place = registry.begin()
    answer = registry("PATCH", place, data[100:200], Content_Range="100-199", Content_Type=OCTETS)
    assert answer.status == 416 or registry.version == "1.0"
    place = registry.begin() if registry.version == "1.0" else place
    answer = registry("PATCH", place, data[:100], Content_Range="0-99", Content_Type=OCTETS)
    assert answer.status == 202
    place = answer.headers["location"]
    if registry.version != "1.0":  # it takes them twice
        assert registry("PATCH", place, data[:100], Content_Range="0-99", Content_Type=OCTETS).status == 416
    answer = registry("GET", place)
    assert (answer.status, answer.headers["range"]) == (204, "0-99")
    answer = registry("PATCH", answer.headers["location"], data[100:], Content_Range="100-299",
                      Content_Type=OCTETS)  # fmt: skip
    assert answer.status == 202
    answer = registry("PUT", finishing(answer.headers["location"], Digest.of(data)))
    assert answer.status == 201


def test_a_last_chunk_out_of_order_is_416(registry: Registry) -> None:
    data = secrets.token_bytes(300)
    answer = registry("PATCH", registry.begin(), data[:100], Content_Range="0-99", Content_Type=OCTETS)
    place = finishing(answer.headers["location"], Digest.of(data))
    if registry.version != "1.0":  # it looks at the range of a PATCH only
        assert registry("PUT", place, data[200:], Content_Range="200-299").status == 416
    assert registry("PUT", place, data[100:], Content_Range="100-299").status == 201


def test_a_content_range_of_another_length_is_refused(registry11: Registry) -> None:
    answer = registry11("PATCH", registry11.begin(), b"12345", Content_Range="0-99", Content_Type=OCTETS)
    assert answer.status == 400 and answer.codes == ["SIZE_INVALID"]


def test_a_status_tells_where_an_upload_is(registry: Registry) -> None:
    answer = registry("GET", registry.begin())
    assert answer.status == 204 and answer.headers["location"] and answer.headers["range"] == "0-0"


def test_an_unknown_upload_is_404(registry: Registry) -> None:
    place = registry.begin()
    assert registry("DELETE", place).status == 204
    answer = registry("GET", place)
    assert answer.status == 404 and answer.codes == ["BLOB_UPLOAD_UNKNOWN"]
    assert registry("PATCH", place, b"1").status == 404


def test_other_bytes_than_the_digest_are_refused(registry: Registry) -> None:
    digest = Digest.of(secrets.token_bytes(10))
    answer = registry("PUT", finishing(registry.begin(), digest), b"other", Content_Type=OCTETS)
    assert answer.status == 400 and answer.codes == ["DIGEST_INVALID"]
    assert registry("HEAD", f"blobs/{digest}").status == 404


@pytest.mark.parametrize("digest", ["", "sha256:123", "md5:" + "0" * 32, "sha256:" + "G" * 64])
def test_a_digest_that_is_none_is_refused(registry: Registry, digest: str) -> None:
    answer = registry("PUT", finishing(registry.begin(), digest), b"1", Content_Type=OCTETS)
    assert answer.status == 400 and answer.codes == ["DIGEST_INVALID"]


def test_blobs_may_be_named_by_sha512(registry: Registry) -> None:
    digest = f"sha512:{hashlib.sha512(b'long name').hexdigest()}"
    if registry.version == "1.0":
        pytest.skip("docker-registry stores them under their sha256")
    registry.blob(b"long name", digest)
    answer = registry("GET", f"blobs/{digest}")
    assert (answer.body, answer.headers["docker-content-digest"]) == (b"long name", digest)


# ---------------------------------------------------------------- push: mounts


def test_a_blob_is_mounted_from_another_repository(registry: Registry) -> None:
    digest = registry.blob(b"to be mounted")
    other = Registry(registry.address, registry.version)
    answer = other("POST", f"blobs/uploads/?mount={digest}&from={registry.repository}")
    assert answer.status == 201 and answer.headers["docker-content-digest"] == digest
    assert other("GET", answer.headers["location"]).body == b"to be mounted"


@pytest.mark.parametrize("source", ["&from=no/where", "&from=UPPER", ""])
def test_what_cannot_be_mounted_is_an_upload(registry: Registry, source: str) -> None:
    if source == "&from=UPPER" and registry.version == "1.0":
        pytest.skip("docker-registry refuses it")
    data = secrets.token_bytes(30)
    answer = registry("POST", f"blobs/uploads/?mount={Digest.of(data)}{source}")
    assert answer.status == 202
    place = finishing(answer.headers["location"], Digest.of(data))
    assert registry("PUT", place, data, Content_Type=OCTETS).status == 201


def test_a_mount_without_from_finds_the_blob(registry11: Registry) -> None:
    data = registry11.manifest()
    registry11.put(data, "v1")
    digest = json.loads(data)["layers"][0]["digest"]
    other = Registry(registry11.address, registry11.version)
    assert other("POST", f"blobs/uploads/?mount={digest}").status == 201
    assert other("HEAD", f"blobs/{digest}").status == 200


# ---------------------------------------------------------------- push: manifests


def test_put_of_a_manifest_gives_a_place_that_can_be_pulled(registry: Registry) -> None:
    data = registry.manifest()
    for reference in ("v1", str(Digest.of(data))):
        answer = registry.put(data, reference)
        assert answer.status == 201 and answer.headers["docker-content-digest"] == Digest.of(data)
        assert registry("GET", answer.headers["location"], Accept=media_types.MANIFEST).body == data


def test_a_manifest_without_layers_is_taken(registry: Registry) -> None:
    data = registry.manifest(layers=[])
    assert registry.put(data, "empty").status == 201
    assert registry("GET", "manifests/empty", Accept=media_types.MANIFEST).body == data


def test_parameters_of_the_content_type_are_ignored(registry: Registry) -> None:
    assert registry.put(registry.manifest(), "v1", f"{media_types.MANIFEST}; charset=utf-8").status == 201


def test_a_digest_that_is_another_manifest_s_is_refused(registry: Registry) -> None:
    answer = registry.put(registry.manifest(), f"sha256:{'0' * 64}")
    assert answer.status == 400 and answer.codes == ["DIGEST_INVALID"]


def test_a_manifest_may_be_named_by_sha512(registry11: Registry) -> None:
    data = registry11.manifest()
    digest = f"sha512:{hashlib.sha512(data).hexdigest()}"
    answer = registry11.put(data, digest)
    assert (answer.status, answer.headers["docker-content-digest"]) == (201, digest)
    assert registry11("GET", answer.headers["location"]).body == data
    assert registry11.put(data + b" ", digest).codes == ["DIGEST_INVALID"]


def test_a_manifest_whose_blobs_are_missing_is_refused(registry: Registry) -> None:
    document = json.loads(registry.manifest())
    document["layers"][0]["digest"] = Digest.of(secrets.token_bytes(9))
    answer = registry.put(json.dumps(document).encode(), "v1")
    assert answer.status in (400, 404)
    assert set(answer.codes) <= {"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN"}


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b'{"schemaVersion": 2}', b"[" * 100_000])
def test_what_is_no_manifest_is_refused(registry: Registry, data: bytes) -> None:
    assert registry.put(data, "v1").status == (500 if (registry.version, data) == ("1.0", b"{}") else 400)


@pytest.mark.parametrize("tag", ["-a", ".a", "a" * 129, "a%20b", "a+b"])
def test_a_tag_that_is_none_is_refused(registry: Registry, tag: str) -> None:
    assert registry.put(registry.manifest(), tag).status in (400, 404)


def test_an_index_is_served_with_what_it_names(registry: Registry) -> None:
    children = [registry.manifest(), registry.manifest()]
    for child in children:
        assert registry.put(child, Digest.of(child)).status == 201
    entries = [
        {"mediaType": media_types.MANIFEST, "digest": Digest.of(child), "size": len(child),
         "platform": {"architecture": architecture, "os": "linux"}}
        for child, architecture in zip(children, ("amd64", "arm64"), strict=True)
    ]  # fmt: skip
    index = json.dumps({"schemaVersion": 2, "mediaType": media_types.INDEX, "manifests": entries}).encode()
    assert registry.put(index, "multi", media_types.INDEX).status == 201
    answer = registry("GET", "manifests/multi", Accept=media_types.INDEX)
    assert (answer.headers["content-type"], answer.body) == (media_types.INDEX, index)
    for child in children:
        answer = registry("GET", f"manifests/{Digest.of(child)}", Accept=media_types.MANIFEST)
        assert answer.body == child


def test_what_a_tag_meant_before_stays_under_its_digest(registry: Registry) -> None:
    old, new = registry.manifest(), registry.manifest()
    registry.put(old, "latest")
    registry.put(new, "latest")
    assert registry("GET", "manifests/latest", Accept=media_types.MANIFEST).body == new
    assert registry("GET", f"manifests/{Digest.of(old)}", Accept=media_types.MANIFEST).body == old


def test_a_manifest_of_4_mib_is_taken(registry: Registry) -> None:
    data = registry.manifest()
    data += b" " * ((4 << 20) - len(data))
    assert registry.put(data, "large").status == 201
    assert registry("GET", "manifests/large", Accept=media_types.MANIFEST).body == data


def test_a_manifest_that_tells_its_own_type_needs_no_other(registry11: Registry) -> None:
    assert registry11.put(registry11.manifest(), "v1", "").status == 201
    assert registry11("GET", "manifests/v1").headers["content-type"] == media_types.MANIFEST
    assert registry11.put(registry11.manifest(mediaType=media_types.INDEX), "v2").status == 400


def test_a_manifest_larger_than_4_mib_is_413(registry11: Registry) -> None:
    answer = registry11.put(registry11.manifest() + b" " * (4 << 20), "large")
    assert answer.status == 413 and answer.codes == ["SIZE_INVALID"]
