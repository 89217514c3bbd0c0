import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandcell.runtime.errors import BadInput, Corrupted, SandcellError
from sandcell.runtime.layer import whiteout
from sandcell.runtime.layer.tasks import remove_tree
from sandcell.runtime.oci.digest import Digest
from tests.linux.child import open_below

from .archives import FLAVOUR, archive, entry, raw, unpacked

END = bytes(1024)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users")


def names(root) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def is_whiteout(path) -> bool:
    return whiteout.is_whiteout(path.lstat())


def test_everything_arrives(tmp_path):
    data = archive(
        entry("./", "dir", mode=0o711),
        entry("./bin/", "dir", mode=0o2750, mtime=1_500_000_000),
        entry("./bin/sh", data=b"#!", mode=0o4755, mtime=1_600_000_000.5),
        entry("./bin/bash", "hardlink", link="./bin/sh"),
        entry("./sh", "symlink", link="bin/sh", mtime=1_400_000_000),
        entry("./pipe", "fifo", mode=0o620),
        entry("./closed/", "dir", mode=0o000),
        entry("./closed/in", data=b"y" * 700_000),
    )
    target = tmp_path / "t"
    done = unpacked(data, target)
    assert done.diff_id == Digest.of(data)
    assert (done.size, done.entries, done.approximated) == (len(data), 8, ())
    assert stat.S_IMODE(target.stat().st_mode) == 0o711
    assert stat.S_IMODE((target / "bin").stat().st_mode) == 0o2750
    assert (target / "bin").stat().st_mtime == 1_500_000_000
    status = (target / "bin/sh").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_mtime, status.st_nlink) == (0o4755, 1_600_000_000.5, 2)
    assert (target / "sh").readlink().as_posix() == "bin/sh"
    assert (target / "sh").lstat().st_mtime == 1_400_000_000
    assert stat.S_IMODE((target / "pipe").stat().st_mode) == 0o620
    (target / "closed").chmod(0o700)
    assert (target / "closed/in").stat().st_size == 700_000


@needs_root
def test_owners_devices_and_capabilities(tmp_path):
    capability = b"\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
    info, data = entry("ping", uid=1000, gid=2000, mode=0o2755)
    info.pax_headers = {"SCHILY.xattr.security.capability": capability.decode("latin-1")}
    unpacked(archive((info, data), entry("null", "char", devmajor=1, devminor=3, mode=0o666)), tmp_path / "t")
    status = (tmp_path / "t/ping").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (1000, 2000, 0o2755)
    assert os.getxattr(tmp_path / "t/ping", "security.capability") == capability
    device = (tmp_path / "t/null").stat()
    assert (device.st_rdev, stat.S_IMODE(device.st_mode)) == (os.makedev(1, 3), 0o666)


def test_the_last_of_a_name_counts(tmp_path):
    data = archive(
        entry("a", data=b"1"),
        entry("a", data=b"22"),
        entry("d/", "dir"),
        entry("d/sub/f", data=b"1"),
        entry("d", data=b"file"),
        entry("e"),
        entry("e/", "dir"),
        entry("e/f"),
        entry("s", "symlink", link="e"),
        entry("s/", "dir"),
        entry("s/g"),
        entry("l", "symlink", link="a"),
        entry("l", "symlink", link="d"),
    )
    unpacked(data, tmp_path / "t")
    assert names(tmp_path / "t") == ["a", "d", "e", "e/f", "l", "s", "s/g"]
    assert (tmp_path / "t/a").read_bytes() == b"22"
    assert (tmp_path / "t/l").readlink().name == "d"


def test_deletions_become_marks(tmp_path):
    data = archive(
        entry("etc/", "dir"),
        entry("etc/.wh.passwd"),
        entry("etc/.wh..wh..opq"),
        entry("var/.wh..wh.plnk"),
        entry(".wh.tmp"),
    )
    target = tmp_path / "t"
    unpacked(data, target)
    assert names(target) == ["etc", "etc/passwd", "tmp", "var"]
    assert is_whiteout(target / "etc/passwd")
    assert is_whiteout(target / "tmp")
    assert os.getxattr(target / "etc", f"{FLAVOUR}.overlay.opaque") == b"y"


@pytest.mark.parametrize("first", ["whiteout", "new"])
def test_what_a_layer_deletes_and_makes_again_is_new(tmp_path, first):
    gone = [entry(".wh.d"), entry(".wh.f")]
    new = [entry("d/", "dir"), entry("d/x"), entry("f", data=b"1")]
    unpacked(archive(*(gone + new if first == "whiteout" else new + gone)), tmp_path / "t")
    assert names(tmp_path / "t") == ["d", "d/x", "f"]
    assert (tmp_path / "t/f").read_bytes() == b"1"
    assert os.getxattr(tmp_path / "t/d", f"{FLAVOUR}.overlay.opaque") == b"y"


def test_a_deleted_directory_made_again_by_a_file_in_it(tmp_path):
    unpacked(archive(entry(".wh.d"), entry("d/x")), tmp_path / "t")
    assert os.getxattr(tmp_path / "t/d", f"{FLAVOUR}.overlay.opaque") == b"y"


