"""Connections into a container's own network, made there by a worker and handed back."""

import errno
import os
import socket
from typing import TYPE_CHECKING

from sandcell.runtime.container import jobs, state
from sandcell.runtime.engine import record
from sandcell.runtime.engine.record import Record
from sandcell.runtime.engine.work import run_apart
from sandcell.runtime.errors import InvalidOption, NotFound, WrongState
from sandcell.runtime.linux.idmap import IdMap
from sandcell.runtime.linux.process import receive_descriptors

if TYPE_CHECKING:
    from sandcell.runtime.engine.engine import Engine

_FUNCTION = "sandcell.runtime.container.reach.reach"


def connect(engine: "Engine", who: Record, port: int) -> socket.socket:
    """A TCP connection to ``port`` of the running container, as one of its own processes would make it.

    ``NotFound`` when nobody listens there.
    """
    if not 0 < port < 1 << 16:
        raise InvalidOption("connect to", f"port {port}", "not a port", "1 to 65535")
    now = record.current(engine.places, who)
    if now.status != state.RUNNING or now.init is None:
        raise WrongState("connect to", who.name, f"it is {now.status}, not running", f"start {who.name}")
    addresses = ["127.0.0.1"]
    if who.options.network not in ("none", "host"):
        # What listens at the container's address alone is not reached by way of loopback.
        addresses += engine.network(who.options.network).members.get(who.name, "").split()
    ours, theirs = socket.socketpair()
    idmap = who.idmap if who.idmap.user_namespace else IdMap()
    payload = {"init": now.init.pid, "start": now.init.start, "port": port, "addresses": addresses}
    task = jobs.Task(_FUNCTION, payload, idmap, now.init)
    try:
        run_apart(lambda: engine.launcher, task, (theirs.fileno(),))
        _, found = receive_descriptors(ours, 1)
    except OSError as error:
        if error.errno == errno.ESRCH:
            raise WrongState("connect to", who.name, "it has ended", f"start {who.name}") from None
        reason = os.strerror(error.errno or 0)
        hint = "does its server run, and listen on that port?"
        raise NotFound("connect to", f"port {port} of {who.name}", reason, hint) from None
    finally:
        ours.close()
        theirs.close()
    return socket.socket(fileno=found[0])
