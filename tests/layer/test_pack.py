import io
import os
import shutil
import stat
import subprocess
import tarfile

import pytest

from sandcell.runtime.errors import BadInput, Conflict
from sandcell.runtime.layer import whiteout
from sandcell.runtime.layer.pack import Packed, pack, pack_entries
from sandcell.runtime.layer.tree import Entry
from sandcell.runtime.oci.digest import Digest

from .archives import FLAVOUR


def packed(source, **options) -> tuple[bytes, Packed]:
    out = io.BytesIO()
    done = pack(str(source), out, **options)
    return out.getvalue(), done


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        # The root is told where it is not root's, as in a plain user's folder.
        return {info.name: info for info in tar.getmembers() if info.name != "." or os.geteuid() == 0}


@pytest.fixture
def source(tmp_path):
    root = tmp_path / "source"
    (root / "b/c").mkdir(parents=True)
    (root / "a").write_bytes(b"x" * 600)
    (root / "b/c/deep").write_bytes(b"")
    (root / "b/z").write_bytes(b"z")
    (root / "b/link").symlink_to("/etc/passwd")
    os.link(root / "a", root / "b/hard")
    os.mkfifo(root / "pipe")
    for path in [root, *sorted(root.rglob("*"))]:
        os.utime(path, (1_000_000, 1_000_000), follow_symlinks=False)
    return root


def test_what_is_packed(source):
    data, done = packed(source)
    found = members(data)
    assert list(found) == ["a", "pipe", "b", "b/hard", "b/link", "b/z", "b/c", "b/c/deep"]
    assert found["b/hard"].type == tarfile.LNKTYPE
    assert found["b/hard"].linkname == "a"
    assert found["b/link"].linkname == "/etc/passwd"
    assert found["pipe"].isfifo()
    assert {info.mtime for info in found.values()} == {1_000_000}
    assert {info.uname for info in found.values()} == {""}
    assert done == Packed(Digest.of(data), len(data), 8 + (os.geteuid() != 0))


def test_equal_trees_give_equal_bytes(source, tmp_path):
    again = tmp_path / "again"
    # Another order of creation, other inodes.
    for path in sorted(source.rglob("*"), reverse=True):
        target = again / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            target.symlink_to(path.readlink())
        elif path.is_fifo():
            os.mkfifo(target)
        elif path.is_file() and path.name != "hard":
            target.write_bytes(path.read_bytes())
    os.link(again / "a", again / "b/hard")
    for path in [again, *again.rglob("*")]:
        os.utime(path, (1_000_000, 1_000_000), follow_symlinks=False)
    assert packed(again) == packed(source)


def test_times_are_clamped_not_set(source):
    os.utime(source / "a", (5_000_000, 5_000_000))
    found = members(packed(source, source_date_epoch=2_000_000)[0])
    assert (found["a"].mtime, found["b/z"].mtime) == (2_000_000, 1_000_000)


@pytest.mark.skipif(os.geteuid() != 0, reason="a root directory of root's")
def test_the_root_is_told_only_where_it_is_special(source):
    source.chmod(0o755)
    assert "." not in members(packed(source)[0])
    source.chmod(0o1777)
    assert members(packed(source)[0])["."].mode == 0o1777


def test_attributes_of_this_host_stay_here(source):
    os.setxattr(source / "a", "user.note", b"\0\xffn")
    os.setxattr(source / "a", "user.sandcell.owner", b"0:0:4755")
    os.setxattr(source / "b", "user.overlay.opaque", b"y")
    data, _ = packed(source)
    assert b"SCHILY.xattr.user.note=\0\xffn\n" in data
    assert b"sandcell" not in data
    assert b"overlay" not in data


def test_owners_kept_beside_files_are_believed_only_on_request(source):
    os.setxattr(source / "a", "user.sandcell.owner", b"7:8:4711")
    assert members(packed(source)[0])["a"].uid == os.geteuid()
    info = members(packed(source, recorded_owners=True)[0])["a"]
    # Of the mode only the set-id bits: the others are real, and may have changed since.
    assert (info.uid, info.gid, info.mode) == (7, 8, 0o4644)


def test_an_upper_directory_becomes_a_layer(tmp_path):
    upper = tmp_path / "upper"
    (upper / "d").mkdir(parents=True)
    (upper / "d/f").write_bytes(b"1")
    fd = os.open(upper, os.O_RDONLY)
    sub = os.open(upper / "d", os.O_RDONLY)
    try:
        whiteout.make_whiteout(b"gone", fd)
        whiteout.make_opaque(sub, FLAVOUR)
    finally:
        os.close(fd)
        os.close(sub)
    found = members(packed(upper, overlay=True)[0])
    assert list(found) == [".wh.gone", "d", "d/.wh..wh..opq", "d/f"]
    assert found[".wh.gone"].size == 0
    assert stat.S_IMODE(found["d/.wh..wh..opq"].mode) == 0o600


def test_names_that_mean_deletion_cannot_be_packed(source):
    (source / ".wh.a").write_bytes(b"")
    with pytest.raises(BadInput, match=r"\.wh\."):
        packed(source)


def test_a_file_whose_name_is_no_text_is_told_all_the_same(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / os.fsdecode(b".wh.\xff")).write_bytes(b"")
    with pytest.raises(BadInput) as caught:
        packed(tmp_path / "d")
    assert str(caught.value).encode()


def test_sockets_are_left_out(source):
    import socket

    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.path.relpath(source / "s"))
    assert "s" not in members(packed(source)[0])


def test_a_symlink_in_the_way_is_not_followed(source):
    shutil.rmtree(source / "b/c")
    (source / "b/c").symlink_to("/usr")
    assert "b/c/bin" not in members(packed(source)[0])


def test_entries_from_a_list():
    out = io.BytesIO()
    rows = [
        (Entry("etc", "dir", 0o755), None),
        (Entry("etc/a", "file", 0o644, size=3), b"abc"),
        (Entry("etc/b", "file", 0o644, size=600), lambda: io.BytesIO(b"b" * 600)),
        (Entry("etc/gone", "whiteout"), None),
        (Entry("dev/null", "char", 0o666, device=(1, 3)), None),
    ]
    pack_entries(rows, out)
    found = members(out.getvalue())
    assert list(found) == ["etc", "etc/a", "etc/b", "etc/.wh.gone", "dev/null"]
    assert (found["dev/null"].devmajor, found["dev/null"].devminor) == (1, 3)


@pytest.mark.parametrize("content", [b"ab", None, b"abcd"])
def test_content_that_does_not_fit_its_entry(content):
    with pytest.raises(Conflict):
        pack_entries([(Entry("a", "file", 0o644, size=3), content)], io.BytesIO())


@pytest.mark.peer
def test_gnu_tar_reads_it(source, tmp_path):
    data, _ = packed(source)
    target = tmp_path / "target"
    target.mkdir()
    subprocess.run(["tar", "-xf", "-", "-C", target], input=data, check=True)
    assert packed(target)[0] != b""
    assert (target / "b/hard").read_bytes() == b"x" * 600
    assert (target / "b/hard").stat().st_ino == (target / "a").stat().st_ino
