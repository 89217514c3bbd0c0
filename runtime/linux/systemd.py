"""systemd asked to make, change and end control groups, over D-Bus.

Where systemd is the one that writes the tree, whoever wants a group of their own in it asks for a
*scope*: a unit around processes that others started. With ``Delegate`` systemd leaves to the asker what is
below. org.freedesktop.systemd1(5), systemd.scope(5), systemd.resource-control(5).
"""

import errno
import os
import socket
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from jeepney import DBusAddress, HeaderFields, MatchRule, MessageType, message_bus, new_method_call
from jeepney.bus import get_bus
from jeepney.io.blocking import DBusConnection

from sandcell.runtime.errors import HostRefused

Property = tuple[str, object]
"""A value with its type before it, in the signs of D-Bus: ``("t", 5)``."""

_PLACE = "/org/freedesktop/systemd1"
_MANAGER = DBusAddress(_PLACE, "org.freedesktop.systemd1", "org.freedesktop.systemd1.Manager")
_GONE = ("org.freedesktop.systemd1.NoSuchUnit", "org.freedesktop.DBus.Error.UnknownObject")
_THERE = "org.freedesktop.systemd1.UnitExists"
_SECONDS = 25.0


class Refused(Exception):
    """systemd's answer: ``name`` of the error, and its words."""

    def __init__(self, name: str, words: str) -> None:
        super().__init__(words or name)
        self.name = name


class Systemd:
    """A connection; ``user``: to the systemd of the user. Close it, or use it as a context."""

    def __init__(self, *, user: bool) -> None:
        """``HostRefused`` where it cannot be reached."""
        try:
            address = get_bus(_user_bus()) if user else get_bus("SYSTEM")
            channel = _greeted(address)
        except (OSError, RuntimeError, ValueError) as error:
            cause = error.strerror if isinstance(error, OSError) else str(error)
            whose = "the user's systemd" if user else "systemd"
            hint = "--cgroup-manager cgroupfs, or `systemctl --user` must work" if user else ""
            raise HostRefused(
                "reach", whose, f"its bus does not answer: {cause}", hint or "--cgroup-manager cgroupfs"
            ) from None
        self._bus = DBusConnection(channel)
        self._ask("Subscribe", "", ())

    def __enter__(self) -> "Systemd":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._bus.close()

    def start_scope(self, name: str, pid: int, properties: Mapping[str, Property]) -> None:
        """Make the scope ``name`` around the process ``pid``; returns when that stands in its group.
        ``HostRefused``; then there is no such scope of ours."""
        wanted = [*properties.items(), ("PIDs", ("au", [pid]))]
        deadline = time.monotonic() + _SECONDS / 5
        while True:
            try:
                self._job("StartTransientUnit", "ssa(sv)a(sa(sv))", (name, "fail", wanted, []))
                return
            except Refused as refused:
                # One that has just ended is forgotten a moment later.
                if refused.name != _THERE or self._stands(name) or time.monotonic() > deadline:
                    raise HostRefused("make", f"scope {name}", str(refused)) from None
                time.sleep(0.02)

    def stop(self, name: str) -> None:
        """End all processes of a unit, and the unit. No error where there is none."""
        try:
            self._job("StopUnit", "ss", (name, "replace"))
        except Refused as refused:
            if refused.name not in _GONE:
                raise HostRefused("end", name, str(refused)) from None

    def change(self, name: str, properties: Mapping[str, Property]) -> None:
        """Give a unit other properties until it ends. ``HostRefused``."""
        try:
            self._ask("SetUnitProperties", "sba(sv)", (name, True, list(properties.items())))
        except Refused as refused:
            raise HostRefused("change", name, str(refused)) from None

    def attach(self, name: str, pid: int) -> None:
        """Move a process of this user into the group of a unit. ``HostRefused``."""
        try:
            self._ask("AttachProcessesToUnit", "ssau", (name, "", [pid]))
        except Refused as refused:
            raise HostRefused("enter", name, str(refused)) from None

    def group(self, name: str) -> str:
        """The path of a unit's control group, from the top of the tree. ``HostRefused``."""
        try:
            return str(self._property(name, "org.freedesktop.systemd1.Scope", "ControlGroup"))
        except Refused as refused:
            raise HostRefused("find", f"the control group of {name}", str(refused)) from None

    def _stands(self, name: str) -> bool:
        """False for a unit that has ended, or is about to."""
        try:
            state = self._property(name, "org.freedesktop.systemd1.Unit", "ActiveState")
        except Refused:
            return False
        if state == "failed":
            self._ask("ResetFailedUnit", "s", (name,))
        return state == "active"

    def _property(self, unit: str, interface: str, name: str) -> object:
        place = f"{_PLACE}/unit/{_escaped(unit)}"
        address = DBusAddress(place, _MANAGER.bus_name, "org.freedesktop.DBus.Properties")
        return self._call(address, "Get", "ss", (interface, name))[0][1]

    def _ask(self, method: str, signature: str, body: tuple[object, ...]) -> tuple[Any, ...]:
        return self._call(_MANAGER, method, signature, body)

    def _call(
        self, address: DBusAddress, method: str, signature: str, body: tuple[object, ...]
    ) -> tuple[Any, ...]:
        try:
            message = new_method_call(address, method, signature, body)
            reply = self._bus.send_and_get_reply(message, timeout=_SECONDS)
        except OSError as error:
            raise Refused("", f"systemd does not answer: {error}") from None
        if reply.header.message_type is MessageType.error:
            words = str(reply.body[0]) if reply.body else ""
            raise Refused(str(reply.header.fields.get(HeaderFields.error_name)), words)
        return tuple(reply.body)

    def _job(self, method: str, signature: str, body: tuple[object, ...]) -> None:
        """Call what begins a job, and wait for the job's end."""
        rule = MatchRule(
            type="signal", interface=_MANAGER.interface, member="JobRemoved", path=_MANAGER.object_path
        )
        ended: deque[Any] = deque()
        with self._bus.filter(rule, queue=ended):
            self._bus.send_and_get_reply(message_bus.AddMatch(rule), timeout=_SECONDS)
            job = self._ask(method, signature, body)[0]
            deadline = time.monotonic() + _SECONDS
            while True:
                try:
                    said = self._bus.recv_until_filtered(ended, timeout=max(0, deadline - time.monotonic()))
                except OSError as error:
                    raise Refused("", f"systemd does not finish: {error}") from None
                _, path, _, result = said.body
                if path == job and result != "done":
                    raise Refused("", f"systemd could not: {result}")
                if path == job:
                    return


