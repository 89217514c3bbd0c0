"""Calling a function inside a user namespace, where the ids of unpacked trees make sense.

An unprivileged user may own files under many ids, or directories that even their owner may not
enter; both can be read, packed and removed by the root of a user namespace with the same maps.
The function runs in a child of this single-threaded process and answers over a pipe.
"""

import errno
import os
import signal
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from sandcell.runtime.container import jobs
from sandcell.runtime.errors import SandcellError
from sandcell.runtime.linux import idmap as ids
from sandcell.runtime.linux.process import PR_SET_PDEATHSIG, Identity, alive, prctl
from sandcell.runtime.linux.syscall import CLONE_NEWUSER, clone3, pidfd_open, setns


def call(idmap: ids.IdMap, function: Callable[[], Any], init: Identity | None = None) -> jobs.Done:
    """What ``function`` returns, or the error it raised; in this process where no map is needed.
    ``init``: a process whose user namespace is entered, in place of a new one with ``idmap``.

    ``Done.error`` is empty on success. The child dies with its parent.
    """
    if not idmap.user_namespace:
        return _attempt(function)
    ready, go = os.pipe2(os.O_CLOEXEC)
    answer, tell = os.pipe2(os.O_CLOEXEC)
    target = -1
    if init is not None:
        target = pidfd_open(init.pid)
        if not alive(init):
            return jobs.Done(None, "OSError", (errno.ESRCH, "it has ended", ""))
    pid, pidfd = clone3(0 if init is not None else CLONE_NEWUSER, signal.SIGCHLD)
    if pid == 0:
        _child(function, idmap, ready, go, tell, target)
    if target >= 0:
        os.close(target)
    os.close(ready)
    os.close(tell)
    try:
        if init is None:
            ids.write(pid, idmap)
        os.write(go, b"g")
        with open(answer, "rb") as pipe:
            data = pipe.read()
    except SandcellError as error:
        os.kill(pid, signal.SIGKILL)
        data = jobs.encode(_failure(error))
    finally:
        os.close(go)
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
        os.close(pidfd)
    if not data:
        return jobs.Done(None, "OSError", ("the worker was killed",))
    reply = jobs.decode_reply(data)
    assert isinstance(reply, jobs.Done)
    return reply


def _child(
    function: Callable[[], Any], idmap: ids.IdMap, ready: int, go: int, tell: int, target: int
) -> None:
    try:
        if target >= 0:
            setns(target, CLONE_NEWUSER)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        # Our own copy of the other end would hide that the parent has gone.
        os.close(go)
        if os.read(ready, 1) == b"g":
            os.setresgid(*(idmap.gids[0].inside,) * 3)
            os.setresuid(*(idmap.uids[0].inside,) * 3)
            with open(tell, "wb") as pipe:
                pipe.write(jobs.encode(_attempt(function)))
    finally:
        os._exit(0)


def _attempt(function: Callable[[], Any]) -> jobs.Done:
    try:
        return jobs.Done(function())
    except SandcellError as error:
        return _failure(error)
    except OSError as error:
        return jobs.Done(
            None, "OSError", (error.errno or 0, error.strerror or str(error), str(error.filename or ""))
        )
    except Exception as error:
        return jobs.Done(None, "RuntimeError", (f"{type(error).__name__}: {error}",))


def _failure(error: SandcellError) -> jobs.Done:
    return jobs.Done(None, type(error).__name__, (error.operation, error.object, error.cause, error.hint))


def perform(task: jobs.Task, descriptors: Sequence[int] = ()) -> jobs.Done:
    """Carry out a ``Task``: import its function and call it with the payload's items."""
    payload = {**task.payload, "stream": descriptors[0]} if descriptors else task.payload
    module, _, name = task.function.rpartition(".")
    # Here, for whoever has other ids may not read where this interpreter's modules lie.
    function = getattr(import_module(module), name)
    return call(task.idmap, lambda: function(**payload), task.init)


def do(call: jobs.Call) -> None:
    """Do what another room wants done at a container's end; what fails is left for ``prune``."""
    module, _, name = call.function.rpartition(".")
    try:
        getattr(import_module(module), name)(**call.payload)
    except (SandcellError, OSError):
        pass