def test_directories_not_mentioned_look_as_below(tmp_path):
    unpacked(
        archive(entry("tmp/", "dir", mode=0o1777, mtime=5), entry("a/b/", "dir", mode=0o700)),
        tmp_path / "low",
    )
    unpacked(archive(entry("tmp/x"), entry("a/b/c/d")), tmp_path / "t", tmp_path / "low")
    assert stat.S_IMODE((tmp_path / "t/tmp").stat().st_mode) == 0o1777
    assert (tmp_path / "t/tmp").stat().st_mtime == 5
    assert stat.S_IMODE((tmp_path / "t/a/b").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "t/a/b/c").stat().st_mode) == 0o755


def test_symlinks_of_layers_below_lead_where_they_lead_in_a_container(tmp_path):
    unpacked(archive(entry("usr/lib/", "dir"), entry("lib", "symlink", link="usr/lib")), tmp_path / "one")
    unpacked(archive(entry("opt", "symlink", link="/lib/../lib")), tmp_path / "two")
    unpacked(archive(entry("lib/new"), entry("opt/x/y")), tmp_path / "t", tmp_path / "one", tmp_path / "two")
    assert names(tmp_path / "t") == ["usr", "usr/lib", "usr/lib/new", "usr/lib/x", "usr/lib/x/y"]


def test_what_a_layer_below_deleted_is_not_there(tmp_path):
    unpacked(archive(entry("d/", "dir", mode=0o700)), tmp_path / "one")
    unpacked(archive(entry(".wh.d")), tmp_path / "two")
    unpacked(archive(entry("d/x")), tmp_path / "t", tmp_path / "one", tmp_path / "two")
    assert stat.S_IMODE((tmp_path / "t/d").stat().st_mode) == 0o755


def test_a_hard_link_to_a_file_of_a_layer_below_brings_it_up(tmp_path):
    unpacked(archive(entry("a", data=b"1", mode=0o640)), tmp_path / "low")
    unpacked(archive(entry("b", "hardlink", link="a")), tmp_path / "t", tmp_path / "low")
    status = (tmp_path / "t/a").stat()
    assert (status.st_nlink, stat.S_IMODE(status.st_mode)) == (2, 0o640)
    assert status.st_ino != (tmp_path / "low/a").stat().st_ino
    assert (tmp_path / "low/a").stat().st_nlink == 1


HOSTILE = [
    raw(b"/abs/file", data=b"x"),
    raw(b"//abs", b"5") + raw(b"////abs/f"),
    raw(b"../up"),
    raw(b"a/../../up"),
    raw(b"a/b/../c"),
    raw(b".."),
    raw(b"s", b"2", link=b"/") + raw(b"s/outside/owned"),
    raw(b"s", b"2", link=b"../../outside") + raw(b"s/owned"),
    raw(b"s", b"2", link=b"{outside}") + raw(b"s/owned") + raw(b"s/.wh..wh..opq"),
    raw(b"s", b"2", link=b"{outside}/victim") + raw(b"s", data=b"through"),
    raw(b"s", b"2", link=b"{outside}/victim") + raw(b"h", b"1", link=b"s") + raw(b"h", data=b"through"),
    raw(b"s", b"2", link=b"{outside}") + raw(b"h", b"1", link=b"s/victim") + raw(b"h", data=b"through"),
    raw(b"h", b"1", link=b"{outside}/victim"),
    raw(b"h", b"1", link=b"../outside/victim"),
    raw(b"h", b"1", link=b""),
    raw(b"h", b"1", link=b"h"),
    raw(b"d", b"5") + raw(b"h", b"1", link=b"d"),
    raw(b"d/x") + raw(b"d", b"2", link=b"{outside}") + raw(b"d/victim", data=b"through"),
    raw(b"d/x") + raw(b"d", b"2", link=b"{outside}") + raw(b"d", b"5"),
    raw(b"a", b"2", link=b"b") + raw(b"b", b"2", link=b"a") + raw(b"a/x"),
    raw(b"f") + raw(b"f/x"),
    raw(b".wh..."),
    raw(b".wh."),
    raw(b"d/.wh..."),
    raw(b".wh...") + raw(b"x"),
    raw(b"./", b"0"),
    raw(b"s", b"2", link=b""),
    raw(b"d/" * 300 + b"f"),
    raw(b"x" * 300),
    raw(b"x" * 5000),
]


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_nothing_outside_is_ever_touched(tmp_path, number):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_bytes(b"whole")
    where = os.fsencode(outside)
    data = HOSTILE[number]
    if b"{outside}" in data:
        blocks = [data[at : at + 512] for at in range(0, len(data), 512)]
        data = b"".join(_with_link(block, where) for block in blocks)
    before = (outside / "victim").stat()
    try:
        unpacked(data + END, tmp_path / "inner")
    except Exception as error:
        assert type(error).__name__ in ("BadInput", "HostRefused"), error
    assert [path.name for path in tmp_path.iterdir()] in (["outside", "inner"], ["inner", "outside"])
    assert names(outside) == ["victim"]
    assert (outside / "victim").read_bytes() == b"whole"
    after = (outside / "victim").stat()
    assert (after.st_nlink, after.st_mtime_ns) == (1, before.st_mtime_ns)
    assert os.listxattr(outside) == []


