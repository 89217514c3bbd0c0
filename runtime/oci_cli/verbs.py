"""The verbs on a container that is there: start, kill, delete, ps, pause, resume.

What is heavy is imported where it is needed: a container without hooks whose processes have ended is
started and deleted by a few system calls.
"""

import os

from sandcell.runtime.errors import ContainerNotFound, HostRefused, InvalidOption, SandcellError, WrongState
from sandcell.runtime.oci_cli.arguments import Line
from sandcell.runtime.oci_cli.log import warn
from sandcell.runtime.oci_cli.record import CREATED, DOOR, PAUSED, RUNNING, STOPPED, Kept, names, version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandcell.runtime.oci.spec import Hook

_PATIENCE = 10.0
_KILL, _TERM = 9, 15
# From this version on a failing poststart hook ends the container; before it is warned of.
_STRICT = (1, 2, 1)


def start(line: Line, root: str) -> None:
    """Let the program run. ``WrongState`` unless the container is created and has a process,
    ``StartFailed`` when a hook fails or the program cannot be executed; it is destroyed then."""
    kept = Kept(root, line.id)
    try:
        kept.need("start", CREATED)
        if not kept.record.startable:
            raise WrongState("start", f"container {line.id}", "its config.json has no process")
        try:
            _knock(kept)
            _poststart(kept)
        except SandcellError:
            # runtime.md, "Lifecycle": it is stopped, and goes on at the step that destroys it.
            destroy(kept)
            raise
    finally:
        kept.close()


def _knock(kept: Kept) -> None:
    import _socket  # the C half: what ``socket`` adds to it takes longer than the whole command

    channel = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    try:
        channel.connect(kept.door)
        channel.send(kept.state(CREATED))
        message = channel.recv(8192)
    except OSError:
        message = b"?it does not answer"
    finally:
        channel.close()
        os.unlink(f"{kept.path}/{DOOR}")
    if message:
        from sandcell.runtime.oci_cli.birth import answered

        answered(message)


def _poststart(kept: Kept) -> None:
    wanted = kept.hooks("poststart")
    if not wanted:
        return
    from sandcell.runtime.container import hooks

    state = kept.state(RUNNING)
    for hook in wanted:
        try:
            hooks.call((hook,), state, "poststart", kept.record.bundle)
        except HostRefused as error:
            if version(kept.record.oci_version) >= _STRICT:
                raise
            warn(str(error))


def kill(line: Line, root: str) -> None:
    """Send a signal (SIGTERM) to init, with ``--all`` to every process. ``WrongState`` where nothing
    runs."""
    number = signal_number(line.words[1]) if len(line.words) > 1 else _TERM
    for name in _named(line, root):
        _kill(line, root, name, number)


def _named(line: Line, root: str) -> list[str]:
    """The container of the command line; with ``--regex`` all those whose id it matches."""
    if not line.has("regex"):
        return [line.id]
    import re

    try:
        pattern = re.compile(line.id)
    except re.error as error:
        raise InvalidOption(line.command, "", f"--regex {line.id!r}: {error}") from None
    return [name for name in names(root) if pattern.search(name)]


def _kill(line: Line, root: str, name: str, number: int) -> None:
    kept = Kept(root, name)
    try:
        if line.has("all") and kept.record.cgroup:
            group = kept.group
            if group is not None and group.exists:
                from sandcell.runtime.container import processes

                processes.signal_all(group.pids(), number)
                return
        status = kept.need("kill", CREATED, RUNNING, PAUSED)
        _signal(kept, number)
        group = kept.group if status == PAUSED and number == _KILL else None
        if group is not None:
            group.thaw()  # a frozen process cannot even die, on version 1
    finally:
        kept.close()


def _signal(kept: Kept, number: int) -> None:
    """To init, and to no later process with its pid."""
    from signal import pidfd_send_signal

    from sandcell.runtime.linux.syscall import pidfd_open

    try:
        pidfd = pidfd_open(kept.record.pid)
    except ProcessLookupError:
        return
    try:
        if kept.record.alive:
            pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        pass
    finally:
        os.close(pidfd)


def signal_number(text: str) -> int:
    """9, KILL, SIGKILL or RTMIN+3. ``InvalidOption`` for no signal."""
    import signal

    if text.isdecimal() and 0 <= int(text) <= signal.SIGRTMAX:
        return int(text)
    name = text.upper() if text.upper().startswith("SIG") else f"SIG{text.upper()}"
    base, sign, offset = name.partition("+") if "+" in name else name.partition("-")
    if base in signal.Signals.__members__ and (not sign or offset.isdecimal()):
        number = signal.Signals[base] + int(f"{sign}{offset}" if sign else 0)
        if number == signal.Signals[base] or signal.SIGRTMIN <= number <= signal.SIGRTMAX:
            return int(number)
    raise InvalidOption("kill", "", f"{text!r} is no signal", "as KILL, SIGKILL or 9")


