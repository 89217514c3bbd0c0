"""The verbs on a container that is there: start, kill, delete, ps, pause, resume, update."""

import os
import signal
import socket

import msgspec

from sandcell.runtime.container import hooks, processes
from sandcell.runtime.container.bundle_resources import files, limits
from sandcell.runtime.errors import (
    ContainerNotFound,
    HostRefused,
    InvalidDocument,
    InvalidOption,
    SandcellError,
    WrongState,
)
from sandcell.runtime.linux.cgroups_files import wait_until
from sandcell.runtime.linux.process import Identity, alive, send_signal
from sandcell.runtime.oci.decode import decode, encode
from sandcell.runtime.oci.spec import Hooks, Resources
from sandcell.runtime.oci.spec_linux import BlockIo, Cpu, Memory, Pids
from sandcell.runtime.oci_cli import birth
from sandcell.runtime.oci_cli.arguments import Line
from sandcell.runtime.oci_cli.log import warn
from sandcell.runtime.oci_cli.record import CREATED, DOOR, PAUSED, RUNNING, STOPPED, Kept

_PATIENCE = 10.0


def start(line: Line, root: str) -> None:
    """Let the program run. ``WrongState`` unless the container is created, ``StartFailed`` when its
    program cannot be executed; it is stopped then."""
    kept = Kept(root, line.id)
    try:
        init = kept.need("start", CREATED)
        state = encode(kept.state(CREATED))
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            channel.connect(kept.door)
            channel.send(state)
            message = channel.recv(8192)
        except OSError:
            message = b"!5 it does not answer"
        os.unlink(f"{kept.path}/{DOOR}")
        try:
            birth.answered(message)
        except SandcellError:
            send_signal(init, signal.SIGKILL)
            raise
        finally:
            channel.close()
        wanted = kept.spec.hooks or Hooks()
        try:
            hooks.call(wanted.poststart, encode(kept.state(RUNNING)), "poststart")
        except HostRefused as error:
            # The container runs already; runtime.md wants a warning and no more.
            warn(str(error))
    finally:
        kept.close()


def kill(line: Line, root: str) -> None:
    """Send a signal (SIGTERM) to init, with ``--all`` to every process. ``WrongState`` where nothing
    runs."""
    number = signal_number(line.words[1] if len(line.words) > 1 else "TERM")
    kept = Kept(root, line.id)
    try:
        group = kept.group
        if line.has("all") and group is not None and group.exists:
            processes.signal_all(group.pids(), number)
            return
        init = kept.need("kill", CREATED, RUNNING, PAUSED)
        send_signal(init, number)
        if number == signal.SIGKILL and group is not None and group.frozen:
            group.thaw()  # a frozen process cannot even die, on version 1
    finally:
        kept.close()


def signal_number(text: str) -> int:
    """9, KILL or SIGKILL. ``InvalidOption`` for no signal."""
    if text.isdigit() and 0 <= int(text) <= signal.SIGRTMAX:
        return int(text)
    name = text.upper() if text.upper().startswith("SIG") else f"SIG{text.upper()}"
    if name in signal.Signals.__members__:
        return signal.Signals[name].value
    raise InvalidOption("kill", "", f"{text!r} is no signal", "as KILL, SIGKILL or 9")


def delete(line: Line, root: str) -> None:
    """Undo what ``create`` did. ``WrongState`` unless the container has stopped, or ``--force``."""
    try:
        kept = Kept(root, line.id)
    except ContainerNotFound:
        if line.has("force"):
            return
        raise
    try:
        status = kept.status
        if status != STOPPED and not line.has("force"):
            cause = f"it is {status}, not {STOPPED}"
            raise WrongState("delete", f"container {line.id}", cause, "kill it first, or --force")
        destroy(kept)
    finally:
        kept.close()


