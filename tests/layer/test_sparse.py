"""Files with holes, in every form that GNU tar writes, and in forms that nobody should."""

import io
import os
import shutil
import subprocess

import pytest

from sandcell.runtime.errors import BadInput, Corrupted
from sandcell.runtime.layer.sparse import LARGEST, MOST_SEGMENTS
from sandcell.runtime.layer.tar_read import TarReader

from .archives import raw, unpacked

END = bytes(1024)
FORMS = {
    "old": ["--format=gnu"],
    "0.0": ["--format=pax", "--sparse-version=0.0"],
    "0.1": ["--format=pax", "--sparse-version=0.1"],
    "1.0": ["--format=pax", "--sparse-version=1.0"],
}
PIECES = {
    "first": [0],
    "last": [1 << 20],
    "some": [0, 1 << 16, 1 << 18],
    "more-than-a-header-holds": [number << 16 for number in range(1, 60)],
    "none": [],
}


@pytest.fixture(params=FORMS)
def made(request, tmp_path):
    """An archive of files with holes, and what is in them."""
    if not shutil.which("tar"):
        pytest.skip("tar is not installed")
    source = tmp_path / "source"
    source.mkdir()
    contents = {}
    for name, offsets in PIECES.items():
        with open(source / name, "wb") as file:
            for offset in offsets:
                file.seek(offset)
                file.write(name.encode() * 10)
            file.truncate(5 << 20)
        contents[name] = (source / name).read_bytes()
    (source / "whole").write_bytes(b"no holes")
    contents["whole"] = b"no holes"
    data = subprocess.run(
        ["tar", *FORMS[request.param], "--sparse", "-cf", "-", "-C", source, "."],
        check=True,
        capture_output=True,
    ).stdout
    assert len(data) < 2 << 20, "tar found no holes"
    return data, contents


@pytest.mark.peer
@pytest.mark.parametrize("chunk", [1 << 18, 700])
def test_holes_are_read_as_zeros(made, chunk):
    data, contents = made
    stream = io.BytesIO(data)
    reader = TarReader(lambda size: stream.read(min(size, chunk)))
    found = {}
    for header in reader:
        content = b"".join(bytes(piece) for piece in reader.content())
        assert len(content) == header.size
        found[header.name.decode()] = content
    found.pop("./")
    assert {name.removeprefix("./"): content for name, content in found.items()} == contents


@pytest.mark.peer
def test_holes_stay_holes_when_unpacked(made, tmp_path):
    data, contents = made
    done = unpacked(data, tmp_path / "target")
    assert done.entries == len(contents) + 1
    for name, content in contents.items():
        assert (tmp_path / "target" / name).read_bytes() == content
    assert os.stat(tmp_path / "target/none").st_blocks == 0


@pytest.mark.peer
def test_what_is_skipped_is_skipped_whole(made):
    data, contents = made
    assert len(list(TarReader(io.BytesIO(data).read))) == len(contents) + 1


def pax(**records: str) -> bytes:
    """An extended header of records of GNU's."""
    lines = b""
    for key, value in records.items():
        line = f" GNU.sparse.{key}={value}\n"
        length = next(n for n in range(len(line), len(line) + 9) if n == len(f"{n}{line}"))
        lines += f"{length}{line}".encode()
    return raw(b"x", b"x", lines)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (pax(size="10", map="0,3") + raw(b"f", data=b"ab") + END, Corrupted),  # more told than stored
        (pax(size="10", map="0,1") + raw(b"f", data=b"ab") + END, Corrupted),  # less
        (pax(size="10", map="4,1,0,1") + raw(b"f", data=b"ab") + END, Corrupted),  # backwards
        (pax(size="10", map="0,2,1,0") + raw(b"f", data=b"ab") + END, Corrupted),  # one over the other
        (pax(size="10", map="9,2") + raw(b"f", data=b"ab") + END, Corrupted),  # beyond the end
        (pax(size="10", map="0,-2,0,4") + raw(b"f", data=b"ab") + END, Corrupted),
        (pax(size="10", map="0") + raw(b"f", data=b"ab") + END, Corrupted),
        (pax(size="x", map="0,2") + raw(b"f", data=b"ab") + END, Corrupted),
        (pax(size="-1", map="") + raw(b"f") + END, Corrupted),
        (pax(size=str(LARGEST + 1), map="0,2") + raw(b"f", data=b"ab") + END, BadInput),
        (pax(size="9", map="0,0," * MOST_SEGMENTS + "0,0,0,0") + raw(b"f") + END, BadInput),
        (pax(major="1") + raw(b"f") + END, Corrupted),
        (pax(major="1", realsize="9") + raw(b"f") + END, Corrupted),  # no map
        (pax(major="1", realsize="9") + raw(b"f", data=b"x" * 512) + END, Corrupted),
        (pax(major="1", realsize="9") + raw(b"f", data=b"2\n0\n1\n" + bytes(506)) + END, Corrupted),
        (pax(major="1", realsize="9") + raw(b"f", data=b"9" * 600) + END, Corrupted),
        (pax(major="1", realsize="9") + raw(b"f", data=b"999999\n" + bytes(505)) + END, BadInput),
    ],
)
def test_maps_that_lie(data, error, tmp_path):
    with pytest.raises(error):
        reader = TarReader(io.BytesIO(data).read)
        for _ in reader:
            for _ in reader.content():
                pass
    with pytest.raises(error):
        unpacked(data, tmp_path / "target")


def test_a_huge_hole_costs_nothing(tmp_path):
    data = pax(major="1", realsize=str(1 << 39)) + raw(
        b"f", data=(b"1\n%d\n3\n" % (1 << 38)).ljust(512, b"\0") + b"abc"
    )
    unpacked(data + END, tmp_path / "target")
    status = os.stat(tmp_path / "target/f")
    assert (status.st_size, status.st_blocks) == (1 << 39, 8)
