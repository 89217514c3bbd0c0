"""Making a connection inside a container's network namespace. setns(2), unix(7), "SCM_RIGHTS".

Runs in a worker that the spawner makes: a client with threads could not enter a user namespace.
"""

import array
import os
import socket

from sandcell.runtime.linux import process
from sandcell.runtime.linux.process import Identity
from sandcell.runtime.linux.syscall import CLONE_NEWNET, pidfd_open, setns

_PATIENCE = 5.0


def reach(init: int, start: int, port: int, addresses: list[str], stream: int) -> None:
    """Connect to ``port`` at the first of ``addresses`` that answers, as seen by process ``init``, and
    send the socket over ``stream``. ``OSError`` of the last attempt; ESRCH when the process has ended."""
    process.prctl(process.PR_SET_DUMPABLE, 0)
    pidfd = pidfd_open(init)
    if not process.alive(Identity(pid=init, start=start, boot=process.boot_id())):
        raise ProcessLookupError(3, "it has ended")
    setns(pidfd, CLONE_NEWNET)
    os.close(pidfd)
    refused = OSError(111, "nobody listens")
    for address in addresses:
        try:
            with socket.create_connection((address, port), _PATIENCE) as made:
                made.setblocking(True)
                fds = array.array("i", [made.fileno()])
                with socket.socket(fileno=os.dup(stream)) as channel:
                    channel.sendmsg([b"c"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
                return
        except OSError as error:
            refused = error
    raise refused