def destroy(kept: Kept) -> None:
    """End everything of the container, remove its group and its record, call its poststop hooks."""
    init, group = kept.record.init, kept.group
    if init is not None and alive(init):
        send_signal(init, signal.SIGKILL)
    if group is not None and kept.record.own_cgroup:
        group.kill()
    if init is not None and not wait_until(lambda: not alive(init), _PATIENCE):
        raise HostRefused("end", f"container {kept.record.id}", "its process does not end")
    if group is not None and kept.record.own_cgroup:
        group.remove()
        _parents(kept.record.cgroup)
    stopped = encode(kept.state(STOPPED))
    wanted = kept.spec.hooks or Hooks()
    kept.remove()
    for hook in wanted.poststop:
        try:
            hooks.call((hook,), stopped, "poststop")
        except HostRefused as error:
            warn(str(error))


def _parents(path: str) -> None:
    from sandcell.runtime.linux import cgroups

    parent = path.strip("/").rpartition("/")[0]
    if parent == "sandcell-oci":
        cgroups.Cgroup(parent, cgroups.layout()).prune()


def pause(line: Line, root: str) -> None:
    """Freeze every process. ``WrongState`` unless running."""
    _freezer(line, root, "pause", RUNNING)


def resume(line: Line, root: str) -> None:
    """Let them run on. ``WrongState`` unless paused."""
    _freezer(line, root, "resume", PAUSED)


def _freezer(line: Line, root: str, verb: str, needed: str) -> None:
    kept = Kept(root, line.id)
    try:
        statuses = (RUNNING, CREATED) if needed == RUNNING else (needed,)
        kept.need(verb, *statuses)
        group = kept.group
        if group is None:
            raise HostRefused(verb, f"container {line.id}", "it has no control group")
        group.freeze() if verb == "pause" else group.thaw()
    finally:
        kept.close()


def pids(line: Line, root: str) -> list[int]:
    """Every process of the container, as the host numbers them."""
    kept = Kept(root, line.id)
    try:
        init: Identity = kept.need("ps", CREATED, RUNNING, PAUSED)
        return processes.of_container(init, kept.group)
    finally:
        kept.close()


def update(line: Line, root: str) -> None:
    """Change limits of a container that is there."""
    kept = Kept(root, line.id)
    try:
        kept.need("update", CREATED, RUNNING, PAUSED)
        group = kept.group
        if group is None:
            raise HostRefused("update", f"container {line.id}", "it has no control group")
        resources = _resources(line)
        group.limit(limits(resources))
        for file in files(resources, unified=group.layout.unified):
            group.write(file.controller, file.name, file.text)
    finally:
        kept.close()


def _resources(line: Line) -> Resources:
    if line.has("resources"):
        path = line.get("resources")
        try:
            with open("/dev/stdin" if path == "-" else path, "rb") as file:
                return decode(Resources, file.read(), object=path)
        except OSError as error:
            raise InvalidDocument("read", path, os.strerror(error.errno or 0)) from None

    def number(name: str) -> int | None:
        text = line.get(name)
        if text and not text.lstrip("-").isdigit():
            raise InvalidOption("update", "", f"--{name} {text!r} is no number")
        return int(text) if text else None

    most = number("pids-limit")
    weight = number("blkio-weight")
    return Resources(
        memory=Memory(
            limit=number("memory"), reservation=number("memory-reservation"), swap=number("memory-swap")
        ),
        cpu=Cpu(
            quota=number("cpu-quota"),
            period=number("cpu-period"),
            shares=number("cpu-share"),
            cpus=line.get("cpuset-cpus"),
            mems=line.get("cpuset-mems"),
        ),
        pids=None if most is None else Pids(most),
        block_io=None if weight is None else BlockIo(weight=weight),
    )


def describe(kept: Kept) -> dict[str, object]:
    """The state as ``state`` and ``list`` print it."""
    told: dict[str, object] = msgspec.to_builtins(kept.state())
    # Some callers look for the key even of a container that has stopped.
    told.setdefault("pid", 0)
    told["created"] = timestamp(kept.record.created)
    told["rootfs"] = kept.spec.root.path if kept.spec.root else ""
    return told


def timestamp(seconds: float) -> str:
    """RFC 3339, in UTC."""
    import time

    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1e9):09d}Z"