def _user_bus() -> str:
    address = os.environ.get("DBUS_SESSION_BUS_ADDRESS")
    folder = os.environ.get("XDG_RUNTIME_DIR")
    if not address and not folder:
        raise RuntimeError("neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR is set")
    return address or f"unix:path={folder}/bus"


def _greeted(address: str) -> socket.socket:
    """A connection on which the bus knows who we are. It asks the kernel: in a user namespace the id that
    we could name is not the one that it sees. D-Bus specification, "Authentication Protocol"."""
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        channel.settimeout(_SECONDS)
        channel.connect(address)
        channel.sendall(b"\0AUTH EXTERNAL\r\nDATA\r\n")
        said = b""
        while said.count(b"\r\n") < 2 and not said.startswith(b"REJECTED"):
            part = channel.recv(1024)
            if not part:
                raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
            said += part
        if b"\nOK " not in said:
            raise PermissionError(errno.EACCES, "it does not let us in")
        channel.sendall(b"BEGIN\r\n")
        channel.settimeout(None)
    except BaseException:
        channel.close()
        raise
    return channel


def _escaped(unit: str) -> str:
    """A unit's name as part of an object path: all but ASCII letters and digits as ``_`` and two digits."""
    return "".join(
        chr(sign) if chr(sign).isalnum() and sign < 128 and not (place == 0 and chr(sign).isdigit())
        else f"_{sign:02x}"
        for place, sign in enumerate(unit.encode())
    )  # fmt: skip
