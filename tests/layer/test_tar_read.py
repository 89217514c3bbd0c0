import io
import os
import shutil
import subprocess
import tarfile

import pytest

from sandcell.runtime.errors import BadInput, Corrupted
from sandcell.runtime.layer.tar_read import TarReader

from .archives import archive, entry, raw

END = bytes(1024)


def read(data: bytes, chunk: int = 1 << 18):
    """All headers and contents of ``data``, which arrives in pieces of ``chunk`` bytes."""
    stream = io.BytesIO(data)
    reader = TarReader(lambda size: stream.read(min(size, chunk)))
    return [(header, b"".join(bytes(piece) for piece in reader.content())) for header in reader]


MEMBERS = (
    entry("usr/", "dir", mtime=1_600_000_000),
    entry("usr/empty"),
    entry("usr/one", data=b"1", mode=0o4755),
    entry("usr/block", data=b"x" * 512),
    entry("usr/more", data=os.urandom(5000)),
    entry("usr/" + "d" * 90 + "/" + "f" * 90, data=b"long"),
    entry("usr/" + "n" * 150, data=b"longer than ustar's name"),
    entry("usr/" + "/".join("abcdefghij" * 5) * 5, data=b"very long"),
    entry("usr/umlaut-ä", data=b"ae"),
    entry("usr/link", "symlink", link="../" + "t" * 200),
    entry("usr/hard", "hardlink", link="usr/one"),
    entry("usr/null", "char", devmajor=1, devminor=3),
    entry("usr/loop", "block", devmajor=7, devminor=200),
    entry("usr/pipe", "fifo"),
    entry("usr/big-id", uid=3_000_000, gid=4_294_967_294),
)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT], ids=["gnu", "pax"])
@pytest.mark.parametrize("chunk", [1 << 18, 512, 700, 1])
def test_reads_what_tarfile_writes(form, chunk):
    found = read(archive(*MEMBERS, format=form), chunk)
    assert len(found) == len(MEMBERS)
    for (header, data), (info, expected) in zip(found, MEMBERS, strict=True):
        assert header.name.decode().rstrip("/") == info.name.rstrip("/")
        assert (header.type, header.mode, header.uid, header.gid) == (
            info.type,
            info.mode,
            info.uid,
            info.gid,
        )
        assert header.link.decode() == info.linkname
        assert header.mtime == info.mtime * 1_000_000_000
        assert (header.major, header.minor) == (info.devmajor, info.devminor)
        assert data == expected


def test_ustar_prefix_and_v7():
    info, data = entry("p" * 80 + "/" + "n" * 80, data=b"x")
    assert read(archive((info, data), format=tarfile.USTAR_FORMAT))[0][0].name.decode() == info.name
    old = bytearray(raw(b"dir/", b"\0"))
    old[257:265] = bytes(8)
    old[148:156] = b"%06o\0 " % (sum(old[:148]) + 256 + sum(old[156:512]))
    assert read(bytes(old) + END)[0][0].type == b"5"


def test_fractions_of_a_second_and_negative_times():
    members = [entry(str(time), mtime=time) for time in (1.25, -1.5, 0)]
    assert [header.mtime for header, _ in read(archive(*members))] == [1_250_000_000, -1_500_000_000, 0]


def test_extended_attributes_keep_their_bytes():
    info, data = entry("f")
    info.pax_headers = {"SCHILY.xattr.user.note": "ä\n=x"}
    assert read(archive((info, data)))[0][0].xattrs == {"user.note": "ä\n=x".encode()}


@pytest.mark.parametrize(
    "tool", ["tar --format=gnu", "tar --format=pax", "tar --format=v7", "bsdtar --format=pax"]
)
@pytest.mark.peer
def test_reads_what_other_tools_write(tool, tmp_path):
    command, *options = tool.split()
    if not shutil.which(command):
        pytest.skip(f"{command} is not installed")
    source = tmp_path / "source"
    (source / "a/b").mkdir(parents=True)
    (source / "a/b/file").write_bytes(b"y" * 1000)
    (source / "a/link").symlink_to("b/file")
    data = subprocess.run(
        [command, *options, "-cf", "-", "-C", source, "."], check=True, capture_output=True
    ).stdout
    found = {header.name.decode().removeprefix("./").rstrip("/"): content for header, content in read(data)}
    assert found == {"": b"", "a": b"", "a/b": b"", "a/b/file": b"y" * 1000, "a/link": b""}


@pytest.mark.parametrize(
    "data",
    [
        raw(b"f", data=b"x" * 1000)[:1000],  # cut in the data
        raw(b"f")[:100],  # cut in a header
        raw(b"f", size=2**62),  # promises more than there is
        raw(b"f") + bytes(512) + raw(b"g") + END,  # goes on after the end mark
        raw(b"f").replace(b"f", b"g", 1) + END,  # wrong checksum
        raw(b"x", b"x", b"99 path=a\n") + raw(b"f") + END,  # record longer than its header
        raw(b"x", b"x", b"path=a\n") + raw(b"f") + END,  # record without a length
        raw(b"x", b"x", b"9 path=a\n\n") + raw(b"f") + END,
        raw(b"x", b"x", b"8 size=x\n") + raw(b"f") + END,  # a number that is none
        raw(b"x", b"x", b"10 size=-1\n") + raw(b"f") + END,
        raw(b"x", b"x", b"12 path=a\0b\n") + raw(b"f") + END,
        raw(b"x", b"x", b"19 uid=99999999999\n") + raw(b"f") + END,
        raw(b"x", b"x", b"30 mtime=99999999999999999999\n") + raw(b"f") + END,
        raw(b"x", b"x", b"28 size=9999999999999999999\n") + raw(b"f") + END,
        b"not a tar archive at all" * 100,
    ],
)
def test_damaged_archives(data):
    with pytest.raises(Corrupted):
        read(data)


@pytest.mark.parametrize(
    "data",
    [
        raw(b"f", b"S") + END,  # sparse, as star writes it
        raw(b"x", b"x", size=1 << 32) + raw(b"f") + END,  # an endless extended header
        raw(b"x", b"L", size=1 << 32) + END,
        raw(b"f", b"D") + END,
    ],
)
def test_refused_archives(data):
    with pytest.raises(BadInput):
        read(data)


@pytest.mark.parametrize("data", [b"", bytes(512), END, bytes(10240)])
def test_an_empty_archive_is_fine(data):
    assert read(data) == []


def test_an_empty_record_is_as_none_but_for_attributes():
    records = b"8 path=\n" + b"8 size=\n" + b"24 SCHILY.xattr.user.a=\n"
    ((header, data),) = read(raw(b"x", b"x", records) + raw(b"f", data=b"12") + END)
    assert (header.name, data, header.xattrs) == (b"f", b"12", {"user.a": b""})


def test_global_records_hold_until_others_come():
    first = raw(b"g", b"g", b"9 uid=50\n" + b"17 comment=hello\n")
    found = read(first + raw(b"a") + raw(b"x", b"x", b"9 uid=60\n") + raw(b"b") + raw(b"c") + END)
    assert [header.uid for header, _ in found] == [50, 60, 50]
