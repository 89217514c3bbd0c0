"""What comes over the wire may be anything: readers of headers, manifests and config.json stay in bounds."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sandcell.runtime.errors import InvalidDocument, SandcellError
from sandcell.runtime.oci.manifest import Index, Manifest, decode_manifest
from sandcell.runtime.registry.answers import _ROUTES, _range
from sandcell.runtime.registry.challenge import Challenge, challenges
from sandcell.runtime.registry.credentials import Credentials
from sandcell.runtime.registry.exchange import Refusal

pytestmark = pytest.mark.slow

HEADER = st.text(st.characters(max_codepoint=255), max_size=200)
TOKEN = st.from_regex(r"[A-Za-z][A-Za-z0-9!#$%&'*+.^_`|~-]{0,9}", fullmatch=True)
QUOTED = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
PARAMETERS = st.dictionaries(TOKEN.map(str.lower), QUOTED, min_size=1, max_size=3)
VALUE: "st.SearchStrategy[object]" = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.just("sha256:" + "0" * 64),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                (
                    "layers",
                    "manifests",
                    "config",
                    "mediaType",
                    "digest",
                    "size",
                    "schemaVersion",
                    "subject",
                    "urls",
                )
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)


@given(HEADER)
@example('Basic realm="' + "\\" * 150)
@example(", ," * 60)
def test_any_header_is_read(header: str) -> None:
    for one in challenges(header):
        assert one.scheme == one.scheme.lower()


@settings(max_examples=40)
@given(st.lists(st.tuples(TOKEN, PARAMETERS), min_size=1, max_size=3))
def test_challenges_are_read_as_they_were_written(told: list[tuple[str, dict[str, str]]]) -> None:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    header = ", ".join(
        f"{scheme} {', '.join(f'{name}={quoted(value)}' for name, value in parameters.items())}"
        for scheme, parameters in told
    )
    assert challenges(header) == tuple(Challenge(scheme.lower(), given) for scheme, given in told)


@given(HEADER, st.integers(0, 10**6))
@example("bytes=5-3", 10)
def test_any_range_is_a_part_or_refused(header: str, size: int) -> None:
    try:
        part = _range(header, size)
    except Refusal as error:
        assert error.status == 416
        return
    assert part is None or 0 <= part[0] < part[1] <= size


@given(st.integers(0, 99), st.integers(0, 99), st.integers(1, 100))
def test_ranges_that_make_sense(start: int, end: int, size: int) -> None:
    try:
        part = _range(f"bytes={start}-{end}", size)
    except Refusal:
        assert start >= size
        return
    assert part == (None if end < start else (start, min(end + 1, size)))


@given(VALUE)
def test_any_json_is_a_manifest_or_an_error(value: object) -> None:
    try:
        found = decode_manifest(json.dumps(value).encode(), object="x")
    except InvalidDocument:
        return
    assert isinstance(found, Manifest | Index)
    assert isinstance(value, dict)
    assert not {"layers", "manifests"} <= {key for key, inner in value.items() if inner is not None}


@given(st.binary(max_size=300))
@example(b'{"layers": [], "layers": []}')
def test_any_bytes_are_a_manifest_or_an_error(data: bytes) -> None:
    try:
        decode_manifest(data, object="x")
    except InvalidDocument:
        return
    raise AssertionError("no manifest is that short")


@given(st.text(max_size=120).map(lambda text: "/v2/" + text))
@example("/v2/" + "a/" * 60)
def test_no_path_leads_up(path: str) -> None:
    for _, pattern, _ in _ROUTES:
        match = pattern.fullmatch(path)
        name = match.groupdict().get("name") if match else None
        assert name is None or (".." not in name and name == name.lower() and "//" not in name)


@settings(max_examples=40)
@given(VALUE)
def test_any_config_json_is_read_or_an_error(value: object) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "config.json")
        path.write_text(json.dumps({"auths": value, "credHelpers": value, "credsStore": 5}))
        try:
            assert Credentials(str(path)).get("a.org") is None
        except SandcellError:
            pass
