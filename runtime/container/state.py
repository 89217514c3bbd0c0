"""How a container stands: ``state.json``, replaced as a whole, read by every client.

It lies in the run directory, which is never on a network file system; its last version is copied
beside the container's files, so that an exit status outlives a reboot. What a state says of a
running process is only believed while that very process and its monitor live.
"""

import errno
import fcntl
import os
import signal
import time

import msgspec

from sandcell.runtime.known import known
from sandcell.runtime.linux.process import Identity, alive, send_signal

CREATED = "created"
RUNNING = "running"
EXITED = "exited"
PAUSED = "paused"
"""Only what people see: whoever runs it still watches a running one."""


class State(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``status``: created, running or exited. ``exit_status`` is ``None`` while it is not known;
    times are seconds since the epoch. ``error``: why it ended where it did not end by itself."""

    status: str = CREATED
    init: Identity | None = None
    monitor: Identity | None = None
    exit_status: int | None = None
    started: float | None = None
    finished: float | None = None
    oom: bool = False
    error: str = ""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(known(State))
_MOST = 1 << 16  # bytes of a state
NAME = "state.json"
LOCK = "lock"
_WAITERS = "waiters"


def write(directory: str, state: State) -> None:
    """Replace the state in ``directory``; a reader sees the old one or the new one. ``OSError``."""
    data, path = _encoder.encode(state), f"{directory}/{NAME}"
    temporary = f"{directory}/.{NAME}.{os.getpid()}"
    try:
        _put(temporary, os.O_CREAT | os.O_TRUNC, data)
        os.rename(temporary, path)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _forget(temporary)
        # A full disk has no place for another file, but the one that stands has its own; blanks
        # take the place of what was longer.
        _put(path, 0, data.ljust(os.stat(path).st_size))


def _put(path: str, flags: int, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | flags, 0o644)
    try:
        if os.write(fd, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
    finally:
        os.close(fd)


def _forget(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def read(run: str, home: str) -> State:
    """The state as last written: in ``run``, else the copy in ``home``, else ``created``."""
    for directory in (run, home):
        try:
            fd = os.open(f"{directory}/{NAME}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            return _decoder.decode(os.read(fd, _MOST))
        except msgspec.DecodeError:
            # Half a file can only be the copy in ``home``, cut by a crash of the whole machine.
            continue
        finally:
            os.close(fd)
    return State()


def take_lock(run: str, patience: float) -> int | None:
    """The lock in a run directory, which a monitor holds from start to clean-up and whoever changes
    what does not run holds meanwhile. ``None`` after ``patience`` seconds; ``FileNotFoundError``."""
    fd = os.open(f"{run}/{LOCK}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if hold(fd, patience):
        return fd
    os.close(fd)
    return None


def hold(fd: int, patience: float) -> bool:
    """Lock an open file for ourselves alone, if that can be had within ``patience`` seconds. flock(2)."""
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.002)


def announce_waiter(run: str) -> int:
    """A descriptor that tells the monitor, as long as it is open, that somebody wants to read how the
    container ended. ``FileNotFoundError`` when it is removed already."""
    fd = os.open(f"{run}/{_WAITERS}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(fd, fcntl.LOCK_SH)
    return fd


def let_waiters_read(run: str, patience: float) -> None:
    """Wait until nobody who was announced still waits, for ``patience`` seconds at most."""
    try:
        fd = os.open(f"{run}/{_WAITERS}", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    hold(fd, patience)
    os.close(fd)


def truth(state: State) -> State:
    """What is really so: a running container whose monitor is gone is ended here.

    Only a parent can collect an exit status, so with the monitor the status is lost; a process
    without anybody who watches it would be worse, so it is killed through a pidfd.
    """
    if state.status != RUNNING or (state.monitor is not None and alive(state.monitor)):
        return state
    if state.init is not None:
        send_signal(state.init, signal.SIGKILL)
    return msgspec.structs.replace(
        state,
        status=EXITED,
        init=None,
        monitor=None,
        error="its monitor was killed: exit status unknown",
    )
