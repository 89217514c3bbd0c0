"""``Spec`` → ``Plan``: which steps make this container, in which order. Pure.

The order is a matter of safety. Everything of the host that the container shall see is opened
first; then the root is changed and the host's tree let go, with nothing in between, for an image's
links may lead anywhere; then the rest is mounted by paths that can only lead into the container;
then rights are given up, last of all the right to make system calls outside the filter.
"""

import resource
import stat
from collections.abc import Callable

import msgspec

from sandcell.runtime.container import steps as s
from sandcell.runtime.container import view_steps as v
from sandcell.runtime.container.identity import NAMESPACES, identity
from sandcell.runtime.errors import InvalidDocument
from sandcell.runtime.linux import mounts
from sandcell.runtime.linux.cgroups_limits import Limits
from sandcell.runtime.linux.idmap import IdMap, Range
from sandcell.runtime.oci.spec import (
    Capabilities,
    Cpu,
    Linux,
    Memory,
    Mount,
    Process,
    Resources,
    Seccomp,
    Spec,
)

_FLAGS = {
    "ro": mounts.MS_RDONLY,
    "nosuid": mounts.MS_NOSUID,
    "nodev": mounts.MS_NODEV,
    "noexec": mounts.MS_NOEXEC,
    "relatime": mounts.MS_RELATIME,
    "strictatime": mounts.MS_STRICTATIME,
}
_IGNORED = ("rw", "suid", "dev", "exec", "defaults", "bind", "rbind", "idmap")

# A user namespace may only mount these where all of the host's can be seen, so before the host's
# tree is let go; and never on a link, by which an image would have them where nothing is masked.
_VISIBLE = ("proc", "sysfs")

