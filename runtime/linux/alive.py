"""What tells one process from another with the same pid: when it was started, and in which boot.

It imports nothing else: a command that lives for milliseconds asks too.
"""

import os

_boot: list[str] = []


def boot_id() -> str:
    """A text that is different after every boot of this machine. random(4)."""
    if not _boot:
        _boot.append(read_text("/proc/sys/kernel/random/boot_id").strip())
    return _boot[0]


def read_text(path: str) -> str:
    """The whole of a small file, undecodable bytes kept as surrogates."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(fd, 65536):
            parts.append(part)
        return os.fsdecode(b"".join(parts))
    finally:
        os.close(fd)


def start_time(pid: int, *, ended: bool = False) -> int | None:
    """Field 22 of /proc/PID/stat, or ``None`` when there is no such process; a zombie is one only
    where ``ended`` ones count."""
    try:
        # The name in parentheses may hold anything, a closing parenthesis too.
        fields = read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" and not ended else int(fields[19])