def _with_link(block: bytes, where: bytes) -> bytes:
    """The header block with the real directory in its link name, and the checksum made right."""
    if b"{outside}" not in block:
        return block
    link = block[157:257].rstrip(b"\0").replace(b"{outside}", where)
    assert len(link) <= 100
    block = block[:148] + b"        " + block[156:157] + link.ljust(100, b"\0") + block[257:]
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


@needs_root
@pytest.mark.parametrize(("major", "minor"), [(4096, 0), (0, 1 << 20), (2**20, 2**20)])
def test_devices_that_cannot_be(tmp_path, major, minor):
    with pytest.raises(BadInput):
        unpacked(archive(entry("d", "block", devmajor=major, devminor=minor)), tmp_path / "t")


def test_marks_of_overlayfs_in_an_archive_mean_nothing(tmp_path):
    info, data = entry("d/", "dir")
    info.pax_headers = {
        "SCHILY.xattr.trusted.overlay.redirect": "/etc",
        "SCHILY.xattr.user.overlay.opaque": "y",
        "SCHILY.xattr.user.sandcell.owner": "0:0:4755",
        "SCHILY.xattr.security.selinux": "x",
        "SCHILY.xattr.user.fine": "1",
    }
    unpacked(archive((info, data)), tmp_path / "t")
    assert os.listxattr(tmp_path / "t/d") == ["user.fine"]


def test_sizes_are_bounded(tmp_path):
    data = archive(entry("a", data=bytes(100_000)), entry("b"))
    with pytest.raises(BadInput, match="larger"):
        unpacked(data, tmp_path / "bytes", most_bytes=50_000)
    with pytest.raises(BadInput, match="entries"):
        unpacked(data, tmp_path / "entries", most_entries=1)


def test_a_size_that_lies_costs_nothing(tmp_path):
    with pytest.raises(Corrupted):
        unpacked(raw(b"f", size=2**33), tmp_path / "t")
    assert (tmp_path / "t/f").stat().st_blocks == 0


@pytest.mark.slow
def test_many_directories_do_not_use_up_descriptors(tmp_path):
    members = [entry(f"{number}/x/y") for number in range(400)]
    unpacked(archive(*members), tmp_path / "t")
    assert open_below(tmp_path) == []
    assert len(names(tmp_path / "t")) == 1200


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_damage_does_more_than_our_errors(data):
    info, content = entry("d/x", data=b"1" * 600, mtime=1.5)
    info.pax_headers = {"SCHILY.xattr.user.a": "b"}
    links = [entry("d/l", "symlink", link="x"), entry("d/h", "hardlink", link="d/x"), entry("d/.wh.gone")]
    good = archive(entry("d/", "dir"), (info, content), *links, entry("n" * 120))
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(good) - 1) | st.integers(0, 511))
        damaged[at] = data.draw(st.integers(0, 255))
        if data.draw(st.booleans()):
            # With the checksum made right again, the damage gets further.
            start = at // 512 * 512
            block = damaged[start : start + 148] + b"        " + damaged[start + 156 : start + 512]
            damaged[start + 148 : start + 156] = b"%06o\0 " % sum(block)
    with tempfile.TemporaryDirectory() as folder:
        try:
            unpacked(bytes(damaged[: data.draw(st.integers(0, len(good)))]), Path(folder, "t"))
        except SandcellError:
            pass
        assert os.listdir(folder) == ["t"]
        remove_tree(path=f"{folder}/t")


_MANY = """
import os, sys
from sandcell.runtime.layer import tar_write
from sandcell.runtime.layer.unpack import unpack

class Tar:
    at = 0
    def read(self, size):
        found = [self.header(number) for number in range(self.at, min(self.at + 100, count))]
        self.at += len(found)
        if not found and self.at == count:
            self.at += 1
            return bytes(1024)
        return b"".join(found)
    def header(self, number):
        if number % 2:
            return tar_write.header(b"d%d/f%d" % (number % 50, number), b"0", mode=0o644, mtime=number)
        return tar_write.header(b"d%d/e%d/" % (number % 50, number), b"5", mode=0o755, mtime=number)

def most():
    # Not ru_maxrss, which begins with what the parent had.
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

count = int(sys.argv[1])
before = most()
unpack(Tar(), os.open(sys.argv[2], os.O_RDONLY | os.O_DIRECTORY), flavour=sys.argv[3])
after = most()
print(after, (after - before) * 1024 // count)
"""


@pytest.mark.slow
def test_memory_grows_by_little_for_each_entry():
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        argv = [sys.executable, "-c", _MANY, "20000", folder, FLAVOUR]
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
    kilobytes, per_entry = map(int, done.stdout.split())
    assert 20 < per_entry < 150
    assert kilobytes < 60_000
