"""Hearing of changes in directories instead of asking again and again. inotify(7)."""

import os
import select

from sandcell.runtime.linux.syscall import fail, libc

_IN_MODIFY = 0x002
_IN_MOVED_TO = 0x080
_IN_CREATE = 0x100
_IN_DELETE = 0x200
_IN_DELETE_SELF = 0x400
_ALL = _IN_MODIFY | _IN_MOVED_TO | _IN_CREATE | _IN_DELETE | _IN_DELETE_SELF


class Watch:
    """Wakes when a file of one of the directories is written, made, renamed or deleted.

    A directory that is not there is passed over. What happens after the watch was made is never
    missed: look at the files after making it, and again after each ``wait``. ``OSError`` when the
    user has no watch left.
    """

    def __init__(self, *directories: str) -> None:
        self._fd: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            fail("inotify_init1")
        for directory in directories:
            if libc.inotify_add_watch(self._fd, os.fsencode(directory), _ALL) < 0 and os.path.isdir(
                directory
            ):
                os.close(self._fd)
                fail("inotify_add_watch")

    def wait(self, *others: int, timeout: float | None = None) -> bool:
        """Wait for a change, or until one of the descriptors ``others`` is readable; false after
        ``timeout`` seconds."""
        poll = select.poll()
        for fd in (self._fd, *others):
            poll.register(fd, select.POLLIN)
        ready = poll.poll(None if timeout is None else timeout * 1000)
        try:
            os.read(self._fd, 1 << 16)
        except BlockingIOError:
            pass
        return bool(ready)

    def close(self) -> None:
        """Stop watching."""
        os.close(self._fd)
