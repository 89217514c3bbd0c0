"""ADD of local archives: known by content, unpacked, with their own owners unless told otherwise."""

import bz2
import gzip
import io
import lzma
import tarfile

import pytest

from sandcell.runtime.errors import DockerfileError
from sandcell.runtime.layer.compress import zstd
from tests.build.world import World


def archive(*rows: tuple[str, dict]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, fields in rows:
            data = fields.get("data", b"")
            member = tarfile.TarInfo(name)
            member.size = len(data)
            member.mode = fields.get("mode", 0o644)
            member.uid, member.gid = fields.get("owner", (5, 6))
            member.type = fields.get("type", tarfile.REGTYPE)
            member.linkname = fields.get("link", "")
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


PLAIN = archive(
    ("./deep/file", {"data": b"hello", "mode": 0o4755}),
    ("deep/hard", {"type": tarfile.LNKTYPE, "link": "deep/file"}),
    ("soft", {"type": tarfile.SYMTYPE, "link": "deep/file"}),
    ("dir/", {"type": tarfile.DIRTYPE, "mode": 0o700}),
)
UNPACKED = [
    "x 755 0:0",
    "x/deep 755 0:0",
    "x/deep/file 4755 5:6",
    "x/deep/hard 4755 5:6",
    "x/dir 700 5:6",
    "x/soft → deep/file 5:6",
]


@pytest.mark.parametrize(
    "compress",
    [bytes, gzip.compress, bz2.compress, lzma.compress, zstd().compress],
    ids=["plain", "gzip", "bzip2", "xz", "zstd"],
)
def test_an_archive_is_unpacked_whatever_its_name(compress, world: World) -> None:
    world.write("blob", compress(PLAIN))
    image = world.build("ADD blob /x")
    assert world.top(image) == UNPACKED
    assert dict(world.files(image).contents(["x/deep/file", "x/deep/hard"])) == {
        "x/deep/file": b"hello",
        "x/deep/hard": b"hello",
    }


def test_copy_does_not_unpack(world: World) -> None:
    world.write("blob.tar", PLAIN)
    assert world.top(world.build("COPY blob.tar /x")) == ["x 644 0:0"]


def test_an_owner_can_be_given(world: World) -> None:
    world.write("blob.tar", PLAIN)
    image = world.build("ADD --chown=app:staff blob.tar /x/")
    assert {line.rpartition(" ")[2] for line in world.top(image)} == {"1000:50"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        b"\0" * 1000,
        gzip.compress(b"text"),
        bz2.compress(b"text"),
        lzma.compress(b"text"),
        b"BZhno",
    ],
    ids=["empty", "text", "zeros", "gzip of text", "bzip2 of text", "xz of text", "bzip2 by name only"],
)
def test_what_is_no_archive_is_copied(content: bytes, world: World) -> None:
    world.write("blob.tar", content)
    image = world.build("ADD blob.tar /x")
    assert world.top(image) == ["x 644 0:0"]
    assert dict(world.files(image).contents(["x"])) == {"x": content}


def test_an_archive_with_an_archive_in_it_is_unpacked_once(world: World) -> None:
    world.write("outer", archive(("inner.tar", {"data": PLAIN})))
    assert world.top(world.build("ADD outer /")) == ["inner.tar 644 5:6"]


def test_a_name_given_twice_means_the_later(world: World) -> None:
    world.write("blob", archive(("a", {"data": b"1"}), ("a", {"data": b"22"})))
    image = world.build("ADD blob /x")
    assert dict(world.files(image).contents(["x/a"])) == {"x/a": b"22"}


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (archive(("a", {}), ("../escape", {"data": b"1"})), r"contains '\.\.'"),
        (archive(("a", {"type": tarfile.LNKTYPE, "link": "b"})), "does not come before it"),
        (archive(("a", {}), ("b", {"data": b"1"}))[:1030], "ends in the middle"),
    ],
    ids=["climbs", "dangling hard link", "cut off"],
)
def test_a_bad_archive_fails_with_the_lines(data: bytes, cause: str, world: World) -> None:
    world.write("blob", data)
    with pytest.raises(DockerfileError, match=cause) as caught:
        world.build("ADD blob /x")
    assert caught.value.lines == (2, 2)
    assert caught.value.source == "ADD blob /x"


def test_the_content_counts_for_the_cache(world: World) -> None:
    world.write("blob", PLAIN)
    world.build("ADD blob /x")
    world.write("blob", gzip.compress(PLAIN))
    world.build("ADD blob /x")
    assert world.cached() == "M"
