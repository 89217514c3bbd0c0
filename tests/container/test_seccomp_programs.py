"""The default filter on a real kernel: programs that must run under it, and what they cannot do."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from sandcell.runtime.container.seccomp_kept import filter_flags
from sandcell.runtime.container.seccomp_profile import compile_profile, default_profile
from sandcell.runtime.linux.process import PR_SET_NO_NEW_PRIVS, prctl
from sandcell.runtime.linux.seccomp_load import install
from sandcell.runtime.linux.syscall import MACHINE

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(MACHINE not in ("x86_64", "aarch64"), reason=f"no table for {MACHINE}"),
]

ATTEMPTS = """
import ctypes, errno, os, socket, threading
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *args):
    ctypes.set_errno(0)
    return errno.errorcode.get(ctypes.get_errno(), "?") if getattr(libc, name)(*args) == -1 else "ok"
thread = threading.Thread(target=print, args=("thread",)); thread.start(); thread.join()
print("unshare", call("unshare", 0x10000000), call("unshare", 0x20000))
print("mount", call("mount", b"none", b"/mnt", b"tmpfs", 0, None))
print("clone3", call("syscall", 435, None, 0))
print("newest", call("syscall", 5000))
print("personality", call("personality", ctypes.c_ulong(0xFFFFFFFF)), call("personality", 0x40000))
for family in (socket.AF_INET, 38, 40):
    try:
        socket.socket(family, socket.SOCK_STREAM if family != 38 else socket.SOCK_SEQPACKET).close()
        print(family, "ok")
    except OSError as error:
        print(family, errno.errorcode[error.errno])
"""


def run(*command: str) -> tuple[int, str]:
    """Status and output of a program under the filter."""
    profile = default_profile(["CAP_CHOWN"], (6, 12), MACHINE)
    program, flags = compile_profile(profile, MACHINE), filter_flags(profile)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(writer, 1)
            prctl(PR_SET_NO_NEW_PRIVS, 1)
            install(program, flags)
            os.execv(command[0], command)
        finally:
            os._exit(125)
    os.close(writer)
    with os.fdopen(reader) as stream:
        output = stream.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), output


def test_a_shell_pipeline_runs(tmp_path: Path) -> None:
    shell = shutil.which("sh")
    assert shell is not None
    script = "cd $0; mkdir -p a/b && echo one > a/b/f && cp -a a c && cat c/b/f | tr o 0 | sort; rm -r a c"
    assert run(shell, "-c", script, str(tmp_path)) == (0, "0ne\n")


def test_python_runs_and_is_held() -> None:
    status, output = run(sys.executable, "-I", "-c", ATTEMPTS)
    assert status == 0
    assert output.split("\n")[:-1] == [
        "thread",
        "unshare EPERM EPERM",
        "mount EPERM",
        "clone3 ENOSYS",
        "newest ENOSYS",
        "personality ok EPERM",
        "2 ok",
        "38 EPERM",
        "40 EPERM",
    ]