def delete(line: Line, root: str) -> None:
    """Undo what ``create`` did. ``WrongState`` unless the container has stopped, or ``--force``."""
    for name in _named(line, root):
        _delete(line, root, name)


def _delete(line: Line, root: str, name: str) -> None:
    try:
        kept = Kept(root, name)
    except ContainerNotFound:
        if line.has("force"):
            return
        raise
    try:
        status = kept.status
        if status != STOPPED and not line.has("force"):
            cause = f"it is {status}, not {STOPPED}"
            raise WrongState("delete", f"container {name}", cause, "kill it first, or --force")
        destroy(kept)
    finally:
        kept.close()


def destroy(kept: Kept) -> None:
    """End everything of the container, remove its group, its mounts and its record, call its poststop
    hooks."""
    record = kept.record
    if record.alive:
        _signal(kept, _KILL)
    remove_groups(kept)
    if record.alive:
        from sandcell.runtime.linux.cgroups_files import wait_until

        if not wait_until(lambda: not record.alive, _PATIENCE):
            raise HostRefused("end", f"container {record.id}", "its process does not end")
    if record.mounts:
        from sandcell.runtime.oci_cli import host_mounts

        host_mounts.undo(record.mounts)
    stopped, wanted = kept.state(STOPPED), kept.hooks("poststop")
    kept.remove()
    if wanted:
        poststop(wanted, stopped, record.bundle)


def poststop(wanted: "tuple[Hook, ...]", state: bytes, bundle: str) -> None:
    """Call each of the hooks; one that fails is warned of."""
    from sandcell.runtime.container import hooks

    for hook in wanted:
        try:
            hooks.call((hook,), state, "poststop", bundle)
        except HostRefused as error:
            warn(str(error))


def remove_groups(kept: Kept) -> None:
    """Remove the control groups that were made for the container, ending what still runs in them."""
    if kept.record.unit and (not kept.record.groups or any(map(os.path.isdir, kept.record.groups))):
        # Where its group is gone systemd has forgotten the scope already.
        from sandcell.runtime.oci_cli import scope

        scope.end(kept)
    for directory in kept.record.groups:
        try:
            os.rmdir(directory)
        except FileNotFoundError:
            pass
        except OSError:
            group = kept.group
            if group is not None:
                group.kill()
                group.remove()
            break
    for directory in kept.record.groups:
        parent = os.path.dirname(directory)
        if parent.endswith("/sandcell-oci"):
            try:
                os.rmdir(parent)
            except OSError:
                pass  # others are in it


def pause(line: Line, root: str) -> None:
    """Freeze every process. ``WrongState`` unless running."""
    _freezer(line, root, "pause", (RUNNING, CREATED))


def resume(line: Line, root: str) -> None:
    """Let them run on. ``WrongState`` unless paused."""
    _freezer(line, root, "resume", (PAUSED,))


def _freezer(line: Line, root: str, verb: str, needed: tuple[str, ...]) -> None:
    kept = Kept(root, line.id)
    try:
        kept.need(verb, *needed)
        group = kept.group
        if group is None:
            raise HostRefused(verb, f"container {line.id}", "it has no control group")
        group.freeze() if verb == "pause" else group.thaw()
    finally:
        kept.close()


def pids(line: Line, root: str) -> list[int]:
    """Every process of the container, as the host numbers them."""
    from sandcell.runtime.container import processes
    from sandcell.runtime.linux.process import Identity

    kept = Kept(root, line.id)
    try:
        kept.need("ps", CREATED, RUNNING, PAUSED)
        record = kept.record
        return processes.of_container(Identity(record.pid, record.began, record.boot), kept.group)
    finally:
        kept.close()


def describe(kept: Kept) -> dict[str, object]:
    """The state as ``state`` and ``list`` print it."""
    record = kept.record
    told = record.state(kept.status)
    # Some callers look for the key even of a container that has stopped.
    told.setdefault("pid", 0)
    told["created"] = timestamp(record.created)
    told["rootfs"] = record.root
    return told


def timestamp(seconds: float) -> str:
    """RFC 3339, in UTC."""
    import time

    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1e9):09d}Z"
