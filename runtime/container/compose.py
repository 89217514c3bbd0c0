"""Image configuration + options → the ``Spec`` of a container. Pure: facts of the host are handed in.

What is not asked for is as ``docker run`` has it, except ``noNewPrivileges``, which is on: a
sandbox needs no set-uid programs. runtime-spec config.md and config-linux.md.
"""

from collections.abc import Mapping
from functools import lru_cache

import msgspec

from sandcell.runtime.container.flag_words import parse_device, parse_ulimit
from sandcell.runtime.container.options import Options, check_variable, check_word, parse_tmpfs, parse_volume
from sandcell.runtime.container.rights import UNCONFINED, bounding, parse_security
from sandcell.runtime.container.seccomp_profile import default_profile
from sandcell.runtime.errors import InvalidOption
from sandcell.runtime.linux.idmap import IdMap, Range
from sandcell.runtime.oci.config import RunConfig
from sandcell.runtime.oci.spec import (
    OCI_VERSION,
    Capabilities,
    ConsoleSize,
    Cpu,
    DeviceRule,
    IdMapping,
    Linux,
    Memory,
    Mount,
    Namespace,
    Pids,
    Process,
    Resources,
    Root,
    Seccomp,
    Spec,
    User,
)

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SHARED = "/run/sandcell"
DEFAULT_PIDS = 4096
CPU_PERIOD = 100_000

CAPABILITIES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
    "CAP_AUDIT_WRITE",
)

# What somebody in a chroot could leave it with, or open a disk by.
_LEADING_OUT = ("CAP_SYS_CHROOT", "CAP_MKNOD")

MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)

READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

# char devices: null zero full random urandom tty, the consoles, ptmx and the container's own ptys
_DEVICES = ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2), (136, None))


NAMESPACES = ("pid", "mount", "ipc", "network", "uts", "cgroup")

# The same few profiles come again and again, and a kept one is also found faster when compiled.
_profile = lru_cache(default_profile)


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """The facts that a composition depends on.

    ``etc``: name below /etc → file of the host that stands in for it. ``shared``: directory of the
    host seen at /run/sandcell. ``user``: the ids that the image's files give to the user's name.
    ``cgroups_path``: empty where this host gives no control groups. ``volumes``: named ones → folder
    of the host; ``anonymous``: place in the container → folder of the host. ``counted``: the groups
    can limit the number of processes. ``profile``: the filter that the user wrote. ``numbers``: device
    of the host → type, major and minor. ``namespaces``: those that this host can give; without
    ``mount`` nothing is mounted, and what would be lies in the container's files already. ``proc``: a
    /proc of its own can be mounted. ``mapped``: the container's files keep the owners they have, and are
    seen through ``idmap``.
    """

    id: str
    idmap: IdMap
    user: User
    home: str
    shared: str
    etc: dict[str, str]
    cgroups_path: str
    kernel: tuple[int, int]
    machine: str
    counted: bool = True
    namespaces: tuple[str, ...] = NAMESPACES
    proc: bool = True
    mapped: bool = False
    volumes: dict[str, str] = {}
    anonymous: dict[str, str] = {}
    profile: Seccomp | None = None
    numbers: dict[str, tuple[str, int, int]] = {}

    @property
    def owners(self) -> IdMap:
        """The map of the owners that files have in the store."""
        return IdMap() if self.mapped else self.idmap


def _console_size(options: Options) -> ConsoleSize | None:
    height, width = options.console_size
    return ConsoleSize(height=height, width=width) if options.tty and height and width else None


def compose(config: RunConfig, command: tuple[str, ...] | None, options: Options, setting: Setting) -> Spec:
    """The runtime-spec document of a new container; ``InvalidOption`` when there is nothing to run."""
    cgroup = bool(setting.cgroups_path)
    mounting = "mount" in setting.namespaces
    # Making devices is harmless where a control group or a user namespace decides who may open them.
    guarded = cgroup or setting.idmap.user_namespace
    usual = CAPABILITIES if guarded else tuple(c for c in CAPABILITIES if c != "CAP_MKNOD")
    most = bounding(usual, options.cap_add, options.cap_drop)
    if not mounting:
        most = tuple(name for name in most if name not in _LEADING_OUT)
    capabilities = capability_sets(setting.user.uid, most)
    security = parse_security(options.security)
    namespaces = _namespaces(setting, options, cgroup=cgroup and mounting)
    # In a user namespace nobody can make a device, and a copy of an image has none.
    devices = mounting and not setting.idmap.user_namespace
    own = {space.type for space in namespaces} - _joined(options)
    return Spec(
        oci_version=OCI_VERSION,
        process=Process(
            terminal=options.tty,
            console_size=_console_size(options),
            user=setting.user,
            args=arguments(config, command, options),
            env=environment(config, options.env, setting.home, hostname(options, setting), options.tty),
            cwd=options.workdir or config.working_dir or "/",
            capabilities=capabilities,
            rlimits=tuple(map(parse_ulimit, options.ulimits)),
            no_new_privileges=security.no_new_privileges,
            oom_score_adj=options.oom_score_adj,
        ),
        root=Root(path="rootfs", readonly=options.read_only),
        hostname=hostname(options, setting) if "uts" in own else "",
        domainname=options.domainname if "uts" in own else "",
        annotations=options.annotations,
        mounts=_mounts(options, setting) if mounting else (),
        linux=Linux(
            uid_mappings=_mappings(setting.idmap.uids),
            gid_mappings=_mappings(setting.idmap.gids),
            namespaces=namespaces,
            resources=resources(options, setting.numbers, counted=setting.counted, devices=devices)
            if cgroup
            else None,
            cgroups_path=setting.cgroups_path,
            sysctl=_sysctls(options, own),
            seccomp=None
            if security.seccomp == UNCONFINED
            else setting.profile or _profile(capabilities.bounding, setting.kernel, setting.machine),
            masked_paths=_there(MASKED, setting),
            readonly_paths=_there(READ_ONLY, setting),
        ),
    )


