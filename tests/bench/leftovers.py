"""What peers leave behind, and how it goes: control groups and scratch directories."""

import os
import shutil
import sys
from collections.abc import Collection
from pathlib import Path

from tests.bench.machine import mounts

_NAMES = ("libpod_parent", "buildah-", "crun-", "sandcell-bench-")


def groups() -> frozenset[str]:
    """Control groups, one or two levels below /sys/fs/cgroup, that bear a peer's name."""
    top = Path("/sys/fs/cgroup")
    found = [*top.glob("*"), *top.glob("*/*")] if top.is_dir() else []
    return frozenset(str(path) for path in found if path.name.startswith(_NAMES) and path.is_dir())


def sweep(before: Collection[str]) -> None:
    """Remove the groups that were not there ``before``; one with processes in it stays."""
    for group in groups() - frozenset(before):
        for folder, _, _ in os.walk(group, topdown=False):
            try:
                os.rmdir(folder)
            except OSError as error:
                print(f"left alone: {folder}: {error.strerror}", file=sys.stderr)


def remove_tree(path: str) -> None:
    """Delete a scratch directory, unless something is still mounted below it: then its name is said."""
    mountinfo = Path("/proc/self/mountinfo").read_text()
    below = [point for point, _ in mounts(mountinfo) if point.startswith(path)]
    if below:
        print(f"left alone, still mounted: {', '.join(below)}", file=sys.stderr)
        return
    shutil.rmtree(path, ignore_errors=True)
