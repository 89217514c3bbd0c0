"""Hooks: programs called at moments of a container's life, its state on their standard input.

config.md, "POSIX-platform Hooks". Nothing here imports or looks anything up, so that hooks can also
be called from within a container's root.
"""

import os
import select
import signal
from collections.abc import Iterable
from typing import Never

from sandcell.runtime.errors import HostRefused
from sandcell.runtime.linux import process
from sandcell.runtime.linux.syscall import CLOSE_RANGE_CLOEXEC, close_range
from sandcell.runtime.oci.spec import Hook

_KEPT = 4096


def call(hooks: Iterable[Hook], state: bytes, moment: str, folder: str = "") -> None:
    """Run each in order, in ``folder`` if there is one, and wait for it. ``HostRefused`` names the first
    that fails or takes longer than its timeout (it is killed then); those after it are not run."""
    for hook in hooks:
        why = _call(hook, state, folder)
        if why:
            raise HostRefused("call", f"{moment} hook {hook.path}", why)


def _call(hook: Hook, state: bytes, folder: str) -> str:
    given, giving = os.pipe2(os.O_CLOEXEC)
    heard, telling = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        _become(hook, given, telling, folder)
    os.close(given)
    os.close(telling)
    pidfd = os.pidfd_open(child)
    try:
        said = _talk(pidfd, giving, heard, state, hook.timeout)
    finally:
        os.close(heard)
        os.close(pidfd)
    if said is None:
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if said is None:
        return f"it took longer than {hook.timeout} s"
    if status:
        words = said.decode(errors="replace").strip()
        return f"it ended with {status}" + (f": {words}" if words else "")
    return ""


def _talk(pidfd: int, giving: int, heard: int, state: bytes, timeout: int | None) -> bytes | None:
    """Hand over the state, collect what it says; ``None`` when the time is over."""
    os.set_blocking(giving, False)
    said, left = b"", state
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(heard, select.POLLIN)
    poll.register(giving, select.POLLOUT)
    try:
        while True:
            ready = dict(poll.poll(None if timeout is None else timeout * 1000))
            if not ready:
                return None
            if giving in ready:
                try:
                    left = left[os.write(giving, left) :]
                except OSError:
                    left = b""  # it does not want to know
                if not left:
                    poll.unregister(giving)
                    os.close(giving)
                    giving = -1
            if heard in ready:
                part = os.read(heard, _KEPT)
                said = (said + part)[:_KEPT]
                if not part:
                    poll.unregister(heard)
            elif pidfd in ready:
                return said
    finally:
        if giving >= 0:
            os.close(giving)


def _become(hook: Hook, given: int, telling: int, folder: str) -> Never:
    try:
        process.default_signals()
        os.dup2(given, 0)
        os.dup2(telling, 1)
        os.dup2(telling, 2)
        close_range(3, flags=CLOSE_RANGE_CLOEXEC)
        if folder and os.path.isdir(folder):  # who deletes late may have removed it
            os.chdir(folder)
        environment = {}
        for entry in hook.env:
            name, _, value = entry.partition("=")
            environment[name] = value
        os.execve(hook.path, hook.args or (hook.path,), environment)
    except OSError as error:
        os.write(2, b"cannot be executed: errno %d" % (error.errno or 0))
    finally:
        os._exit(127)
