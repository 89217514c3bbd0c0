"""A way out for a plain user's container: slirp4netns(1), a network stack in a process of its own.

It speaks to a tap link inside, and to the world with the user's ordinary sockets.
"""

import os
import select
import signal

ADDRESS, RESOLVER = "10.0.2.100", "10.0.2.3"
NAME = "slirp4netns"
TAP = "/dev/net/tun"
_PATIENCE = 10_000


def find(name: str = NAME) -> str:
    """The path of the program, or of another, empty where it is not installed."""
    for directory in os.environ.get("PATH", os.defpath).split(":"):
        path = f"{directory}/{name}"
        if directory and os.access(path, os.X_OK):
            return path
    return ""


def begin(program: str, init: int) -> int:
    """Connect the network namespace of ``init``, whose user namespace is ours to enter. The host's own
    loopback cannot be reached from inside. What is returned keeps it alive: closed, or when we end,
    it ends. ``OSError`` when it does not come up."""
    ready, tell = os.pipe2(os.O_CLOEXEC)
    lifeline, ours = os.pipe2(os.O_CLOEXEC)
    arguments = [program, "--configure", "--mtu=65520", "--disable-host-loopback"]
    arguments += [f"--ready-fd={tell}", f"--exit-fd={lifeline}", f"--userns-path=/proc/{init}/ns/user"]
    arguments += [str(init), "tap0"]
    for fd in (tell, lifeline):
        os.set_inheritable(fd, True)
    silent = [(os.POSIX_SPAWN_OPEN, number, "/dev/null", os.O_RDWR, 0) for number in (0, 1, 2)]
    try:
        pid = os.posix_spawn(program, arguments, {}, file_actions=silent)
    except OSError:
        os.close(ready)
        os.close(ours)
        raise
    finally:
        os.close(tell)
        os.close(lifeline)
    poll = select.poll()
    poll.register(ready, select.POLLIN)
    up = bool(poll.poll(_PATIENCE)) and os.read(ready, 1) == b"1"
    os.close(ready)
    if not up:
        os.close(ours)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise OSError(0, f"{NAME} did not come up")
    return ours
