"""The spawner's rehearsal has no effect but on what Python remembers."""

import subprocess
import sys

import pytest

_REHEARSE = """if True:
    import os, sys
    from pathlib import Path
    from sandcell.runtime.container import rehearsal

    def what_there_is():
        status = Path("/proc/self/status").read_text().splitlines()
        kept = ("Umask", "Uid", "Gid", "Groups", "SigBlk", "SigIgn", "SigCgt", "Cap", "NoNewPrivs", "Seccomp")
        mounted = "nowhere" in Path("/proc/self/mountinfo").read_text()
        fds = sorted(os.listdir("/proc/self/fd"))
        here = (os.uname().nodename, Path("/proc/self/cgroup").read_text(), fds)
        return [line for line in status if line.startswith(kept)], mounted, here

    os.chdir("/")
    before = what_there_is()
    rehearsal.rehearse()
    assert what_there_is() == before, (before, what_there_is())
    assert os.getcwd() == "/"
    print(len(rehearsal._STEPS))
"""


@pytest.mark.slow
def test_nothing_is_changed() -> None:
    done = subprocess.run([sys.executable, "-c", _REHEARSE], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 5
