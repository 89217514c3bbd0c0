"""A bundle's ``config.json`` → the steps of its init. Pure; the whole of the runtime-spec for Linux.

Differs from ``plan``, which makes what our own engine composes: mounts are placed before the root is
changed, hooks have their moments, and init waits between set-up and program.
"""

import posixpath
import stat
from collections.abc import Callable

import msgspec

from sandcell.runtime.container import bundle_mounts as options
from sandcell.runtime.container import bundle_steps as b
from sandcell.runtime.container import steps as s
from sandcell.runtime.container.bundle_process import program, still_ours
from sandcell.runtime.errors import InvalidDocument
from sandcell.runtime.oci.spec import Hooks, Linux, Mount, Process, Seccomp, Spec

KERNEL_TYPES = ("proc", "sysfs", "cgroup", "cgroup2", "mqueue", "devpts")

# The kernel labels what is in them itself.
_UNLABELLED = ("proc", "sysfs", "cgroup", "cgroup2", "mqueue")

_NODES = (("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0))
_LINKS = (
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("pts/ptmx", "/dev/ptmx"),
)
_KINDS = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}

# "slave" is what a container gets that asks for nothing: the host's unmounts reach it, its mounts stay.
_ROOT_PROPAGATION = {
    "": options.MS_SLAVE,
    **options.PROPAGATION,
    **{f"r{name}": flag for name, flag in options.PROPAGATION.items()},
}
_REC = 1 << 14


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What the runtime found out before. ``own``: namespaces apart from the host's, ``fresh``: those of
    them that are made and not joined (names as in /proc/PID/ns). ``opened``: places in ``mounts`` of
    bind sources that only the runtime could open. ``user_root``: ids to begin with in a user namespace.
    ``label``: SELinux's, for what is mounted. ``cgroup_mounts`` as of ``CgroupLayout.mounts``;
    ``cgroup_trees``: the same with host directories."""

    root: str
    bundle: str
    own: frozenset[str]
    fresh: frozenset[str]
    compile_filter: Callable[[Seccomp], tuple[bytes, int]]
    cgroup: bool
    cgroup_trees: tuple[tuple[str, str], ...] = ()
    cgroup_mounts: tuple[tuple[str, str, str], ...] = ()
    opened: frozenset[int] = frozenset()
    agent: int = -1
    preserve: int = 0
    label: str = ""
    setgroups: bool = True
    keyring: bool = True
    user_namespace: bool = False
    user_root: tuple[int, int] = (0, 0)


def bundle_plan(spec: Spec, setting: Setting) -> tuple[s.Step, ...]:
    """The steps; ``InvalidDocument`` for what the document may not ask for."""
    linux, hooks = spec.linux or Linux(), spec.hooks or Hooks()
    process = spec.process
    if linux.rootfs_propagation not in _ROOT_PROPAGATION:
        raise InvalidDocument("create", "container", f"no such rootfsPropagation: {linux.rootfs_propagation}")
    travels = _ROOT_PROPAGATION[linux.rootfs_propagation]
    steps: list[s.Step] = []
    if setting.user_namespace:
        steps.append(s.AwaitIds(*setting.user_root))
    if setting.cgroup:
        steps.append(s.EnterCgroup(new_namespace="cgroup" in setting.fresh))
    if setting.keyring:
        steps.append(b.SessionKeyring())
    apart = "mnt" in setting.own
    if "mnt" in setting.fresh:
        # What cannot be bound could not become the root either; it is made so in the end.
        spread = options.MS_PRIVATE if travels == options.MS_UNBINDABLE else travels
        steps.append(b.Propagation(spread | _REC))
    if "net" in setting.fresh:
        steps.append(s.Loopback())
    readonly = spec.root is not None and spec.root.readonly
    shared = apart and (travels == options.MS_SHARED or "mnt" not in setting.fresh)
    steps += [b.RootTree(setting.root, shared, apart or readonly), *_mounts(spec, setting)]
    if not any(_dev(m) and options.parse(m).bind for m in spec.mounts):
        steps += [
            b.DeviceAt(f"/dev/{name}", stat.S_IFCHR | 0o666, major, minor, 0, 0)
            for name, major, minor in _NODES
        ]
        steps += [b.LinkAt(target, path) for target, path in _LINKS]
    steps += _devices(linux)
    if process is not None and process.terminal:
        steps.append(_console(process))
    steps.append(s.NewSession())
    if spec.hostname or spec.domainname:
        if "uts" not in setting.own:
            raise InvalidDocument("create", "container", "a hostname needs a uts namespace")
        steps.append(s.Hostname(spec.hostname, spec.domainname))
    for name, value in linux.sysctl.items():
        still_ours(name, setting.own)
        steps.append(s.Sysctl(name, value))
    steps += [b.MaskAt(path) for path in linux.masked_paths]
    steps += [b.ReadOnlyAt(path) for path in linux.readonly_paths]
    if hooks.prestart or hooks.create_runtime or hooks.create_container:
        steps.append(b.RuntimeHooks())
    if hooks.create_container:
        steps.append(b.CallHooks("createContainer", hooks.create_container, setting.bundle))
    steps.append(b.ChangeRoot(travels) if apart else b.EnterRoot())
    if readonly:
        steps.append(b.ReadOnlyRoot())
    if process is None:
        # It can be created without, and cannot be started.
        return (*steps, b.AwaitStart())
    steps += program(process, linux, hooks.start_container, setting.compile_filter, setting)
    return tuple(steps)


def _dev(mount: Mount) -> bool:
    return posixpath.normpath("/" + mount.destination.lstrip("/")) == "/dev"


def _console(process: Process) -> b.ConsoleAt:
    size = process.console_size
    return b.ConsoleAt(process.user.uid, size.height if size else 0, size.width if size else 0)


def _mounts(spec: Spec, setting: Setting) -> list[s.Step]:
    """Each is made and placed before the next: the kernel lists them in the order they were made."""
    placed: list[s.Step] = []
    for key, mount in enumerate(spec.mounts):
        wanted = options.parse(mount)
        if not mount.destination:
            raise InvalidDocument("mount", mount.source, "a mount has no destination")
        target = posixpath.normpath("/" + mount.destination.lstrip("/"))
        if wanted.remount:
            placed.append(b.RemountAt(target, wanted.attributes))
        elif wanted.bind:
            if not mount.source:
                raise InvalidDocument("mount", target, "a bind mount has no source")
            if key not in setting.opened:
                source = posixpath.join(setting.bundle, mount.source)
                placed.append(b.SourceTree(key, source, wanted.recursive))
            placed.append(b.Place(key, target, wanted.attributes))
        elif mount.type == "cgroup" or (mount.type == "cgroup2" and not setting.cgroup_mounts):
            placed += _cgroup(len(spec.mounts) + 64 * key, target, wanted, setting)
        else:
            kernel = mount.type in KERNEL_TYPES
            data = wanted.data
            if setting.label and mount.type not in _UNLABELLED:
                data += (f"context={setting.label}",)
            data += () if kernel or not wanted.attributes.set & options.RDONLY else ("ro",)
            system = b.FileSystem(
                key,
                mount.type,
                mount.source or mount.type,
                data,
                wanted.attributes.set,
                target if mount.type == "tmpfs" else "",
            )
            # It is made with its own attributes and has no others that could be cleared.
            after = msgspec.structs.replace(wanted.attributes, set=0, clear=0)
            plain = mount.type in ("proc", "sysfs")
            if wanted.copy_up and mount.type == "tmpfs":
                # What it begins with must be written before it may not be any more.
                options_now = tuple(option for option in data if option != "ro")
                system = msgspec.structs.replace(system, attributes=0, options=options_now)
                after = wanted.attributes
            placed.append(system)
            placed.append(b.Place(key, target, after, plain, wanted.copy_up and mount.type == "tmpfs"))
    return placed


def _cgroup(key: int, target: str, wanted: options.Options, setting: Setting) -> list[s.Step]:
    """The container's own groups: mounted where it has a cgroup namespace, else bound."""
    attributes = msgspec.structs.replace(wanted.attributes, set=wanted.attributes.set & ~options.RDONLY)
    if "cgroup" in setting.fresh and len(setting.cgroup_mounts) == 1 and not setting.cgroup_mounts[0][0]:
        system = b.FileSystem(key, "cgroup2", "cgroup", (), wanted.attributes.set)
        return [system, b.Place(key, target, b.Attributes(propagation=wanted.attributes.propagation))]
    if len(setting.cgroup_trees) == 1 and not setting.cgroup_trees[0][0]:
        source = b.SourceTree(key, setting.cgroup_trees[0][1], False)
        return [source, b.Place(key, target, wanted.attributes)]
    top = b.FileSystem(key, "tmpfs", "cgroup", ("mode=755",), attributes.set)
    steps: list[s.Step] = [top, b.Place(key, target, b.Attributes())]
    if "cgroup" in setting.fresh:
        for number, (name, fstype, data) in enumerate(setting.cgroup_mounts, key + 1):
            below = b.FileSystem(number, fstype, "cgroup", tuple(data.split(",")), wanted.attributes.set)
            steps += [below, b.Place(number, f"{target}/{name}", b.Attributes())]
    else:
        for number, (name, path) in enumerate(setting.cgroup_trees, key + 1):
            tree = b.SourceTree(number, path, False)
            steps += [tree, b.Place(number, f"{target}/{name}", wanted.attributes)]
    if wanted.attributes.set & options.RDONLY:
        steps.append(b.RemountAt(target, b.Attributes(set=options.RDONLY)))
    return steps


def _devices(linux: Linux) -> list[s.Step]:
    steps: list[s.Step] = []
    for device in linux.devices:
        if device.type not in _KINDS:
            raise InvalidDocument("make", f"device {device.path}", f"{device.type!r} is no type of device")
        if not device.path.startswith("/"):
            raise InvalidDocument("make", f"device {device.path}", "its path is not absolute")
        mode = _KINDS[device.type] | (0o666 if device.file_mode is None else device.file_mode & 0o7777)
        path = posixpath.normpath(device.path)
        steps.append(b.DeviceAt(path, mode, device.major, device.minor, device.uid or 0, device.gid or 0))
    return steps
