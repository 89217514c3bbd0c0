"""The client's side of the spawner: start it, hand it jobs, hear what becomes of them."""

import array
import socket
import threading

import msgspec

from sandcell.runtime.container import boot, jobs
from sandcell.runtime.errors import HostRefused
from sandcell.runtime.linux import process
from sandcell.runtime.linux.idmap import IdMap

_PATIENCE = 5.0


class Launcher:
    """Owns one spawner process. Safe to use from several threads; cheap until the first use.

    ``idmap``: what most containers will have, so that their first process can be prepared.
    """

    def __init__(self, idmap: IdMap) -> None:
        self._idmap = msgspec.json.encode(idmap)
        self._lock = threading.Lock()
        self._spawner: boot.Spawner | None = None

    def start(self) -> None:
        """Make sure that a spawner runs; one that was killed is replaced. Does not wait for it."""
        with self._lock:
            self._ensure()

    def _ensure(self) -> socket.socket:
        if self._spawner is not None:
            if not self._spawner.ended():
                return self._spawner.channel
            self._forget()
        self._spawner = boot.spawner()
        self._spawner.channel.send(self._idmap)
        return self._spawner.channel

    def submit(self, job: jobs.Job, sinks: tuple[int, ...] = ()) -> "tuple[Control, jobs.Reply | None]":
        """Hand over a job with the write ends ``sinks`` for its output, which stay the caller's, and wait
        for the first reply: ``None`` when whoever took the job is gone. A job that nobody took, because
        the spawner was killed a moment ago, goes to a new one."""
        try:
            return self._submit(job, sinks)
        except ConnectionError:
            pass
        try:
            return self._submit(job, sinks)
        except ConnectionError:
            raise HostRefused("start", "a container", "the helper process ended", "try again") from None

    def _submit(self, job: jobs.Job, sinks: tuple[int, ...]) -> "tuple[Control, jobs.Reply | None]":
        """``ConnectionError`` when nobody took the job: then there is no spawner any more, either."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        control = Control(ours)
        spawner = None
        try:
            fds = array.array("i", (theirs.fileno(), *sinks))
            with theirs, self._lock:
                channel = self._ensure()
                spawner = self._spawner
                channel.sendmsg([b"j"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
            control.send(job)
            return control, control.first()
        except ConnectionError:
            control.close()
            with self._lock:
                if self._spawner is spawner:  # another thread may have missed it as well
                    self._forget()
            raise
        except BaseException:
            control.close()
            raise

    @property
    def pid(self) -> int | None:
        """The spawner's, while we have one."""
        return None if self._spawner is None else self._spawner.pid

    def close(self) -> None:
        """End the spawner; containers go on. A later use starts a new one."""
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        if self._spawner is not None:
            self._spawner.end(_PATIENCE)
        self._spawner = None


class Control:
    """The conversation about one job. Closing it tells the monitor that nobody listens any more."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel

    def fileno(self) -> int:
        """For poll(2)."""
        return self._channel.fileno()

    def ask(self, request: jobs.Request) -> None:
        """Ask something of the process that runs; nothing happens when it has ended."""
        try:
            process.send(self._channel, jobs.encode(request))
        except OSError:
            pass

    def send(self, job: jobs.Job) -> None:
        """Hand over the job itself. ``ConnectionError`` when nobody is there."""
        process.send(self._channel, jobs.encode(job))

    def receive(self) -> jobs.Reply | None:
        """The next reply, or ``None`` when the monitor is gone."""
        try:
            return self.first()
        except ConnectionResetError:
            return None

    def first(self) -> jobs.Reply | None:
        """As ``receive``; but ``ConnectionResetError`` when the monitor went before it had read all that was
        sent: what a socket's end does to the other one then, unix(7)."""
        received = process.receive(self._channel)
        return None if received is None else jobs.decode_reply(received[0])

    def close(self) -> None:
        """Hang up."""
        self._channel.close()
