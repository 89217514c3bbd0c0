"""``create`` and ``run``: a bundle becomes a container."""

import os
import signal
import socket
import time
from collections.abc import Callable

import msgspec

from sandcell.runtime.container import hooks
from sandcell.runtime.container.bundle_mounts import parse
from sandcell.runtime.container.bundle_plan import Setting, bundle_plan
from sandcell.runtime.container.bundle_resources import controllers
from sandcell.runtime.container.bundle_tree import idmapped
from sandcell.runtime.errors import HostRefused, InvalidDocument
from sandcell.runtime.linux import cgroups
from sandcell.runtime.linux.alive import boot_id, start_time
from sandcell.runtime.linux.idmap import IdMap, Range
from sandcell.runtime.linux.namespaces import FLAGS
from sandcell.runtime.linux.syscall import clone3
from sandcell.runtime.oci.decode import encode
from sandcell.runtime.oci.spec import Hooks, IdMapping, Linux, Resources, Seccomp, Spec
from sandcell.runtime.oci_cli import birth, host_mounts, limits, verbs
from sandcell.runtime.oci_cli.arguments import Line
from sandcell.runtime.oci_cli.bundle import load, namespaces
from sandcell.runtime.oci_cli.check import SELINUX, settled
from sandcell.runtime.oci_cli.log import warn
from sandcell.runtime.oci_cli.record import CREATING, FILTERS, STOPPED, Kept, Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandcell.runtime.oci_cli.scope import Seat


def create(line: Line, root: str, *, manager: str) -> birth.Child:
    """Make the container of ``line``; it waits for ``start``. If it fails, nothing of it is left."""
    folder = os.path.realpath(line.get("bundle") or ".")
    spec = load(folder, line.get("config"))
    terminal = spec.process is not None and spec.process.terminal
    attended = line.command == "run" and not line.has("detach")
    if terminal != line.has("console-socket") and not (terminal and attended):
        has = "asks for a terminal" if terminal else "asks for no terminal"
        raise InvalidDocument("create", "container", f"process {has}, see --console-socket")
    kept = Kept(root, line.id, make=True)
    seat: Seat | None = None
    try:
        if manager == "systemd":
            from sandcell.runtime.oci_cli import scope

            kept.record = Record(line.id, folder, time.time())
            seat = scope.Seat(kept, spec.linux or Linux(), encode(spec))
        child = _create(line, kept, spec, folder, manager, root, seat)
    except BaseException:
        verbs.remove_groups(kept)
        kept.remove()
        raise
    finally:
        if seat is not None:
            seat.close()
        kept.close()
    return child


