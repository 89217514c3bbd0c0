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

    def submit(self, job: jobs.Job, sinks: tuple[int, ...] = ()) -> "Control":
        """Hand over a job with the write ends ``sinks`` for its output; they stay the caller's."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        fds = array.array("i", (theirs.fileno(), *sinks))
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)]
        with theirs, self._lock:
            try:
                self._ensure().sendmsg([b"j"], ancillary)
            except ConnectionError:
                # It was killed a moment ago and had not been missed yet.
                self._forget()
                self._ensure().sendmsg([b"j"], ancillary)
        control = Control(ours)
        control.send(job)
        return control

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
        """Hand over the job itself."""
        try:
            process.send(self._channel, jobs.encode(job))
        except ConnectionError:
            raise HostRefused("start", "a container", "the helper process ended", "try again") from None

    def receive(self) -> jobs.Reply | None:
        """The next reply, or ``None`` when the monitor is gone."""
        try:
            received = process.receive(self._channel)
        except ConnectionResetError:
            return None
        return None if received is None else jobs.decode_reply(received[0])

    def close(self) -> None:
        """Hang up."""
        self._channel.close()
