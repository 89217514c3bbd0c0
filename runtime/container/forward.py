"""Published ports: a process per container that passes connections on, begun when the first comes.

It listens in the host's network namespace and calls from the container's, so it needs no rule of a
firewall, no forwarding and no address of the container that the host could reach: it works on every
rung, for IPv4 and IPv6, and goes with the container. See docs/decisions/0014-networks-and-volumes.md.
"""

import errno
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Never

from sandcell.runtime.container.ports import Publish
from sandcell.runtime.linux import process
from sandcell.runtime.linux.namespaces import different
from sandcell.runtime.linux.syscall import CLONE_NEWNET, CLONE_NEWUSER, setns

if TYPE_CHECKING:
    from sandcell.runtime.container.pump import Pump

_PIECE = 65536
_MOST_WAITING = 1 << 18
_BACKLOG = 128
_IDLE = 60.0  # seconds after which an answer to a datagram is no longer expected
_MOST_CALLERS = 1024

Listening = list[tuple[socket.socket, Publish]]


def listen(ports: tuple[Publish, ...]) -> Listening:
    """Take these ports of the host. ``OSError`` with the port as its file name when one is taken or
    not ours; then none is."""
    found: Listening = []
    try:
        for port in ports:
            family = socket.AF_INET6 if ":" in port.address else socket.AF_INET
            kind = socket.SOCK_STREAM if port.protocol == "tcp" else socket.SOCK_DGRAM
            channel = socket.socket(family, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
            found.append((channel, port))
            if family == socket.AF_INET6:
                channel.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if port.protocol == "tcp":
                channel.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _bind(channel, port)
            if port.protocol == "tcp":
                channel.listen(_BACKLOG)
            told = channel.getsockname()[1]
            found[-1] = (channel, Publish(port.port, told, port.address, port.protocol))
    except OSError:
        for channel, _ in found:
            channel.close()
        raise
    return found


def _bind(channel: socket.socket, port: Publish) -> None:
    last = max(port.host_port, port.last)
    for number in range(port.host_port, last + 1):
        try:
            channel.bind((port.address, number))
            return
        except OSError as error:
            if error.errno != errno.EADDRINUSE or number == last:
                place = Publish(port.port, number, port.address).place
                raise OSError(error.errno, error.strerror, place) from None


def hint(error: OSError) -> str:
    """What to do about a port that ``listen`` could not take."""
    return {
        errno.EADDRINUSE: "choose another port of this machine, or leave it away for any free one",
        errno.EACCES: "ports below net.ipv4.ip_unprivileged_port_start are root's: choose a higher one",
        errno.EADDRNOTAVAIL: "no link of this machine has that address: `ip address` shows which it has",
    }.get(error.errno or 0, "")


class Doors:
    """Ports that were taken and at which nobody has called yet. ``begin`` gives the pid of the process that
    serves them all; it is called when ``pump`` sees the first caller, who waits for it in the socket."""

    def __init__(self, listening: Listening, pump: "Pump", begin: Callable[[], int]) -> None:
        self._listening = listening
        self._pump = pump
        self._begin = begin
        self.pid = 0
        for channel, _ in listening:
            pump.watch(channel.fileno(), self._called)

    def _called(self) -> bool:
        if self._listening:
            try:
                self.pid = self._begin()
            except OSError:
                pass  # there are too many processes
            self._close()
        return False

    def _close(self) -> None:
        for channel, _ in self._listening:
            self._pump.forget(channel.fileno())
            channel.close()
        self._listening = []

    def end(self) -> None:
        """Take no more callers, and end the process that serves."""
        self._close()
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0


def begin(listening: Listening, init: int, target: str, target6: str = "") -> int:
    """Start the process that serves; its pid. It ends with us. ``target``: the container's address as
    seen in its own network namespace; ``target6``: its IPv6 one, to which our ports of IPv6 lead, and the
    others where nobody listens at the first."""
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            process.end_with(parent)
            process.keep_only({channel.fileno() for channel, _ in listening})
            flags = CLONE_NEWNET | (CLONE_NEWUSER if different(init, "user") else 0)
            pidfd = os.pidfd_open(init)
            setns(pidfd, flags)
            os.close(pidfd)
            process.prctl(process.PR_SET_DUMPABLE, 0)
            process.end_with(parent)
            _serve(listening, target, target6)
        finally:
            os._exit(1)
    return pid


class _Call:
    """One connection: what came from one side waits in a buffer until the other side takes it."""

    __slots__ = ("connected", "ended", "failed", "inner", "more", "outer", "port", "shut", "waiting")

    def __init__(self, outer: socket.socket, port: int, targets: tuple[str, ...]) -> None:
        self.outer = outer
        self.port = port
        self.call(targets)

    def call(self, targets: tuple[str, ...]) -> None:
        """Call the first of the addresses; the others where nobody listens there."""
        self.inner = inner = _inner(targets[0], socket.SOCK_STREAM)
        inner.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.failed = inner.connect_ex((targets[0], self.port)) not in (0, errno.EINPROGRESS)
        self.more = targets[1:]
        outer = self.outer
        self.connected = False
        self.waiting = {inner: bytearray(), outer: bytearray()}  # by who shall get it
        self.ended = {inner: False, outer: False}  # by who has said all
        self.shut = {inner: False, outer: False}  # by who was told so

    def other(self, one: socket.socket) -> socket.socket:
        return self.inner if one is self.outer else self.outer

    def work(self) -> bool:
        """Move what can be moved; False when the connection is over."""
        if not self.connected:
            if self.failed or self.inner.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                if not self.more:
                    return False
                self.inner.close()
                self.call(self.more)
                return True
            try:
                self.inner.getpeername()
            except OSError:
                return True
            self.connected = True
        try:
            for source in (self.outer, self.inner):
                self._move(source, self.other(source))
        except OSError:
            return False
        return not all(self.shut.values())

    def _move(self, source: socket.socket, sink: socket.socket) -> None:
        data = self.waiting[sink]
        if not self.ended[source] and len(data) < _MOST_WAITING:
            try:
                piece = source.recv(_PIECE)
                self.ended[source] = not piece
                data += piece
            except BlockingIOError:
                pass
        if data:
            try:
                del data[: sink.send(data)]
            except BlockingIOError:
                pass
        if self.ended[source] and not data and not self.shut[sink]:
            self.shut[sink] = True
            try:
                sink.shutdown(socket.SHUT_WR)
            except OSError as error:
                if error.errno != errno.ENOTCONN:
                    raise

    def wishes(self, one: socket.socket) -> int:
        """What to wait for on that socket, as poll(2) events."""
        if not self.connected:
            return select.POLLOUT if one is self.inner else 0
        room = len(self.waiting[self.other(one)]) < _MOST_WAITING
        events = select.POLLIN if not self.ended[one] and room else 0
        return events | (select.POLLOUT if self.waiting[one] else 0)

    def close(self) -> None:
        self.outer.close()
        self.inner.close()


class _Datagrams:
    """The callers of one published UDP port: each has a socket of its own inside."""

    def __init__(self, outer: socket.socket, target: tuple[str, int], poll: select.poll) -> None:
        self.outer = outer
        self.target = target
        self.poll = poll
        self.callers: dict[tuple[str, int], tuple[socket.socket, float]] = {}
        self.owners: dict[int, tuple[str, int]] = {}

    def from_outside(self) -> None:
        try:
            data, caller = self.outer.recvfrom(_PIECE)
        except OSError:
            return
        if caller not in self.callers:
            self._forget_idle()
            inner = _inner(self.target[0], socket.SOCK_DGRAM)
            inner.connect(self.target)
            self.owners[inner.fileno()] = caller
            self.callers[caller] = (inner, 0.0)
            self.poll.register(inner, select.POLLIN)
        inner = self.callers[caller][0]
        self.callers[caller] = (inner, time.monotonic())
        try:
            inner.send(data)
        except OSError:
            pass  # nobody listens inside, or too much at once: a datagram may be lost

    def from_inside(self, fd: int) -> None:
        caller = self.owners[fd]
        try:
            self.outer.sendto(self.callers[caller][0].recv(_PIECE), caller)
        except OSError:
            pass

    def _forget_idle(self) -> None:
        now = time.monotonic()
        full = len(self.callers) >= _MOST_CALLERS
        for caller, (inner, last) in sorted(self.callers.items(), key=lambda item: item[1][1]):
            if now - last < _IDLE and not full:
                return
            full = False
            self.poll.unregister(inner)
            del self.owners[inner.fileno()], self.callers[caller]
            inner.close()


def _serve(listening: Listening, target: str, target6: str) -> Never:
    poll = select.poll()
    doors, floods = {}, {}
    for channel, port in listening:
        both = (target6, target) if ":" in port.address else (target, target6)
        targets = tuple(filter(None, both))
        if port.protocol == "tcp":
            doors[channel.fileno()] = (channel, port.port, targets)
        else:
            floods[channel.fileno()] = _Datagrams(channel, (targets[0], port.port), poll)
    for fd in (*doors, *floods):
        poll.register(fd, select.POLLIN)
    calls: dict[int, _Call] = {}
    while True:
        for fd, _ in poll.poll():
            if fd in doors:
                call = _accept(*doors[fd])
            elif fd in floods:
                floods[fd].from_outside()
                continue
            elif fd in calls:
                call = calls[fd]
            else:
                for flood in floods.values():
                    if fd in flood.owners:
                        flood.from_inside(fd)
                continue
            if call is None:
                continue
            before = call.inner.fileno()
            goes_on = call.work()
            for number in {before, call.inner.fileno(), call.outer.fileno()} & calls.keys():
                poll.unregister(number)
                del calls[number]
            for one in (call.outer, call.inner):
                # Not for nothing: a socket that has hung up would wake us again and again.
                wishes = call.wishes(one) if goes_on else 0
                if wishes:
                    calls[one.fileno()] = call
                    poll.register(one.fileno(), wishes)
            if not goes_on:
                call.close()


def _accept(door: socket.socket, port: int, targets: tuple[str, ...]) -> _Call | None:
    try:
        outer, _ = door.accept()
    except OSError:
        return None  # the caller has gone, or there are too many
    outer.setblocking(False)
    outer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return _Call(outer, port, targets)


def _inner(target: str, kind: socket.SocketKind) -> socket.socket:
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    return socket.socket(family, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
