"""Whatever bytes come, readers give a value or our own error; what fuzzing found stays found."""

import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.layer.archives import archive, entry, raw

from .targets import TARGETS, attempt

END = bytes(1024)
DIGEST = "sha256:" + "a" * 64
SEEDS = {
    "tar": archive(
        entry("a/", "dir"),
        entry("a/f", data=b"abc"),
        entry("a/" + "n" * 120, data=b"x" * 600),
        entry("l", "symlink", link="x" * 110),
        entry("h", "hardlink", link="a/f"),
        entry("a/.wh.x"),
        entry("a/.wh..wh..opq"),
    ),
    "gnu": archive(entry("a/" + "n" * 120), entry("l", "symlink", link="x" * 110), format=tarfile.GNU_FORMAT),
    "manifest": b'{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json",'
    b'"digest":"%b","size":3},"layers":[]}' % DIGEST.encode(),
    "dockerfile": b"# escape=`\nARG A=1\nFROM host AS b\nRUN --mount=type=cache,target=/x <<E\n$A\nE\n"
    b'FROM scratch\nCOPY --from=b --chown=1:2 ["a", "b"] /c/\nENV A=${A:-b} B=\'c d\'\nHEALTHCHECK CMD x\n',
    "ignore": b"# x\n*.md\n!README.md\n**/a?[b-c]\\*\n /x/../y \n",
    "reference": b"localhost:5000/team/app:1.0@" + DIGEST.encode(),
}
FOUND: dict[str, list[bytes]] = {
    # Beside what a reader must refuse anyway: empty, one block, the end alone.
    "tar": [b"", bytes(512), END, raw(b"f", b"x", b"1 \n")],
    "layer": [b"\x1f\x8b", b"\x28\xb5\x2f\xfd", raw(b"..", b"5") + END, raw(b"h", b"1", link=b"h") + END],
    "manifest": [b"[]", b"{}", b'{"config":null}', b"\xff", b"[" * 100_000],
    "reference": [b":", b"@", b"a@b", b"a" * 300, b"/", b"a:" + b"1" * 129],
}


@pytest.mark.parametrize(("name", "data"), [(name, data) for name, some in FOUND.items() for data in some])
def test_what_was_found(name: str, data: bytes) -> None:
    attempt(name, data)


@st.composite
def spoiled(draw: st.DrawFn, seed: bytes) -> bytes:
    """``seed`` with a few bytes set, cut out, doubled or put in."""
    data = bytearray(seed)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        match draw(st.sampled_from(("set", "cut", "double", "put", "number"))):
            case "set":
                data[at : at + 1] = bytes([draw(st.integers(0, 255))])
            case "cut":
                del data[at : at + draw(st.sampled_from((1, 12, 512, 5000)))]
            case "double":
                length = draw(st.sampled_from((1, 12, 512)))
                data[at:at] = data[at : at + length]
            case "put":
                data[at:at] = draw(st.binary(max_size=20))
            case _:
                data[at : at + 8] = draw(
                    st.sampled_from((b"\xff" * 8, b"\x80" + bytes(7), b"77777777", b"-1"))
                )
    return bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tar", "repaired", "layer"])
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_spoiled_archives(name: str, data: st.DataObject) -> None:
    attempt(name, data.draw(spoiled(SEEDS[data.draw(st.sampled_from(("tar", "gnu")))])))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["manifest", "reference", "dockerfile", "ignore"])
@settings(max_examples=300, deadline=None)
@given(st.data())
def test_spoiled_words(name: str, data: st.DataObject) -> None:
    attempt(name, data.draw(st.one_of(spoiled(SEEDS[name]), st.binary(max_size=200))))


def test_targets_do_fail() -> None:
    TARGETS["tar"](SEEDS["tar"])
    with pytest.raises(Exception):  # noqa: B017 - what it is depends on the document
        TARGETS["manifest"](b"")
