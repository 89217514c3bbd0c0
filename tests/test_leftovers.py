"""The check that ends a test run sees what was left, and nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import leftovers
from tests.leftovers import Machine

EMPTY = Machine(frozenset(), frozenset(), frozenset(), frozenset())


@pytest.mark.parametrize("kind", ["mounts", "groups", "networks", "links"])
def test_what_is_new_is_named(kind: str) -> None:
    after = Machine(**{k: frozenset({"/x"} if k == kind else ()) for k in Machine.__struct_fields__})
    assert leftovers.new(EMPTY, after) == [f"{kind}: /x"]
    assert leftovers.new(after, after) == []
    assert leftovers.new(after, EMPTY) == []


def test_a_process_that_carries_the_mark_is_seen_until_it_ends(tmp_path: Path) -> None:
    mark = f"MARK={tmp_path}"
    # Its environment can be read a moment after `Popen` is done with it.
    argv = [sys.executable, "-c", "print('ready', flush=True); input()"]
    env = {**os.environ, "MARK": str(tmp_path)}
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            assert process.pid in leftovers.processes(mark, "/no such folder")
            assert process.pid in leftovers.after_they_end(mark, "/no such folder", 0)
        finally:
            process.kill()
    assert leftovers.after_they_end(mark, "/no such folder", 0) == {}


@pytest.mark.kernel
def test_a_process_that_sees_a_mount_of_ours_is_seen(tmp_path: Path) -> None:
    program = (
        "import sys; from sandcell.runtime.linux import syscall, mounts\n"
        "flags = 0 if __import__('os').geteuid() == 0 else syscall.CLONE_NEWUSER\n"
        "syscall.unshare(flags | syscall.CLONE_NEWNS)\n"
        "mounts.mount(None, b'/', None, mounts.MS_REC | mounts.MS_PRIVATE)\n"
        "mounts.mount(b'overlay', sys.argv[1].encode(), b'tmpfs')\n"
        "print('ready', flush=True); input()\n"
    )
    argv = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            assert process.pid in leftovers.processes("no such mark", str(tmp_path))
        finally:
            process.kill()


def test_it_is_this_machine_that_is_looked_at() -> None:
    root = leftovers.look((" / ",))  # the root's own line of mountinfo has it
    assert ("lo" in root.links, "/" in root.mounts) == (True, True)
    assert leftovers.look(("/no such folder",)).mounts == frozenset()
