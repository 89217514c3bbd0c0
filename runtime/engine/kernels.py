"""A Jupyter kernel in a container: its sockets are files, and we pass on what comes and goes.

A client names five ports of the host at which it will look for the kernel (jupyter_client's "connection
files"). The container has a network of its own, where these ports would be nobody's. So the kernel
is told to use sockets in a directory that only it and we see, and each connection to a port is carried
to the socket of that name, byte by byte: what is signed or encrypted stays so.
"""

import os
import socket
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import msgspec

from sandcell.runtime.container.options import Options
from sandcell.runtime.errors import BadInput, HostRefused, StartFailed

if TYPE_CHECKING:
    from sandcell.runtime.container.running import Running
    from sandcell.runtime.engine.engine import Engine

CHANNELS = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")

_INSIDE = "/run/sandcell/out"
_SOCKET = f"{_INSIDE}/kernel"  # and "-" and the channel's number, as ZeroMQ's users write ipc addresses
_PIECE = 1 << 18
_RETRY = 0.01

# The file is copied because a kernel writes to its own, and removes it at its end. Who is not root inside
# is not us outside, and we must be let write to the sockets (unix(7)). The parent is pid 1, which does not go
# away; a kernel that is told of no parent believes to be in a terminal, and says so. What is imported lives
# on, so looking for garbage meanwhile only costs: a seventh of the start.
_BEGIN = f"""\
import gc
gc.disable()
import os, runpy, shutil, sys, threading, time
sockets = [f"{_SOCKET}-{{number}}" for number in range(1, {len(CHANNELS) + 1})]
before = os.umask(0o077)
shutil.copyfile("/run/sandcell/in/connection.json", "{_INSIDE}/connection.json")
os.umask(before if os.getuid() == 0 else 0)
def settle():
    while not all(map(os.path.exists, sockets)):
        time.sleep(0.02)
    os.umask(before)
    time.sleep(0.5)
    gc.enable()
threading.Thread(target=settle, daemon=True).start()
sys.argv = ["ipykernel_launcher", "-f", "{_INSIDE}/connection.json", "--IPKernelApp.parent_handle=1"]
runpy.run_module("ipykernel_launcher", run_name="__main__", alter_sys=True)
"""
_ASK = "import ipykernel, zmq; print(ipykernel.__version__)"


def read_connection(path: str) -> dict[str, Any]:
    """What a connection file says. ``BadInput`` where it is none, or of a transport we do not know."""
    try:
        found = msgspec.json.decode(Path(path).read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise BadInput("read connection file", path, error.strerror or "it failed") from None
    except msgspec.DecodeError as error:
        raise BadInput("read connection file", path, str(error)) from None
    if found.get("transport", "tcp") not in ("tcp", "ipc") or not isinstance(found.get("ip"), str):
        raise BadInput("read connection file", path, "it names neither tcp ports nor ipc sockets")
    for channel in CHANNELS:
        if not isinstance(found.get(channel), int):
            raise BadInput("read connection file", path, f"{channel} is missing")
    return found


def inside(connection: Mapping[str, Any]) -> dict[str, Any]:
    """The connection file for the kernel itself: the same key, and sockets in place of ports."""
    numbers = {channel: number for number, channel in enumerate(CHANNELS, 1)}
    return {**connection, "transport": "ipc", "ip": _SOCKET, **numbers}


def check(engine: "Engine", image: str) -> str:
    """The version of the ipykernel that ``image`` has; ``BadInput`` where it cannot run one."""
    options = Options(remove=True, die_with_client=True, entrypoint=())
    hint = "install it in its Dockerfile (RUN python3 -m pip install ipykernel), or take host:kernel"
    try:
        asked = engine.run(image, ("python3", "-c", _ASK), options)
    except StartFailed as error:
        if error.status != 127:
            raise
        raise BadInput("make a kernel of", image, "there is no python3 in it", hint) from None
    if asked.status:
        said = asked.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        cause = "there is no ipykernel in it" if "No module named" in said else "its ipykernel does not start"
        raise BadInput("make a kernel of", image, f"{cause} ({said or f'status {asked.status}'})", hint)
    return asked.stdout.decode(errors="replace").strip()


def launch(engine: "Engine", image: str, connection: Mapping[str, Any], options: Options) -> "Running":
    """A kernel in a new container of ``image``, which ends with us and is removed then.

    From now on the addresses of ``connection`` are ours, and what connects there reaches the kernel:
    at once, or as soon as it listens. ``HostRefused`` where one of them is taken; nothing runs then.
    """
    listening = _listen(connection)
    try:
        options = msgspec.structs.replace(
            options,
            files={"in/connection.json": msgspec.json.encode(inside(connection))},
            entrypoint=(),
            init=True,
            remove=True,
            die_with_client=True,
        )
        running = engine.launch(image, ("python3", "-c", _BEGIN), options)
    except BaseException:
        for channel in listening:
            channel.close()
        raise
    place = os.open(running.exchange, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for number, channel in enumerate(listening, 1):
        name = f"{os.path.basename(_SOCKET)}-{number}"
        Thread(target=_serve, args=(channel, place, name), daemon=True).start()
    return running


def _listen(connection: Mapping[str, Any]) -> list[socket.socket]:
    found: list[socket.socket] = []
    for channel in CHANNELS:
        try:
            found.append(_listen_at(connection, int(connection[channel])))
        except OSError as error:
            for one in found:
                one.close()
            where = f"{connection['ip']}:{connection[channel]}"
            raise HostRefused("listen at", where, error.strerror or "it failed") from None
    return found


def _listen_at(connection: Mapping[str, Any], port: int) -> socket.socket:
    ip = connection["ip"]
    if connection.get("transport") == "ipc":
        path = f"{ip}-{port}"
        if os.path.exists(path):
            os.unlink(path)  # of the kernel before this one: a restart keeps the addresses
        listening = socket.socket(socket.AF_UNIX)
        before = os.umask(0o077)
        try:
            listening.bind(path)
        finally:
            os.umask(before)
    else:
        listening = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("" if ip == "*" else ip, port))
    listening.listen()
    return listening


def _serve(listening: socket.socket, place: int, name: str) -> None:
    while True:
        caller, _ = listening.accept()
        if caller.family != socket.AF_UNIX:
            caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        Thread(target=_carry, args=(caller, place, name), daemon=True).start()


def _carry(caller: socket.socket, place: int, name: str) -> None:
    try:
        kernel = call(place, name)
    except OSError:
        caller.close()
        return
    Thread(target=_pour, args=(kernel, caller), daemon=True).start()
    _pour(caller, kernel)


def call(place: int, name: str) -> socket.socket:
    """Connect to the kernel, as soon as it is there. A link that lies in the socket's place is not
    followed: what is in the directory is the container's doing, and the host's sockets are not for it."""
    while True:
        try:
            found = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place)
            try:
                if stat.S_ISSOCK(os.fstat(found).st_mode):
                    return _connected(f"/proc/self/fd/{found}")
            finally:
                os.close(found)
        except (FileNotFoundError, ConnectionRefusedError):
            pass  # not yet
        time.sleep(_RETRY)


def _connected(path: str) -> socket.socket:
    kernel = socket.socket(socket.AF_UNIX)
    try:
        kernel.connect(path)
    except BaseException:
        kernel.close()
        raise
    return kernel


def _pour(source: socket.socket, target: socket.socket) -> None:
    """Everything from one to the other, and its end."""
    try:
        while data := source.recv(_PIECE):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for one in (source, target):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it was closed already
