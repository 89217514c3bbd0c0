"""What a client may ask of the spawner, and what it hears back: the whole protocol.

A request is one packet on the spawner's SOCK_SEQPACKET socket that carries descriptors only: the
control socket of this job, and the job's standard streams: pipes for stdout and stderr, then one
for stdin where the client gives input. The job itself and the replies go over
the control socket as length-prefixed msgpack, so their size has no limit.
"""

import os
from typing import Any, TypeAlias

import msgspec

from sandcell.runtime.container.ports import Publish
from sandcell.runtime.container.sealed import Sealed
from sandcell.runtime.container.steps import Inside
from sandcell.runtime.known import known
from sandcell.runtime.linux.idmap import IdMap
from sandcell.runtime.linux.process import Identity


class Call(msgspec.Struct, frozen=True):
    """Something that another room does: its function's dotted name, and the arguments."""

    function: str
    payload: dict[str, Any]


class Run(msgspec.Struct, frozen=True, tag=True):
    """Make a container, watch it to its end and clean up after it.

    ``home``: its directory in the store; ``run``: its directory of run state. ``remove``: both go
    at the end. ``die_with_client``: it is killed when the control socket closes.
    ``interactive``: its standard input stays open while nobody listens. ``copied``: its files are no overlay,
    whose end would sync the disk. ``ports`` of the host lead to
    the address ``target`` in its network namespace, those of IPv6 to ``target6`` where there is one.
    ``afterwards``: to be done when it has ended, or was never made; ``late``: when nothing else is left to
    do, and nobody waits for anything of it.
    """

    id: str
    plan: Sealed
    home: str
    run: str
    remove: bool = False
    die_with_client: bool = False
    interactive: bool = False
    copied: bool = False
    ports: tuple[Publish, ...] = ()
    target: str = ""
    target6: str = ""
    afterwards: tuple[Call, ...] = ()
    late: tuple[Call, ...] = ()


_ADDED = "afterwards"


def add(run: str, call: Call) -> None:
    """Have the monitor of the running container, whose run directory this is, do one more thing at its
    end. One at most; another takes its place."""
    with open(f"{run}/{_ADDED}.new", "wb") as file:
        file.write(msgspec.json.encode(call))
    os.rename(f"{run}/{_ADDED}.new", f"{run}/{_ADDED}")


def added(run: str) -> tuple[Call, ...]:
    """What was added, once."""
    try:
        with open(f"{run}/{_ADDED}", "rb") as file:
            found = msgspec.json.decode(file.read(), type=known(Call))
        os.unlink(f"{run}/{_ADDED}")
    except (OSError, msgspec.MsgspecError):
        return ()
    return (found,)


class Exec(msgspec.Struct, frozen=True, tag=True):
    """Run another process in the container whose first process is ``init``.

    ``namespaces``: names to enter. ``bare``: ``inside`` as ``compiled`` writes it down, empty where that
    cannot be. ``cgroup``: the container's group, empty where it has none. ``directory``: of the host, removed
    at the end.
    """

    id: str
    exec_id: str
    init: Identity
    namespaces: tuple[str, ...]
    inside: tuple[Inside, ...]
    bare: bytes = b""
    cgroup: str = ""
    directory: str = ""


class Task(msgspec.Struct, frozen=True, tag=True):
    """Call ``function`` (dotted name) with ``payload`` inside a user namespace with ``idmap``.

    ``init``: the namespace is that of this process. A descriptor that comes with the task is the
    item ``stream``.
    """

    function: str
    payload: dict[str, Any]
    idmap: IdMap
    init: Identity | None = None


class Resize(msgspec.Struct, frozen=True, tag=True):
    """The client's terminal has another size now."""

    rows: int
    columns: int


class Attach(msgspec.Struct, frozen=True, tag=True):
    """Somebody else listens too; comes with the pipes for stdout and stderr. See ``guests``."""


class Detach(msgspec.Struct, frozen=True, tag=True):
    """The client stops listening, and the process goes on whatever it was started with."""


Request: TypeAlias = Resize | Attach | Detach
Job: TypeAlias = Run | Exec | Task


class Started(msgspec.Struct, frozen=True, tag=True):
    """The process lives; ``pid`` is the host's."""

    pid: int


class Refused(msgspec.Struct, frozen=True, tag=True):
    """It never came to life. ``step``: what was being done; ``errno``: why, 0 with a ``message``.

    ``executing``: everything was ready and only the command could not be executed.
    """

    step: str
    errno: int
    message: str = ""
    executing: bool = False


class Exited(msgspec.Struct, frozen=True, tag=True):
    """It ended. ``status``: as a shell tells it, 128 + number for a signal. ``oom``: the memory
    limit killed something."""

    status: int
    oom: bool = False


class Detached(msgspec.Struct, frozen=True, tag=True):
    """The answer to ``Detach``: nothing follows."""


class Done(msgspec.Struct, frozen=True, tag=True):
    """A task's result, or the error it raised by class name and constructor arguments."""

    result: Any = None
    error: str = ""
    arguments: tuple[Any, ...] = ()


Reply: TypeAlias = Started | Refused | Exited | Detached | Done

_encoder = msgspec.msgpack.Encoder()
_jobs: msgspec.msgpack.Decoder[Job] = msgspec.msgpack.Decoder(known(Job))
_requests: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(known(Request))
_replies: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(known(Reply))


def encode(message: Job | Request | Reply) -> bytes:
    """The message as bytes."""
    return _encoder.encode(message)


def decode_job(data: bytes) -> Job:
    """A job from its bytes."""
    return _jobs.decode(data)


def decode_request(data: bytes) -> Request:
    """What a client asks of a process that runs, from its bytes."""
    return _requests.decode(data)


def decode_reply(data: bytes) -> Reply:
    """A reply from its bytes."""
    return _replies.decode(data)