def arguments(config: RunConfig, command: tuple[str, ...] | None, options: Options) -> tuple[str, ...]:
    """ENTRYPOINT and CMD of the image as the options overrule them (docker-run(1))."""
    entrypoint = config.entrypoint if options.entrypoint is None else options.entrypoint
    # An entrypoint of the user's own also takes the image's CMD away.
    rest = command if command is not None else (config.cmd if options.entrypoint is None else ())
    both = tuple(entrypoint) + tuple(rest)
    if not both or not both[0]:
        raise InvalidOption("run", "the image", "it names no command and none was given", "give a command")
    for word in both:
        check_word("run", word)
    return both


def environment(
    config: RunConfig, extra: dict[str, str], home: str, hostname: str, tty: bool
) -> tuple[str, ...]:
    """``NAME=value`` texts: defaults, then the image's, then ``extra``."""
    values = {"PATH": DEFAULT_PATH, "HOSTNAME": hostname, "HOME": home}
    if tty:
        values["TERM"] = "xterm"
    values.update(config.environment)
    values.update(extra)
    for name, value in values.items():
        check_variable(name, value)
    return tuple(f"{name}={value}" for name, value in values.items())


def hostname(options: Options, setting: Setting) -> str:
    """The name asked for, else the short id."""
    return options.hostname or setting.id[:12]


def capability_sets(uid: int, bounding: tuple[str, ...]) -> Capabilities:
    """``bounding``, docker's fourteen at most: held by root, only a bound for anybody else."""
    held = bounding if uid == 0 else ()
    return Capabilities(bounding=bounding, effective=held, permitted=held)


def _joined(options: Options) -> set[str]:
    modes = {"network": options.network, "ipc": options.ipc, "pid": options.pid}
    return {kind for kind, mode in modes.items() if mode.startswith("container:")}


def _sysctls(options: Options, own: set[str]) -> dict[str, str]:
    if options.sysctls:
        from sandcell.runtime.container.bundle_process import still_ours

        for name in options.sysctls:
            still_ours(name, frozenset({"net"} if "network" in own else ()) | own)
    return options.sysctls


def resources(
    options: Options,
    numbers: Mapping[str, tuple[str, int, int]],
    *,
    counted: bool = True,
    devices: bool = True,
) -> Resources:
    """The limits; without any asked for still a number of processes, against fork bombs, where they
    are ``counted``. ``numbers``: as in ``Setting``. ``devices``: rules that keep others shut."""
    rules = [DeviceRule(allow=False, access="rwm")]
    rules += [DeviceRule(allow=True, type="c", access="m"), DeviceRule(allow=True, type="b", access="m")]
    rules += [DeviceRule(allow=True, type="c", major=a, minor=b, access="rwm") for a, b in _DEVICES]
    for device in map(parse_device, options.devices):
        if device.source in numbers:
            kind, major, minor = numbers[device.source]
            rules.append(DeviceRule(allow=True, type=kind, major=major, minor=minor, access=device.access))
    limit = options.pids_limit
    if limit is None and counted:
        limit = DEFAULT_PIDS
    swap = options.memory if options.memory_swap is None else options.memory_swap
    return Resources(
        devices=tuple(rules) if devices else (),
        memory=Memory(limit=options.memory, swap=swap) if (options.memory, swap) != (None, None) else None,
        cpu=_cpu(options),
        pids=None if limit is None else Pids(limit),
    )


def _cpu(options: Options) -> Cpu | None:
    cpu = Cpu(
        quota=None if options.cpus is None else int(options.cpus * CPU_PERIOD),
        period=None if options.cpus is None else CPU_PERIOD,
        shares=options.cpu_shares,
        cpus=options.cpuset_cpus,
        mems=options.cpuset_mems,
    )
    return None if cpu == Cpu() else cpu


