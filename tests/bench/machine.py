"""What this machine is, for the record."""

import os
import platform
from pathlib import Path

from tests.bench.record import Machine


def mounts(mountinfo: str) -> list[tuple[str, str]]:
    """(mount point, file system type) of every line of a /proc/PID/mountinfo (proc(5))."""
    found = []
    for text in mountinfo.splitlines():
        left, _, right = text.partition(" - ")
        found.append((left.split()[4].replace("\\040", " "), right.split()[0]))
    return found


def cgroups(mountinfo: str) -> str:
    """``v2``, ``v1``, ``hybrid`` (v1 controllers, and a cgroup2 mounted beside them) or ``none``."""
    kinds = {kind for path, kind in mounts(mountinfo) if path.startswith("/sys/fs/cgroup")}
    if {"cgroup", "cgroup2"} <= kinds:
        return "hybrid"
    return "v1" if "cgroup" in kinds else "v2" if "cgroup2" in kinds else "none"


def hidden(mountinfo: str) -> list[str]:
    """Mount points that crun refuses to see: the cgroup2 branch of a hybrid layout."""
    if cgroups(mountinfo) != "hybrid":
        return []
    return [
        path for path, kind in mounts(mountinfo) if kind == "cgroup2" and path.startswith("/sys/fs/cgroup/")
    ]


def filesystem(mountinfo: str, path: str) -> str:
    """Type of the file system under ``path``: that of the longest mount point above it, the last one
    where several lie on each other."""
    best = ("", "unknown")
    for point, kind in mounts(mountinfo):
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best[0]):
            best = (point, kind)
    return best[1]


def processor(cpuinfo: str) -> str:
    """Model name of the first processor in a /proc/cpuinfo; empty where it names none (arm64)."""
    for text in cpuinfo.splitlines():
        key, _, value = text.partition(":")
        if key.strip() in ("model name", "Model"):
            return value.strip()
    return ""


def this(store: str) -> Machine:
    """This machine, with the file system that ``store`` lies on."""
    mountinfo = Path("/proc/self/mountinfo").read_text()
    return Machine(
        cpu=processor(Path("/proc/cpuinfo").read_text()) or platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        kernel=platform.release(),
        python=platform.python_version(),
        cgroups=cgroups(mountinfo),
        filesystem=filesystem(mountinfo, store),
    )
