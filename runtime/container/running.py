"""A process of a container that the client listens to: its output, its end, and signals to it."""

import errno
import os
import select
import signal as signals
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

from sandcell.runtime.container import guests, jobs
from sandcell.runtime.container.launcher import Control, Launcher
from sandcell.runtime.container.output import STDERR, STDOUT, Output
from sandcell.runtime.container.processes import signal_all
from sandcell.runtime.errors import StartFailed, WrongState
from sandcell.runtime.linux import process

_PIECE = 1 << 18


class Running:
    """A started process. ``pid`` is the host's; ``exchange`` the directory of the host that it sees
    as its place for results; ``container`` what the engine says of its container.

    ``detached``: it goes on without us. ``keyboard``: the pipe that it reads, -1 without one.
    ``members``: gives the host pids of all processes of this run, for ``signal``.
    """

    def __init__(
        self,
        control: Control,
        pid: int,
        outputs: dict[int, str],
        members: Callable[[], list[int]],
        name: str,
        keyboard: int = -1,
    ) -> None:
        self._control = control
        self._outputs = outputs
        self._unread: dict[int, list[bytes]] = {fd: [] for fd in outputs}
        self._members = members
        self._status: int | None = None
        self._name = name
        self._input = keyboard
        self.detached = False
        self.pid = pid
        self.oom = False
        self.exchange = ""
        self.container: Any = None

    def output(self, timeout: float | None = None) -> Iterator[Output]:
        """Pieces of output as they come, until both streams end or ``timeout`` seconds are over.

        May be left at any point, by an exception too, and called again: nothing is lost.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        yield from self._pieces()
        while self._outputs:
            poll = select.poll()
            for fd in self._outputs:
                poll.register(fd, select.POLLIN)
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready = poll.poll(None if left is None else left * 1000)
            if not ready:
                return
            for fd, _ in ready:
                # One step for the interpreter: Ctrl-C comes before it or after, not between the
                # reading and the keeping.
                self._unread[fd].extend(map(os.read, (fd,), (_PIECE,)))
            yield from self._pieces()

    def _pieces(self) -> Iterator[Output]:
        for fd in tuple(self._outputs):
            unread = self._unread[fd]
            while unread and unread[0]:
                piece = Output(self._outputs[fd], unread[0], time.time())
                try:
                    yield piece
                finally:
                    del unread[0]  # whoever leaves here has it
            if unread:
                del self._outputs[fd]
                os.close(fd)

    @property
    def flowing(self) -> bool:
        """May there be more output?"""
        return bool(self._outputs)

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit status (128 + number for a signal), or ``None`` if it still runs after
        ``timeout`` seconds or we are ``detached``. ``WrongState`` when the monitor was killed and
        nobody knows."""
        if self._status is not None:
            return self._status
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        if not poll.poll(None if timeout is None else timeout * 1000):
            return None
        reply = self._control.receive()
        if isinstance(reply, jobs.Detached):
            self.detached = True
            return None
        if not isinstance(reply, jobs.Exited):
            raise WrongState("wait for", self._name, "its monitor was killed: exit status unknown")
        self._status, self.oom = reply.status, reply.oom
        return reply.status

    def signal(self, signum: int | signals.Signals) -> None:
        """Send a signal to every process of this run: of the container, or of the exec'd tree; SIGKILL
        also to those that are forked meanwhile."""
        told: set[int] = set()
        while fresh := [pid for pid in self._members() if pid not in told]:
            signal_all(fresh, signum)
            if signum != signals.SIGKILL:
                return
            told.update(fresh)

    @property
    def typing(self) -> bool:
        """True where somebody can type: see ``write``."""
        return self._input >= 0

    def write(self, data: bytes) -> int:
        """Type ``data``, and tell how much of it was taken; waits while nothing is. ``OSError`` when
        nobody reads."""
        return os.write(self._input, data)

    def close_input(self) -> None:
        """The process reads the end of its input, after all that was written. May be repeated."""
        if self._input >= 0:
            os.close(self._input)
        self._input = -1

    def resize(self, rows: int, columns: int) -> None:
        """Give its terminal another size; the process hears of it by SIGWINCH."""
        self._control.ask(jobs.Resize(rows, columns))

    def detach(self) -> None:
        """Leave it running, whatever it was started with; ``output`` ends, ``wait`` gives ``None``."""
        self._control.ask(jobs.Detach())

    def close(self) -> None:
        """Stop listening. What was started to die with its client dies."""
        for fd in self._outputs:
            os.close(fd)
        self._outputs.clear()
        self.close_input()
        self._control.close()

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def begin(
    launcher: Launcher,
    job: jobs.Run | jobs.Exec,
    members: Callable[[int], Callable[[], list[int]]],
    name: str,
    command: tuple[str, ...],
    *,
    listen: bool,
    interactive: bool = False,
) -> Running:
    """Hand ``job`` over and wait until its process runs. ``StartFailed`` when it never does.

    ``listen``: connect its output to the client; ``interactive``: its input too. ``members`` makes,
    from the pid, the function that tells the processes of this run.
    """
    outputs: dict[int, str] = {}
    sinks: tuple[int, ...] = ()
    keyboard = -1
    if listen:
        out_read, out_write = os.pipe2(os.O_CLOEXEC)
        err_read, err_write = os.pipe2(os.O_CLOEXEC)
        outputs = {out_read: STDOUT, err_read: STDERR}
        sinks = (out_write, err_write)
        if interactive:
            in_read, keyboard = os.pipe2(os.O_CLOEXEC)
            sinks = (out_write, err_write, in_read)
    control: Control | None = None
    try:
        try:
            control, reply = launcher.submit(job, sinks)
        finally:
            for fd in sinks:
                os.close(fd)
        if not isinstance(reply, jobs.Started):
            raise _failure("start" if isinstance(job, jobs.Run) else "exec in", reply, name, command)
        return Running(control, reply.pid, outputs, members(reply.pid), name, keyboard)
    except BaseException:
        if control is not None:
            control.close()
        for fd in (*outputs, keyboard):
            if fd >= 0:
                os.close(fd)
        raise


