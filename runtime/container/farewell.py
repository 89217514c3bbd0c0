"""The name of a container that removes itself at its end: the last of it that goes."""

import fcntl
import os


def release_name(names: str, id: str) -> None:
    """Give free what name the container ``id`` holds in the directory ``names``, where each is a
    symbolic link to an id. Nothing where the directory is not there."""
    try:
        if not os.listdir(names):
            return
        fd = os.open(names, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # no container of this store ever had a name
    try:
        # Whoever takes a name holds the directory meanwhile.
        fcntl.flock(fd, fcntl.LOCK_EX)
        for entry in os.scandir(fd):
            if entry.is_symlink() and os.readlink(entry.name, dir_fd=fd) == id:
                os.unlink(entry.name, dir_fd=fd)
    finally:
        os.close(fd)