NODES = (("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0))
_LINKS = (
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("pts/ptmx", "/dev/ptmx"),
)


class Rootfs(msgspec.Struct, frozen=True):
    """Where the container's files come from: read-only ``lowers`` (bottom first) and one writable
    ``upper``; or without lowers a plain directory at ``path``. ``mapped``: their owners are to be seen
    through the map of the container's user namespace."""

    path: str
    lowers: tuple[str, ...] = ()
    upper: str = ""
    work: str = ""
    volatile: bool = False
    userxattr: bool = False
    mapped: bool = False


class CgroupMount(msgspec.Struct, frozen=True):
    """One file system to mount below /sys/fs/cgroup; ``name`` empty for the only one (v2)."""

    name: str
    fstype: str
    data: str = ""


class View(msgspec.Struct, frozen=True):
    """Something more to be seen in the container: ``open`` makes it (its ``key`` does not matter), and it
    is attached at ``target``, which is made where it is missing."""

    open: s.OpenTree | s.OpenKernel | v.OpenOverlay | v.OpenFile
    target: str
    flags: int = 0


Compile = Callable[[Seccomp], tuple[bytes, int]]


def plan(
    spec: Spec,
    rootfs: Rootfs,
    compile_filter: Compile,
    cgroup_mounts: tuple[CgroupMount, ...] = (),
    wire: s.Connect | s.Slirp | None = None,
    views: tuple[View, ...] = (),
    *,
    reaper: bool = False,
) -> s.Plan:
    """The steps that make the container of ``spec``; ``InvalidDocument`` for what we cannot do.
    ``wire``: what connects its network namespace. ``views``: more mounts, in order. ``reaper``: pid 1
    is a small init."""
    process, linux = spec.process, spec.linux or Linux()
    if process is None:
        raise InvalidDocument("plan", "container", "config.json has no process")
    idmap = IdMap(
        tuple(Range(m.container_id, m.host_id, m.size) for m in linux.uid_mappings),
        tuple(Range(m.container_id, m.host_id, m.size) for m in linux.gid_mappings),
    )
    names = tuple(NAMESPACES[n.type] for n in linux.namespaces if not n.path)
    if "mnt" not in names:
        from sandcell.runtime.container.plan_copied import copied_plan

        return copied_plan(spec, process, rootfs.path, names, idmap, compile_filter, reaper=reaper)
    own = frozenset(names)
    files = _files(spec, rootfs, cgroup_mounts, userns=idmap.user_namespace, own=own, views=views)
    given: tuple[s.OpenMapped, ...] = ()
    if rootfs.mapped:
        from sandcell.runtime.container.plan_mapped import seen_through

        given, files = seen_through(idmap, rootfs, files, process.oom_score_adj)
        process = msgspec.structs.replace(process, oom_score_adj=None)
    join = tuple(
        s.JoinNamespace(n.path) for n in linux.namespaces if n.path and n.type in ("network", "ipc", "uts")
    )
    return s.Plan(
        outside=(*outside_steps(linux, names, idmap), *given, *((wire,) if wire else ())),
        inside=(
            *join,
            *_begin(idmap, own),
            *files,
            s.Directory(process.cwd),
            *_kernel_view(spec, linux, own),
            *((s.AwaitNetwork(),) if wire else ()),
            *process_steps(process, linux, idmap, compile_filter, reaper=reaper),
        ),
    )


def outside_steps(linux: Linux, names: tuple[str, ...], idmap: IdMap) -> tuple[s.Outside, ...]:
    """What the monitor does: the control group, the namespaces, the ids."""
    steps: list[s.Outside] = []
    if linux.cgroups_path:
        steps.append(s.MakeCgroup(linux.cgroups_path, _limits(linux.resources or Resources())))
    shared = next((n.path for n in linux.namespaces if n.path and n.type == "pid"), "")
    steps.append(s.NewNamespaces(names, shared))
    if idmap.user_namespace:
        steps.append(s.MapIds(idmap))
    return tuple(steps)


def _limits(resources: Resources) -> Limits:
    memory, cpu = resources.memory or Memory(), resources.cpu or Cpu()
    return Limits(
        memory=memory.limit,
        memory_swap=memory.swap,
        cpu_quota=cpu.quota,
        cpu_period=cpu.period,
        cpu_shares=cpu.shares,
        pids=resources.pids.limit if resources.pids else None,
        cpuset_cpus=cpu.cpus,
        cpuset_mems=cpu.mems,
        devices=tuple(
            (
                rule.allow,
                f"{rule.type or 'a'} {_number(rule.major)}:{_number(rule.minor)} {rule.access or 'rwm'}",
            )
            for rule in resources.devices
        ),
    )


def _number(value: int | None) -> str:
    return "*" if value is None else str(value)


def _begin(idmap: IdMap, own: frozenset[str]) -> list[s.Inside]:
    steps: list[s.Inside] = []
    if idmap.user_namespace:
        steps.append(s.AwaitIds(idmap.uids[0].inside, idmap.gids[0].inside))
    # A mount of the host may still go away under us (slave); none of ours ever reaches the host.
    steps.append(s.PrivateMounts(mounts.MS_SLAVE))
    if "net" in own:
        steps.append(s.Loopback())
    return steps


def _files(
    spec: Spec,
    rootfs: Rootfs,
    cgroup_mounts: tuple[CgroupMount, ...],
    *,
    userns: bool,
    own: frozenset[str],
    views: tuple[View, ...],
) -> list[s.Inside]:
    joining: list[s.Inside] = []
    if spec.linux and spec.linux.cgroups_path:
        joining.append(s.EnterCgroup(new_namespace="cgroup" in own))
    opened: list[s.Inside] = []
    placed: list[s.Inside] = []
    for mount in spec.mounts:
        if mount.type == "bind" or "bind" in mount.options or "rbind" in mount.options:
            key = len(opened)
            recursive = "rbind" in mount.options
            flags, _ = _options(mount)
            opened.append(s.OpenTree(key, mount.source, flags, recursive, "idmap" in mount.options))
            placed.append(s.AttachTree(key, mount.destination, flags))
        elif mount.type == "cgroup":
            placed += joining + _cgroup_files(mount, cgroup_mounts)
            joining = []
        elif mount.type in _VISIBLE:
            key = len(opened)
            flags, data = _options(mount)
            opened.append(s.OpenKernel(key, mount.type, mount.source or mount.type, flags, data))
            placed.append(s.AttachTree(key, mount.destination, flags))
        else:
            flags, data = _options(mount)
            placed.append(s.Directory(mount.destination))
            placed.append(s.Mount(mount.source or mount.type, mount.destination, mount.type, flags, data))
            if mount.destination == "/dev":
                placed += _devices(opened, userns=userns)
    for view in views:
        key = len(opened)
        opened.append(msgspec.structs.replace(view.open, key=key))
        placed.append(s.AttachTree(key, view.target, view.flags))
    # An image may hold any device; without a control group nothing else would keep it shut.
    guarded = bool(spec.linux and spec.linux.cgroups_path and spec.linux.resources)
    root: list[s.Inside] = [_root(rootfs, nodev=not guarded)]
    size = spec.process.console_size if spec.process else None
    console = s.Console(size.height, size.width) if size else s.Console()
    terminal: list[s.Inside] = [console] if spec.process and spec.process.terminal else []
    return [*opened, *root, s.PivotRoot(rootfs.path), s.DropOldRoot(), *placed, *terminal, *joining]


def _root(rootfs: Rootfs, *, nodev: bool) -> s.MountOverlay | s.BindRoot:
    if not rootfs.lowers:
        return s.BindRoot(rootfs.path, rootfs.path)
    return s.MountOverlay(
        rootfs.path, rootfs.lowers, rootfs.upper, rootfs.work, rootfs.volatile, rootfs.userxattr, nodev
    )


def _cgroup_files(mount: Mount, below: tuple[CgroupMount, ...]) -> list[s.Inside]:
    flags, _ = _options(mount)
    steps: list[s.Inside] = [s.Directory(mount.destination)]
    if len(below) == 1 and not below[0].name:
        steps.append(s.Mount("cgroup", mount.destination, below[0].fstype, flags, below[0].data))
        return steps
    writable = flags & ~mounts.MS_RDONLY
    steps.append(s.Mount("tmpfs", mount.destination, "tmpfs", writable, "mode=755"))
    for entry in below:
        path = f"{mount.destination}/{entry.name}"
        steps.append(s.Directory(path))
        steps.append(s.Mount("cgroup", path, entry.fstype, flags, entry.data))
    if flags & mounts.MS_RDONLY:
        again = flags | mounts.MS_REMOUNT
        steps.append(s.Mount("tmpfs", mount.destination, "tmpfs", again, "mode=755"))
    return steps


def _devices(opened: list[s.Inside], *, userns: bool) -> list[s.Inside]:
    """The devices that every container has (config-linux.md, "Default Devices")."""
    steps: list[s.Inside] = []
    for name, major, minor in NODES:
        path = f"/dev/{name}"
        if userns:
            # Device nodes cannot be made in a user namespace, but the host's may be shown.
            key = len(opened)
            opened.append(s.OpenTree(key, path))
            steps.append(s.AttachTree(key, path))
        else:
            steps.append(s.Node(path, stat.S_IFCHR | 0o666, major, minor))
    steps += [s.Symlink(target, path) for target, path in _LINKS]
    return steps


def _kernel_view(spec: Spec, linux: Linux, own: frozenset[str]) -> list[s.Inside]:
    steps: list[s.Inside] = []
    if "uts" in own and (spec.hostname or spec.domainname):
        steps.append(s.Hostname(spec.hostname, spec.domainname))
    steps += [s.Sysctl(name, value) for name, value in linux.sysctl.items()]
    if linux.masked_paths:
        steps.append(s.Mask(linux.masked_paths))
    if linux.readonly_paths:
        steps.append(s.ReadOnly(linux.readonly_paths))
    if spec.root and spec.root.readonly:
        steps.append(s.ReadOnly(("/",)))
    return steps


def process_steps(
    process: Process, linux: Linux, idmap: IdMap, compile_filter: Compile, *, reaper: bool
) -> list[s.Inside]:
    """What is last: limits, the user, the filters, the program."""
    # The session, and the terminal with it, are the program's own.
    steps: list[s.Inside] = [] if reaper else [s.NewSession()]
    if process.oom_score_adj is not None:
        steps.append(s.OomScore(process.oom_score_adj))
    steps += [s.ResourceLimit(_resource(r.type), r.soft, r.hard) for r in process.rlimits]
    filtered: list[s.Inside] = []
    if linux.seccomp is not None:
        filtered.append(s.Filter(*compile_filter(linux.seccomp)))
    become = identity(process.user, process.capabilities, idmap, no_new_privileges=process.no_new_privileges)
    filtered = [*owners(process.capabilities, idmap), *filtered]
    # Without no_new_privs only a privileged process may load a filter, so it comes before the rights go.
    steps += [become, *filtered] if process.no_new_privileges else [*filtered, become]
    steps.append(s.WorkingDirectory(process.cwd))
    steps += [s.Reaper(), s.NewSession()] if reaper else []
    steps.append(s.Execute(process.args, process.env))
    return steps


def owners(sets: Capabilities | None, idmap: IdMap) -> list[s.Inside]:
    """What is needed for files to belong to others than the one id that there may be: nothing where
    ids are many, or where the process has no right to give files away."""
    if not idmap.single or "CAP_CHOWN" not in (sets or Capabilities()).effective:
        return []
    from sandcell.runtime.container import recorder  # seldom needed, and much to load

    return [s.RecordOwners(recorder.program())]


def _resource(name: str) -> int:
    number = getattr(resource, name, None)
    if not name.startswith("RLIMIT_") or not isinstance(number, int):
        raise InvalidDocument("plan", name, "no such resource limit")
    return number


def _options(mount: Mount) -> tuple[int, str]:
    flags, data = 0, []
    for option in mount.options:
        if option in _FLAGS:
            flags |= _FLAGS[option]
        elif option not in _IGNORED:
            data.append(option)
    return flags, ",".join(data)
