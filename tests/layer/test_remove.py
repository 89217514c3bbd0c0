import os
import subprocess
import sys

import pytest

from sandcell.runtime.errors import HostRefused
from sandcell.runtime.layer.tasks import remove_tree


def test_removes_what_is_there_and_nothing_is_fine(tmp_path):
    (tmp_path / "t/a/b").mkdir(parents=True)
    (tmp_path / "t/a/f").write_bytes(b"")
    (tmp_path / "t/a").chmod(0o000)
    remove_tree(path=str(tmp_path / "t"))
    remove_tree(path=str(tmp_path / "t"))
    remove_tree(path=str(tmp_path / "never/was"))
    (tmp_path / "file").write_bytes(b"")
    remove_tree(path=str(tmp_path / "file"))
    assert list(tmp_path.iterdir()) == []


def test_follows_no_symlink(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/victim").write_bytes(b"")
    (tmp_path / "t").mkdir()
    (tmp_path / "t/link").symlink_to("../outside")
    (tmp_path / "top").symlink_to("outside")
    remove_tree(path=str(tmp_path / "t"))
    remove_tree(path=str(tmp_path / "top"))
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["outside", "outside/victim"]


@pytest.mark.slow
def test_deeper_than_a_path_may_be(tmp_path):
    here = os.open(tmp_path, os.O_RDONLY)
    fd = os.dup(here)
    for _ in range(30):
        # Two at each level, so that the walk has to come back.
        for _ in range(25):
            os.mkdir("d" * 20, dir_fd=fd)
            below = os.open("d" * 20, os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = below
        os.mkdir("side", dir_fd=fd)
    os.close(fd)
    remove_tree(path=str(tmp_path / ("d" * 20)))
    assert os.listdir(here) == []
    os.close(here)


_MOUNTED = """
import os, subprocess, sys
from sandcell.runtime.errors import SandcellError
from sandcell.runtime.layer.tasks import remove_tree
base = sys.argv[1]
subprocess.run(["mount", "--bind", base + "/precious", base + "/t/in"], check=True)
try:
    remove_tree(path=base + "/t")
except SandcellError as error:
    print(type(error).__name__)
"""


@pytest.mark.kernel
def test_enters_no_mount(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/file").write_bytes(b"kept")
    (tmp_path / "t/in").mkdir(parents=True)
    script = ["unshare", "-m", "--propagation", "private", sys.executable, "-c", _MOUNTED, str(tmp_path)]
    done = subprocess.run(script, capture_output=True, text=True)
    if "mount:" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.stdout.strip() == HostRefused.__name__, done.stderr
    assert (tmp_path / "precious/file").read_bytes() == b"kept"
