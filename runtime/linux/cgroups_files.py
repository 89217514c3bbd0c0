"""The small files that a control group is made of: reading, writing, waiting, walking."""

import errno
import os
import signal
import time
from collections.abc import Callable, Iterator

from sandcell.runtime.linux.process import read_text


def write(path: str, text: str) -> None:
    """Write ``text`` at once into a file that exists; ``OSError`` with the kernel's answer,
    ``FileNotFoundError`` also when the group goes while we write."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    except OSError as error:
        if error.errno == errno.ENODEV:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from None
        raise
    finally:
        os.close(fd)


def read(path: str) -> str:
    """The content, stripped; empty where there is no such file or group (any more)."""
    try:
        return read_text(path).strip()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP):
            return ""
        raise


def number(path: str) -> int | None:
    """The number in a file; ``None`` without the file or for ``max``."""
    text = read(path)
    return int(text) if text.lstrip("-").isdigit() else None


def table(path: str) -> dict[str, int]:
    """Lines of ``name number``; empty without the file."""
    pairs = (line.split(" ", 1) for line in read(path).split("\n") if " " in line)
    return {name: int(value) for name, value in pairs if value.isdigit()}


def groups(directory: str) -> Iterator[str]:
    """The group and all groups below it, children first; nothing where it does not exist."""
    try:
        entries = list(os.scandir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from groups(entry.path)
    yield directory


def members(directory: str) -> list[int]:
    """Pids in the group and below it, as this pid namespace sees them."""
    found: dict[int, None] = {}
    for group in groups(directory):
        for line in read(f"{group}/cgroup.procs").split():
            # 0 is a process that this pid namespace cannot see.
            if line != "0":
                found[int(line)] = None
    return list(found)


def kill_all(directory: str) -> None:
    """SIGKILL to every process in the group and below, until no new one is found there."""
    signalled: set[int] = set()
    while fresh := [pid for pid in members(directory) if pid not in signalled]:
        for pid in fresh:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        signalled.update(fresh)


def wait_until(done: Callable[[], bool], seconds: float) -> bool:
    """Ask until ``done`` says so; False when it still does not after ``seconds``."""
    deadline, pause = time.monotonic() + seconds, 0.0002
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 2, 0.02)
    return True
