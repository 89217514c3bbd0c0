"""What shall outlive a loss of power."""

import os


def sync_directory(path: str) -> None:
    """Bring the names in a directory to the disk: fsync(2). ``OSError``; may be repeated."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
