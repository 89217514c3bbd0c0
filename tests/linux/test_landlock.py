"""Landlock, really put on a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandcell.runtime.linux import landlock
from tests.plain_user import CHECKOUT

_KEPT = """
import os, sys
from sandcell.runtime.linux import landlock
from sandcell.runtime.linux.process import prctl

inside, beside = sys.argv[1:]
held = open(beside)
prctl(38, 1)
assert landlock.keep_below(os.open(inside, os.O_PATH | os.O_DIRECTORY))

def refused(action, *arguments):
    try:
        action(*arguments)
    except PermissionError:
        return True
    return False

os.mkdir(f"{inside}/d")
open(f"{inside}/new", "w").close()
os.rename(f"{inside}/new", f"{inside}/d/new")
print(held.read(), refused(open, beside), refused(open, f"{inside}/../made", "w"), refused(os.listdir, "/"))
print(refused(os.kill, os.getppid(), 0), refused(os.kill, os.getpid(), 0))
"""


@pytest.mark.skipif(landlock.version() < 2, reason="the kernel has no Landlock, or too old a one")
def test_a_process_keeps_to_a_directory_and_to_signals_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "beside").write_text("open before")
    argv = [sys.executable, "-c", _KEPT, str(tmp_path / "inside"), str(tmp_path / "beside")]
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    files, signals = done.stdout.splitlines()
    assert files == "open before True True True"
    assert signals == f"{landlock.version() >= 6} False"
    assert sorted(os.listdir(tmp_path)) == ["beside", "inside"]
