"""The executable of a process that goes on running, replaced."""

import os
import subprocess
import sys

import pytest

_CODE = """
import ctypes, os
from sandcell.runtime.container.program import leave_program
leave_program()
print(os.readlink("/proc/self/exe"))
pid = os.fork()
if pid == 0:
    os._exit(os.readlink("/proc/self/exe").startswith("/memfd:"))
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
try:
    os.open("/proc/self/exe", os.O_RDWR)
except OSError:
    print("not for writing")
os.execv("/bin/echo", ["echo", "another program"])
"""


def _done() -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", _CODE], capture_output=True, text=True, timeout=30)


def test_a_process_and_its_children_are_of_the_copy_and_go_on() -> None:
    if os.geteuid() != 0 or os.stat(sys.executable).st_size > 1 << 20:
        pytest.skip("takes root, and an interpreter that is all in its shared library")
    done = _done()
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["/memfd:python3 (deleted)", "1", "not for writing", "another program"]
