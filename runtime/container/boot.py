"""Starting the spawner. It imports next to nothing, for the command line does it before all else: the
helper then loads its modules on another processor while we load ours.
"""

import os
import select
import signal
import socket
import sys
from importlib.machinery import PathFinder

from sandcell.runtime.container.program import open_program

_BOOT = "import sys; sys.path += {}; from sandcell.runtime.container.spawner import main; main({}, {})"
RESERVE = 2
_NOWHERE = [
    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
]


class Spawner:
    """A spawner of ours, which keeps ``reserve`` children. ``channel``: it ends when this is closed."""

    def __init__(self, reserve: int = RESERVE) -> None:
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        program = open_program()
        number = theirs.fileno()
        boot = _BOOT.format(_paths(), number, reserve)
        try:
            with theirs:
                self.pid = os.posix_spawn(
                    f"/proc/self/fd/{program}",
                    [sys.executable, "-I", "-S", "-c", boot],
                    os.environ,
                    # A descriptor that is duplicated to itself is inherited: posix_spawn(3).
                    file_actions=[*_NOWHERE, (os.POSIX_SPAWN_DUP2, number, number)],
                    setsid=True,
                    setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
                )
        finally:
            os.close(program)
        self._pidfd = os.pidfd_open(self.pid)

    def ended(self, seconds: float = 0) -> bool:
        """True when it has ended, or does so within ``seconds``."""
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def end(self, patience: float = 0) -> None:
        """Let it end, and make it after ``patience`` seconds; its containers go on."""
        self.channel.close()
        if not self.ended(patience):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:
            pass  # the client collects all its children, or ignores SIGCHLD
        os.close(self._pidfd)


_ahead: list[Spawner] = []
_few = False


def few() -> bool:
    """True in a process that makes no more than a container or two: to prepare what many have in common
    would take it longer than that saves."""
    return _few


def ahead() -> None:
    """Start one for whoever asks ``spawner`` first, in a process of ``few``."""
    global _few
    _few = True
    try:
        _ahead.append(Spawner(1))
    except OSError:
        pass  # whoever needs one tells why there is none


def spawner() -> Spawner:
    """One that was started ahead, or a new one. ``OSError``."""
    return _ahead.pop() if _ahead else Spawner()


def _paths() -> list[str]:
    # With -I -S the helper reads no site-packages; it needs ourselves and msgspec, no more.
    ours = os.path.abspath(__file__)
    for _ in range(4):
        ours = os.path.dirname(ours)
    found = PathFinder.find_spec("msgspec")
    assert found is not None
    assert found.origin is not None
    return [ours, os.path.dirname(os.path.dirname(os.path.abspath(found.origin)))]