def _create(
    line: Line, kept: Kept, spec: Spec, folder: str, manager: str, root: str, seat: "Seat | None"
) -> birth.Child:
    linux = spec.linux or Linux()
    new, joins = namespaces(spec)
    group = seat.group if seat is not None else _group(line.id, linux, manager)
    own_group = group is not None and not group.exists
    record = kept.record if seat is not None else Record(line.id, folder, time.time())
    record.oci_version, record.annotations = spec.oci_version, spec.annotations
    record.root = spec.root.path if spec.root else ""
    record.startable = spec.process is not None
    record.hooks = _later_hooks(spec.hooks or Hooks())
    maps = _maps(linux.uid_mappings, linux.gid_mappings) if "user" in new else None
    user = maps is not None or any(name == "user" for name, _ in joins)
    if spec.process is not None:
        spec = msgspec.structs.replace(spec, process=settled(spec.process, all_ours=user))
    preserve = line.number("preserve-fds")
    own = new | {name for name, _ in joins}
    stood = [] if "mnt" in own else host_mounts.below(record.root)
    trees = _idmapped(spec, folder)
    agent = _agent(linux.seccomp)
    setting = Setting(
        root=record.root,
        bundle=folder,
        own=own,
        fresh=new,
        compile_filter=filter_keeper(root),
        cgroup=group is not None,
        cgroup_mounts=cgroups.layout().mounts,
        cgroup_trees=_trees(group, linux),
        opened=frozenset(trees),
        agent=agent,
        preserve=preserve,
        label=_label(linux.mount_label),
        setgroups=not (maps is not None and maps.single and os.geteuid() != 0),
        keyring=not line.has("no-new-keyring"),
        user_namespace=user,
        user_root=(maps.uids[0].inside, maps.gids[0].inside) if maps else (0, 0),
    )
    steps = bundle_plan(spec, setting)
    door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    door.bind(kept.door)
    door.listen(8)
    child: birth.Child | None = None
    try:
        if group is not None and seat is None:
            if own_group:
                # Should this process be killed meanwhile, ``delete --force`` finds what to remove.
                record.cgroup, record.groups = group.path, group.possible()
                kept.record = record
                kept.keep(encode(spec))
            limits.make(group, linux.resources or Resources())
            record.cgroup, record.freezer = group.path, group.freezer
            record.groups = list(dict.fromkeys(group.directories().values())) if own_group else []
        wanted = birth.Wanted(new, _opened(joins), _offsets(linux))
        move = seat.mover if seat is not None else None
        child = birth.bear(steps, wanted, group=group, door=door, trees=trees, preserve=preserve, move=move)
        if seat is not None:
            seat.limit()
        if user:
            birth.map_ids(child, maps)
        if spec.process is not None:
            birth.outfit(child.pid, spec.process)
        for name, device in linux.net_devices.items():
            _move(name, child.pid, device.name or name)
        if group is not None:
            birth.give_doors(child, group)
        record.pid, record.boot = child.pid, boot_id()
        record.began = start_time(child.pid, ended=True) or 0
        kept.record = record
        birth.listen(child, lambda: _runtime_hooks(kept, spec.hooks or Hooks()))
        if child.console >= 0 and line.has("console-socket"):
            birth.send_console(line.get("console-socket"), child.console)
        if "mnt" not in own:
            record.mounts = host_mounts.since(stood, record.root)
        kept.keep(encode(spec))
        if line.has("pid-file"):
            write_pid_file(line.get("pid-file"), child.pid)
    except BaseException:
        if child is not None:
            birth.end(child)
        if "mnt" not in own:
            host_mounts.undo(host_mounts.since(stood, record.root))
        if seat is not None:
            seat.close()
        verbs.remove_groups(kept)
        if kept.record.pid and spec.hooks:
            # What failed is destroyed as by ``delete``, and its hooks are told.
            verbs.poststop(spec.hooks.poststop, kept.state(STOPPED), folder)
        raise
    finally:
        door.close()
        for fd in trees.values():
            os.close(fd)
    return child


def _later_hooks(wanted: Hooks) -> dict[str, list[dict[str, object]]]:
    """Those that other commands call."""
    later = {"poststart": wanted.poststart, "poststop": wanted.poststop}
    return {moment: msgspec.to_builtins(listed) for moment, listed in later.items() if listed}


def _runtime_hooks(kept: Kept, wanted: Hooks) -> bytes:
    state = kept.state(CREATING)
    hooks.call(wanted.prestart, state, "prestart", kept.record.bundle)
    hooks.call(wanted.create_runtime, state, "createRuntime", kept.record.bundle)
    return state


def filter_keeper(root: str) -> Callable[[Seccomp], tuple[bytes, int]]:
    """What gives the program and the flags of a filter, which it keeps below ``root``."""

    def compile_filter(profile: Seccomp) -> tuple[bytes, int]:
        from sandcell.runtime.container.seccomp_kept import filter_flags, kept_program

        return kept_program(f"{root}/{FILTERS}", profile), filter_flags(profile)

    return compile_filter


def _maps(uids: tuple[IdMapping, ...], gids: tuple[IdMapping, ...]) -> IdMap:
    return IdMap(
        tuple(Range(m.container_id, m.host_id, m.size) for m in uids),
        tuple(Range(m.container_id, m.host_id, m.size) for m in gids),
    )


def _group(name: str, linux: Linux, manager: str) -> cgroups.Cgroup | None:
    if manager == "disabled":
        return None
    layout = cgroups.layout()
    wanted = linux.resources is not None and bool(
        linux.resources.memory or linux.resources.cpu or linux.resources.pids or linux.resources.unified
    )
    if not layout.writable and not wanted:
        return None  # nothing is limited, so nothing is missed
    if linux.cgroups_path.count(":") == 2 and "/" not in linux.cgroups_path:
        cause = "it is a name for systemd, and sandcell-oci makes groups itself"
        raise InvalidDocument("use", f"cgroupsPath {linux.cgroups_path}", cause, "--cgroup-manager cgroupfs")
    path = os.path.normpath("/" + linux.cgroups_path) if linux.cgroups_path else f"sandcell-oci/{name}"
    return cgroups.Cgroup(path, layout)


