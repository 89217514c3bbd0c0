import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandcell.runtime.errors import InvalidReference
from sandcell.runtime.oci.reference import Reference

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("hello", "docker.io/library/hello:latest", "hello:latest"),
        ("hello:1.0", "docker.io/library/hello:1.0", "hello:1.0"),
        ("team/hello", "docker.io/team/hello:latest", "team/hello:latest"),
        ("docker.io/library/hello", "docker.io/library/hello:latest", "hello:latest"),
        ("index.docker.io/hello", "docker.io/library/hello:latest", "hello:latest"),
        ("localhost:5000/a:1", "localhost:5000/a:1", "localhost:5000/a:1"),
        ("localhost/a", "localhost/a:latest", "localhost/a:latest"),
        ("ghcr.io/x/y/z:v1", "ghcr.io/x/y/z:v1", "ghcr.io/x/y/z:v1"),
        ("Quay.IO/a", "Quay.IO/a:latest", "Quay.IO/a:latest"),
        ("[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest"),
        ("docker.io/library/a/b", "docker.io/library/a/b:latest", "docker.io/library/a/b:latest"),
        ("docker.io/docker.io/a", "docker.io/docker.io/a:latest", "docker.io/docker.io/a:latest"),
        (f"hello@{DIGEST}", f"docker.io/library/hello@{DIGEST}", f"hello@{DIGEST}"),
        (f"hello:1@{DIGEST}", f"docker.io/library/hello:1@{DIGEST}", f"hello:1@{DIGEST}"),
        ("localhost:5000", "docker.io/library/localhost:5000", "localhost:5000"),
    ],
)
def test_names_as_docker_reads_them(text, full, familiar):
    reference = Reference.parse(text)
    assert str(reference) == full
    assert reference.familiar == familiar
    assert Reference.parse(full) == Reference.parse(familiar) == reference


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "a:",
        "a::b",
        "a:-x",
        "/a",
        "a/",
        "a//b",
        "../a",
        "a/../b",
        "a b",
        "a@sha256:12",
        "a@",
        "-a",
        "a_",
        "a__",
        "a___b",
        "a..b",
        "a\n",
        "ä",
        "x" * 300,
        "f" * 64,
        "a:" + "t" * 129,
        "host!/a",
        "a:b\n",
    ],
)
def test_what_is_no_name_is_refused(text):
    with pytest.raises(InvalidReference):
        Reference.parse(text)


def test_upper_case_is_answered_with_the_name_to_write():
    with pytest.raises(InvalidReference) as caught:
        Reference.parse("Hello/World:V1")
    assert "hello/world:V1" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "expected"), [("host", True), ("host:tiny", True), ("my/host", False), ("hosts", False)]
)
def test_host_is_reserved(text, expected):
    assert Reference.parse(text).is_host is expected


_PART = st.sampled_from(
    ["a", "0", "library", "host", "localhost", "docker.io", "a.b", "a__b", "x--y", "a-b_c"]
)


@given(
    registry=st.sampled_from(["", "localhost/", "localhost:5000/", "r.example.org/", "docker.io/"]),
    parts=st.lists(_PART, min_size=1, max_size=3),
    tag=st.sampled_from(["", ":1", ":latest", ":_", ":V1.0-rc", "@" + DIGEST, ":1@" + DIGEST]),
)
def test_familiar_always_reads_back(registry, parts, tag):
    reference = Reference.parse(registry + "/".join(parts) + tag)
    assert Reference.parse(reference.familiar) == reference
    assert Reference.parse(str(reference)) == reference
