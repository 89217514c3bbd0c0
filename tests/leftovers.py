"""What a test run may leave on the machine, and how to see it: mounts, control groups, named
network namespaces, network links and processes."""

import os
import select
import time
from collections.abc import Callable
from pathlib import Path

import msgspec


class Machine(msgspec.Struct, frozen=True):
    """Everything of ours, and everything that could be ours, at one moment."""

    mounts: frozenset[str]
    groups: frozenset[str]
    networks: frozenset[str]
    links: frozenset[str]


def look(marks: tuple[str, ...]) -> Machine:
    """The machine now. ``marks``: texts of which one is in every mount of ours."""
    table = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    return Machine(
        mounts=frozenset(line.split(" ")[4] for line in table if any(mark in line for mark in marks)),
        groups=frozenset(
            place for place, _, _ in os.walk("/sys/fs/cgroup") if "sandcell" in os.path.basename(place)
        ),
        networks=frozenset(_names("/run/netns")),
        links=frozenset(_names("/sys/class/net")),
    )


def new(before: Machine, after: Machine) -> list[str]:
    """One line for each thing that is there after and was not before."""
    lines = []
    for kind in ("mounts", "groups", "networks", "links"):
        lines += [f"{kind}: {name}" for name in sorted(getattr(after, kind) - getattr(before, kind))]
    return lines


def processes(mark: str, folder: str) -> dict[int, str]:
    """Other processes that were started with ``mark`` in their environment, or that see a mount of
    something in ``folder`` (a container's first process, whose environment is its image's)."""
    found = {}
    for name in _names("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            place = Path("/proc", name)
            if mark.encode() in place.joinpath("environ").read_bytes() or _mounts(place, folder):
                words = place.joinpath("cmdline").read_text(errors="replace")
                found[int(name)] = words.replace("\0", " ").strip()
        except OSError:
            continue  # it ended, or it is not ours to look at
    return found


def _mounts(process: Path, folder: str) -> bool:
    return folder in process.joinpath("mountinfo").read_text(errors="replace")


def after_they_end(mark: str, folder: str, seconds: float) -> dict[int, str]:
    """Those of ``processes`` that are still there after at most ``seconds``."""
    deadline = time.monotonic() + seconds
    while (left := processes(mark, folder)) and time.monotonic() < deadline:
        try:
            watched = os.pidfd_open(next(iter(left)))
        except ProcessLookupError:
            continue
        select.select([watched], [], [], max(0.0, deadline - time.monotonic()))
        os.close(watched)
    return left


def until(left: Callable[[], list[str]], seconds: float) -> list[str]:
    """What is still ``left`` after at most ``seconds``."""
    deadline = time.monotonic() + seconds
    while (found := left()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