def _namespaces(setting: Setting, options: Options, *, cgroup: bool) -> tuple[Namespace, ...]:
    """Those of its own. What it shares with another container is put in when it starts, for only then
    it is known where that is."""
    names = ["pid"] if options.pid != "host" else []
    names += ["mount"]
    names += ["ipc"] if options.ipc != "host" else []
    names += ["network"] if options.network != "host" else []
    names += ["uts"] if options.uts != "host" and (options.network != "host" or options.uts) else []
    names += ["cgroup"] if cgroup else []
    names = [name for name in names if name in setting.namespaces]
    names += ["user"] if setting.idmap.user_namespace else []
    return tuple(Namespace(name) for name in names)


def _there(paths: tuple[str, ...], setting: Setting) -> tuple[str, ...]:
    if "mount" not in setting.namespaces:
        return ()
    return paths if setting.proc else tuple(path for path in paths if not path.startswith("/proc/"))


def _mappings(ranges: tuple[Range, ...]) -> tuple[IdMapping, ...]:
    return tuple(IdMapping(r.inside, r.outside, r.size) for r in ranges)


def _mounts(options: Options, setting: Setting) -> tuple[Mount, ...]:
    quiet = ("nosuid", "noexec", "nodev")
    seen = ("idmap",) if setting.mapped else ()
    mounts = [Mount(destination="/proc", type="proc", source="proc", options=quiet)] if setting.proc else []
    mounts += [
        Mount(
            destination="/dev",
            type="tmpfs",
            source="tmpfs",
            options=("nosuid", "strictatime", "mode=755", "size=65536k"),
        ),
        Mount(
            destination="/dev/pts",
            type="devpts",
            source="devpts",
            options=("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"),
        ),
        *_shared_memory(options, quiet, user_namespace=setting.idmap.user_namespace),
    ]
    if options.network == "host" and setting.idmap.user_namespace:
        # sysfs shows the network namespace, so only the owner of that one may mount it anew.
        mounts.append(Mount(destination="/sys", type="bind", source="/sys", options=("rbind", "ro", *quiet)))
    else:
        mounts.append(Mount(destination="/sys", type="sysfs", source="sysfs", options=(*quiet, "ro")))
    if setting.cgroups_path:
        mounts.append(
            Mount(
                destination="/sys/fs/cgroup",
                type="cgroup",
                source="cgroup",
                options=(*quiet, "relatime", "ro"),
            )
        )
    mounts += [
        Mount(
            destination=f"/etc/{name}", type="bind", source=source, options=("bind", "nosuid", "nodev", *seen)
        )
        for name, source in setting.etc.items()
    ]
    mounts.append(
        Mount(
            destination=SHARED,
            type="bind",
            source=setting.shared,
            options=("rbind", "ro", "nosuid", "nodev", *seen),
        )
    )
    out = f"{setting.shared}/out"
    mounts.append(
        Mount(
            destination=f"{SHARED}/out", type="bind", source=out, options=("bind", "nosuid", "nodev", *seen)
        )
    )
    mounts += _asked_for(options, setting)
    return tuple(mounts)


def _shared_memory(options: Options, quiet: tuple[str, ...], *, user_namespace: bool) -> tuple[Mount, ...]:
    if options.ipc == "host":
        shm = Mount(destination="/dev/shm", type="bind", source="/dev/shm", options=("bind", "rw", *quiet))
        # A message queue file system belongs to whoever has the ipc namespace.
        return (shm,) if user_namespace else (shm, _queues(quiet))
    size = 65536 if options.shm_size is None else -(-options.shm_size // 1024)
    words = (*quiet, "mode=1777", f"size={size}k")
    return Mount(destination="/dev/shm", type="tmpfs", source="shm", options=words), _queues(quiet)


def _queues(quiet: tuple[str, ...]) -> Mount:
    return Mount(destination="/dev/mqueue", type="mqueue", source="mqueue", options=quiet)


def _asked_for(options: Options, setting: Setting) -> list[Mount]:
    """Volumes and tmpfs, those further up first: a mount hides what is below its place."""
    found = []
    for device in map(parse_device, options.devices):
        given = ("bind", "nosuid", "noexec")
        found.append(Mount(destination=device.destination, type="bind", source=device.source, options=given))
    for volume in map(parse_volume, options.volumes):
        if not volume.source:
            continue  # it is among the anonymous ones
        source = setting.volumes[volume.source] if volume.named else volume.source
        mode = "ro" if volume.read_only else "rw"
        found.append(_bind(volume.destination, source, mode, mapped=setting.mapped and volume.named))
    for place, source in setting.anonymous.items():
        found.append(_bind(place, source, "rw", mapped=setting.mapped))
    for place, words in map(parse_tmpfs, options.tmpfs):
        found.append(Mount(destination=place, type="tmpfs", source="tmpfs", options=words))
    return sorted(found, key=lambda mount: mount.destination.count("/"))


def _bind(destination: str, source: str, mode: str, *, mapped: bool) -> Mount:
    options = ("rbind", mode, "nosuid", "nodev", *(("idmap",) if mapped else ()))
    return Mount(destination=destination, type="bind", source=source, options=options)