def _trees(group: cgroups.Cgroup | None, linux: Linux) -> tuple[tuple[str, str], ...]:
    """(directory below /sys/fs/cgroup, host's directory) of the groups of a container that shares the
    host's cgroup namespace."""
    if group is None:
        return ()
    if group.layout.unified:
        return tuple(group.directories().items())
    wanted = [name for name in group.layout.bases if name in cgroups.USUAL]
    wanted += sorted(controllers(linux.resources or Resources(), unified=False) - set(wanted))
    together: dict[str, list[str]] = {}
    for name in wanted:
        if name in group.layout.bases:
            together.setdefault(group.layout.bases[name], []).append(name)
    return tuple((",".join(names), f"{base}/{group.path}") for base, names in together.items())


def _opened(joins: tuple[tuple[str, str], ...]) -> tuple[tuple[str, int], ...]:
    found = []
    for name, path in joins:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            cause = f"{path}: {os.strerror(error.errno or 0)}"
            raise InvalidDocument("join", f"{name} namespace", cause) from None
        kind = os.readlink(f"/proc/self/fd/{fd}").partition(":[")
        if kind[1] and kind[0] != name:
            raise InvalidDocument("join", f"{name} namespace", f"{path} is a {kind[0]} namespace")
        found.append((name, fd))
    return tuple(found)


def _offsets(linux: Linux) -> str:
    return "".join(f"{clock} {o.secs} {o.nanosecs}\n" for clock, o in linux.time_offsets.items())


def _move(device: str, pid: int, name: str) -> None:
    from sandcell.runtime.linux.net_devices import move

    try:
        move(device, pid, name)
    except OSError as error:
        cause = error.strerror or os.strerror(error.errno or 0)
        raise HostRefused("move", f"network device {device}", f"as {name}: {cause}") from None


def _idmapped(spec: Spec, folder: str) -> dict[int, int]:
    trees: dict[int, int] = {}
    for key, mount in enumerate(spec.mounts):
        wanted = parse(mount)
        if not wanted.idmap:
            continue
        linux = spec.linux or Linux()
        maps = _maps(mount.uid_mappings or linux.uid_mappings, mount.gid_mappings or linux.gid_mappings)
        if not maps.uids or not maps.gids:
            cause = "without mappings of its own or a user namespace there is nothing to map by"
            raise InvalidDocument("idmap", mount.destination, cause, "give uidMappings and gidMappings")
        pid, pidfd = clone3(FLAGS["user"], signal.SIGCHLD)
        if pid == 0:
            signal.pause()
            os._exit(0)
        child = birth.Child(pid, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        try:
            birth.write_maps(pid, maps)
            user_namespace = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            birth.end(child)
            os.close(pidfd)
        source = os.path.join(folder, mount.source)
        try:
            trees[key] = idmapped(
                source, user_namespace, recursive=wanted.recursive, whole=wanted.idmap == "ridmap"
            )
        except OSError as error:
            cause = f"{error.filename}: {os.strerror(error.errno or 0)}"
            raise HostRefused("idmap", mount.source, cause, "its file system must support it") from None
        finally:
            os.close(user_namespace)
    return trees


def _label(text: str) -> str:
    if text and not os.path.exists(SELINUX):
        warn(f"mountLabel {text} is left out: this host enforces no such labels")
        return ""
    return text


def _agent(seccomp: Seccomp | None) -> int:
    if seccomp is None or not seccomp.listener_path:
        return -1
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        channel.connect(seccomp.listener_path)
    except OSError as error:
        cause = os.strerror(error.errno or 0)
        raise HostRefused("reach", f"seccomp agent {seccomp.listener_path}", cause) from None
    return channel.detach()


def write_pid_file(path: str, pid: int) -> None:
    """Write ``pid`` into ``path``, which appears complete."""
    # Whoever waits for the file shall never read half of it.
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}")
    with open(temporary, "w", encoding="ascii") as file:
        file.write(str(pid))
    os.rename(temporary, path)
