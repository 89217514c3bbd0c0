"""The terminal of a command that stays, passed on to the one inside."""

import array
import fcntl
import os
import select
import signal
import termios
import tty

from sandcell.runtime.oci_cli.birth import Child

_END = b"\x04"


def attend(child: Child) -> None:
    """Copy between our standard streams and the child's terminal until the child has ended; ours is raw
    meanwhile, and changes of its size reach the other."""
    master, ours = child.console, os.isatty(0)
    before = termios.tcgetattr(0) if ours else []

    def resize(*_: object) -> None:
        size = array.array("H", (0, 0, 0, 0))
        fcntl.ioctl(0, termios.TIOCGWINSZ, size)
        fcntl.ioctl(master, termios.TIOCSWINSZ, size)

    if ours:
        signal.signal(signal.SIGWINCH, resize)
        resize()
        tty.setraw(0)
    try:
        _copy(master, os.pidfd_open(child.pid))
    finally:
        if ours:
            termios.tcsetattr(0, termios.TCSADRAIN, before)


def _copy(master: int, pidfd: int) -> None:
    poll = select.poll()
    for fd in (0, master, pidfd):
        poll.register(fd, select.POLLIN)
    while True:
        ready = [fd for fd, _ in poll.poll()]
        if master in ready:
            try:
                _write(1, os.read(master, 65536))
            except OSError:
                return  # EIO: nobody has the other end any more
        elif pidfd in ready:
            return
        if 0 in ready:
            typed = os.read(0, 65536)
            if not typed:
                poll.unregister(0)
            _write(master, typed or _END)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
