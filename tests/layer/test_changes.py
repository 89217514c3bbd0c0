import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings

from sandcell.runtime.layer.changes import upper_changes
from sandcell.runtime.layer.tasks import diff_upper, read_changes
from sandcell.runtime.layer.tree import compare

from . import trees
from .archives import archive, entry, unpacked

LOWER = (
    entry("etc/", "dir"),
    entry("etc/a", data=b"same", mtime=1000),
    entry("etc/b", data=b"old"),
    entry("etc/d/", "dir"),
    entry("etc/d/x"),
    entry("etc/d/y/", "dir"),
    entry("etc/d/y/z"),
    entry("link", "symlink", link="etc"),
)


def changes(tmp_path, *upper, lowers=(LOWER,)) -> list[str]:
    paths = []
    for number, members in enumerate(lowers):
        unpacked(archive(*members), tmp_path / f"low{number}")
        paths.append(str(tmp_path / f"low{number}"))
    unpacked(archive(*upper), tmp_path / "upper")
    return [str(change) for change in upper_changes(str(tmp_path / "upper"), paths)]


def test_nothing_written_nothing_changed(tmp_path):
    assert changes(tmp_path) == []


def test_a_copy_up_that_is_equal_is_no_change(tmp_path):
    assert changes(tmp_path, entry("etc/", "dir"), entry("etc/a", data=b"same", mtime=2000)) == []


@pytest.mark.parametrize(
    "member",
    [
        entry("etc/a", data=b"diff"),
        entry("etc/a", data=b"longer"),
        entry("etc/a", data=b"same", mode=0o600),
        entry("etc/a", "symlink", link="b"),
        entry("etc/a/", "dir"),
    ],
)
def test_what_changes_a_file(tmp_path, member):
    assert changes(tmp_path, member) == ["C /etc/a"]


def test_a_deletion_is_told_where_only_a_socket_could_be_its_mark(tmp_path):
    changes(tmp_path)
    upper = tmp_path / "upper"
    (upper / "etc").mkdir()
    for name in ("etc/a", "never"):
        os.mknod(upper / name, stat.S_IFSOCK)  # as in an overlay, which lets nobody make the other mark
    os.mknod(upper / "listening", stat.S_IFSOCK | 0o600)
    assert [str(change) for change in upper_changes(str(upper), [str(tmp_path / "low0")])] == ["D /etc/a"]


def test_additions_are_all_told_and_deletions_at_the_top(tmp_path):
    upper = (entry("new/", "dir"), entry("new/f"), entry("etc/.wh.d"), entry(".wh.link"), entry(".wh.never"))
    assert changes(tmp_path, *upper) == ["D /etc/d", "D /link", "A /new", "A /new/f"]


def test_directories_only_when_their_look_changes(tmp_path):
    assert changes(tmp_path, entry("etc/", "dir", mode=0o700), entry("etc/d/", "dir")) == ["C /etc"]


def test_a_directory_made_anew_hides_what_was_there(tmp_path):
    upper = (entry("etc/", "dir"), entry("etc/.wh..wh..opq"), entry("etc/d/y/z"), entry("etc/n"))
    assert changes(tmp_path, *upper) == ["D /etc/a", "D /etc/b", "D /etc/d/x", "A /etc/n"]


def test_layers_below_hide_each_other(tmp_path):
    second = (entry("etc/.wh.a"), entry("etc/d/", "dir"), entry("etc/d/.wh..wh..opq"), entry("etc/d/w"))
    upper = (entry("etc/a", data=b"same"), entry("etc/d/", "dir"), entry("etc/d/x"), entry("etc/d/.wh.w"))
    assert changes(tmp_path, *upper, lowers=(LOWER, second)) == ["A /etc/a", "D /etc/d/w", "A /etc/d/x"]


def test_changes_survive_the_way_through_a_worker(tmp_path):
    name = os.fsdecode(b"\xff\xe9")
    (tmp_path / "low").mkdir()
    unpacked(archive(entry(name, data=b"1")), tmp_path / "upper")
    os.setxattr(tmp_path / "upper" / name, "user.a", b"\0\xff")
    upper, lowers = str(tmp_path / "upper"), [str(tmp_path / "low")]
    rows = diff_upper(upper=upper, lowers=lowers, recorded_owners=False)
    assert read_changes(rows) == upper_changes(upper, lowers)
    assert read_changes(rows)[0].path == name


_OVERLAY = """
import os, pickle, shutil, subprocess, sys
base = sys.argv[1]
os.chdir(base)
options = "lowerdir=two:one,upperdir=upper,workdir=work,redirect_dir=off,metacopy=off,index=off"
subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, "merged"], check=True)
for line in sys.stdin.read().splitlines():
    subprocess.run(["sh", "-c", line], cwd="merged", check=True)
subprocess.run(["cp", "-a", "merged", "after"], check=True)
subprocess.run(["umount", "merged"], check=True)
"""

DEEDS = """
echo new > etc/b
touch etc/a
chmod 644 etc/a
rm -r etc/d; mkdir etc/d; echo 1 > etc/d/x
mkdir -p p/q; echo f > p/q/f
mv p/q/f etc/moved
rm link; mkdir link; touch link/in
rm two; ln -s etc two
rm -r gone
ln etc/b etc/hard
mkdir t; rmdir t
: > etc/empty; rm etc/empty
setfattr -n user.k -v v etc/attr 2>/dev/null || true
"""


@pytest.mark.kernel
@pytest.mark.slow
def test_a_real_overlay_is_read_as_it_was_meant(tmp_path):
    """What the kernel leaves in an upper directory, told as the difference of the merged trees."""
    if os.geteuid() != 0:
        pytest.skip("mounting an overlay with trusted.* marks needs root")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        base = Path(folder)
        for name in ("upper", "work", "merged", "before"):
            (base / name).mkdir()
        unpacked(archive(*LOWER, entry("gone/deep/f"), entry("etc/attr")), base / "one")
        unpacked(archive(entry("two", data=b"2"), entry("etc/d/.wh.y")), base / "two")
        script = ["unshare", "-m", "--propagation", "private", sys.executable, "-c", _OVERLAY, folder]
        done = subprocess.run(script, input=DEEDS, capture_output=True, text=True)
        if "mount" in done.stderr:
            pytest.skip(f"no overlay here: {done.stderr.strip()}")
        assert done.returncode == 0, done.stderr
        # The tree before, without the kernel's help: the second layer put on the first.
        subprocess.run(["cp", "-a", f"{folder}/one/.", f"{folder}/two/two", f"{folder}/before"], check=True)
        subprocess.run(["rm", "-r", f"{folder}/before/etc/d/y"], check=True)
        expected = compare(trees.look(base / "before"), trees.look(base / "after"))
        found = upper_changes(f"{folder}/upper", [f"{folder}/one", f"{folder}/two"])
        assert [str(change) for change in found] == [str(change) for change in expected]
        assert "C /etc/b" in map(str, found)
        assert "D /gone" in map(str, found)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(trees.rows(), trees.rows())
def test_an_upper_directory_is_told_as_the_trees_are(lower, upper):
    """Pure trees and directories agree: the layer put on top, compared with what was below."""
    with tempfile.TemporaryDirectory() as folder:
        low, up = Path(folder, "low"), Path(folder, "up")
        trees.put(lower, low)
        trees.put(upper, up)
        from sandcell.runtime.layer.tree import apply

        below, above = trees.look(low), trees.look(up)
        expected = compare(below, apply(below, above.entries.values()))
        assert [str(one) for one in upper_changes(str(up), [str(low)])] == [str(one) for one in expected]
