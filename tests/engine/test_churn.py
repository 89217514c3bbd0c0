"""Many containers on a network, eight at once, again and again: nothing of them stays."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandcell.runtime.linux.host_model import Host

# 200 is what the promise says.
_CYCLES = os.environ.get("SANDCELL_CHURN", "200")


@pytest.mark.kernel
@pytest.mark.slow
@pytest.mark.peer("unshare")
@pytest.mark.timeout(600)
def test_many_lives_leave_no_mount_group_namespace_link_rule_process_or_file(
    tmp_path: Path, host: Host
) -> None:
    if host.rung != "root":
        pytest.skip(f"containers share no network on the rung {host.rung}")
    argv = [sys.executable, "-m", "tests.engine.churn", f"{tmp_path}/home", f"{tmp_path}/run", _CYCLES]
    done = subprocess.run(
        ["unshare", "-n", *argv], cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=550
    )
    assert done.stdout == "{}\n", done.stdout + done.stderr