def join(run: str, members: Callable[[int], Callable[[], list[int]]], name: str) -> Running:
    """Listen to a container that runs already, ``run`` being its run directory; it goes on when we
    leave. ``OSError`` when nobody is there, or it ends just now."""
    out_read, out_write = os.pipe2(os.O_CLOEXEC)
    err_read, err_write = os.pipe2(os.O_CLOEXEC)
    channel: socket.socket | None = None
    try:
        try:
            channel = guests.call(run)
            process.send(channel, jobs.encode(jobs.Attach()), (out_write, err_write))
            received = process.receive(channel, 1)
        finally:
            os.close(out_write)
            os.close(err_write)
        reply = None if received is None else jobs.decode_reply(received[0])
        if received is None or not isinstance(reply, jobs.Started):
            raise ConnectionResetError(errno.ECONNRESET, "it ended")
        keyboard = received[1][0] if received[1] else -1
        outputs = {out_read: STDOUT, err_read: STDERR}
        return Running(Control(channel), reply.pid, outputs, members(reply.pid), name, keyboard)
    except BaseException:
        if channel is not None:
            channel.close()
        os.close(out_read)
        os.close(err_read)
        raise


def _failure(operation: str, reply: jobs.Reply | None, name: str, command: tuple[str, ...]) -> StartFailed:
    if not isinstance(reply, jobs.Refused):
        return StartFailed(
            operation, name, "its monitor was killed while it was being made", "start it again"
        )
    if reply.executing:
        return _not_executed(operation, reply.errno, name, command[0])
    cause = reply.step
    if reply.errno:
        cause += f": {os.strerror(reply.errno)}"
        missing = reply.errno in (errno.ENOENT, errno.ENOTDIR)
        hint = "" if missing else "`sandcell doctor` tells what this host allows"
        return StartFailed(operation, name, cause, reply.message or hint)
    return StartFailed(operation, name, cause, reply.message)


def _not_executed(operation: str, number: int, name: str, program: str) -> StartFailed:
    if number in (errno.ENOENT, errno.ENOTDIR):
        hint = "look for it in the image; a script also needs the program that its #! line names"
        return StartFailed(operation, name, f"no command {program!r} in the container", hint, status=127)
    hint = "a program needs the execute permission and this machine's architecture; a script needs a #! line"
    return StartFailed(
        operation, name, f"cannot execute {program!r}: {os.strerror(number)}", hint, status=126
    )
