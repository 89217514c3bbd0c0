"""A way out for a plain user's container: pasta(1) of passt, which hands packets on as ordinary sockets of
the user's. It is preferred to slirp4netns where it works: quicker, and kept up.

It does not end with the namespace, and entering that takes back prctl(2)'s promise to end with its parent.
So it is killed by the monitor, and by whoever clears up behind one, who finds it noted in the run directory.
"""

import errno
import os
import select
import signal
import time

import msgspec

from sandcell.runtime.known import known
from sandcell.runtime.linux.process import Identity, identify, read_text, send_signal

NAME = "pasta"
_NOTE = "pasta.json"
_PATIENCE = 10.0
_PAUSE = 0.002
# As slirp4netns has them, so that nobody else needs to know which of both it is.
_ADDRESSES = ("-a", "10.0.2.100", "-n", "24", "-g", "10.0.2.2", "--dns-forward", "10.0.2.3")
# The host's loopback and ports stay out of reach: what is published goes another way.
_CLOSED = ("-t", "none", "-u", "none", "-T", "none", "-U", "none", "--no-map-gw")


def begin(program: str, init: int, run: str) -> int:
    """Connect the network namespace of ``init``, whose user namespace is ours to enter; the pid of what
    does it, noted below ``run``. ``OSError`` when it does not come up; then nothing of it is left."""
    clear(run)
    arguments = [program, "--config-net", "--quiet", "--foreground", "--ns-ifname", "tap0"]
    arguments += [*_ADDRESSES, *_CLOSED, str(init)]
    silent = [(os.POSIX_SPAWN_OPEN, number, "/dev/null", os.O_RDWR, 0) for number in (0, 1, 2)]
    # It refuses to begin where SIGPIPE is ignored, as Python has it.
    pid = os.posix_spawn(program, arguments, {}, file_actions=silent, setsigdef=[signal.SIGPIPE])
    try:
        with open(f"{run}/{_NOTE}", "wb") as file:
            file.write(msgspec.json.encode(identify(pid)))
        deadline = time.monotonic() + _PATIENCE
        while not _leads_out(init):
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) or time.monotonic() > deadline:
                raise OSError(errno.EIO, f"{NAME} did not come up")
            select.select([], [], [], _PAUSE)
    except BaseException:
        end(pid)
        raise
    return pid


def end(pid: int) -> None:
    """End what ``begin`` gave, a child of ours."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def clear(run: str) -> None:
    """End the one that is noted below ``run``, whose monitor was killed. May be repeated."""
    try:
        with open(f"{run}/{_NOTE}", "rb") as file:
            noted = msgspec.json.decode(file.read(), type=known(Identity))
        os.unlink(f"{run}/{_NOTE}")
    except (OSError, msgspec.MsgspecError):
        return
    send_signal(noted, signal.SIGKILL)


def _leads_out(init: int) -> bool:
    rows = read_text(f"/proc/{init}/net/route").splitlines()[1:]
    return any(row.split()[1] == "00000000" for row in rows)
