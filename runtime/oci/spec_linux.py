"""The ``linux`` part of a container's ``config.json`` (runtime-spec, config-linux.md).

Field names are the document's, in snake case; what a kernel feature means is told in the spec and
in the man pages. ``None`` and empty stand for absent.
"""

import msgspec


class IdMapping(msgspec.Struct, frozen=True):
    """``size`` ids from ``container_id`` on are ``host_id`` and following outside (user_namespaces(7))."""

    container_id: int = msgspec.field(name="containerID")
    host_id: int = msgspec.field(name="hostID")
    size: int


class Namespace(msgspec.Struct, frozen=True, omit_defaults=True):
    """A namespace to make, or with ``path`` to join.

    ``type``: pid, network, mount, ipc, uts, user, cgroup or time.
    """

    type: str
    path: str = ""


class Device(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A device node in the container. ``type``: c, b, u or p; ``file_mode``: permission bits."""

    type: str
    path: str
    major: int = 0
    minor: int = 0
    file_mode: int | None = None
    uid: int | None = None
    gid: int | None = None


class DeviceRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """May the container use these devices? ``None`` for a number means every one; ``access`` of ``rwm``."""

    allow: bool
    type: str = ""
    major: int | None = None
    minor: int | None = None
    access: str = ""


class Memory(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Memory limits in bytes, -1 for none. ``swap`` is memory and swap together."""

    limit: int | None = None
    reservation: int | None = None
    swap: int | None = None
    kernel: int | None = None
    kernel_tcp: int | None = msgspec.field(default=None, name="kernelTCP")
    swappiness: int | None = None
    disable_oom_killer: bool | None = msgspec.field(default=None, name="disableOOMKiller")
    use_hierarchy: bool | None = None
    check_before_update: bool | None = None


class Cpu(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Processor limits: ``quota`` of every ``period`` (microseconds), ``shares`` relative to others."""

    shares: int | None = None
    quota: int | None = None
    burst: int | None = None
    period: int | None = None
    realtime_runtime: int | None = None
    realtime_period: int | None = None
    cpus: str = ""
    mems: str = ""
    idle: int | None = None


class Pids(msgspec.Struct, frozen=True):
    """How many processes and threads the container may have; -1 for no limit."""

    limit: int


class BlockIoWeight(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Weight of one block device."""

    major: int
    minor: int
    weight: int | None = None
    leaf_weight: int | None = None


class BlockIoThrottle(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Rate of one block device: bytes or operations per second."""

    major: int
    minor: int
    rate: int = 0


class BlockIo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Limits of reading from and writing to block devices."""

    weight: int | None = None
    leaf_weight: int | None = None
    weight_device: tuple[BlockIoWeight, ...] = ()
    throttle_read_bps_device: tuple[BlockIoThrottle, ...] = ()
    throttle_write_bps_device: tuple[BlockIoThrottle, ...] = ()
    throttle_read_iops_device: tuple[BlockIoThrottle, ...] = msgspec.field(
        default=(), name="throttleReadIOPSDevice"
    )
    throttle_write_iops_device: tuple[BlockIoThrottle, ...] = msgspec.field(
        default=(), name="throttleWriteIOPSDevice"
    )


class HugepageLimit(msgspec.Struct, frozen=True, rename="camel"):
    """Limit in bytes of one size of huge pages (``2MB``)."""

    page_size: str
    limit: int


class InterfacePriority(msgspec.Struct, frozen=True):
    """Priority of traffic that leaves by one network interface."""

    name: str
    priority: int


class NetworkResources(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Class and priorities of the container's network packets."""

    class_id: int | None = msgspec.field(default=None, name="classID")
    priorities: tuple[InterfacePriority, ...] = ()


class Rdma(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Limits of one RDMA device."""

    hca_handles: int | None = None
    hca_objects: int | None = None


class Resources(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What the container's cgroup allows. ``unified``: cgroup v2 files to write as they are."""

    devices: tuple[DeviceRule, ...] = ()
    memory: Memory | None = None
    cpu: Cpu | None = None
    pids: Pids | None = None
    block_io: BlockIo | None = msgspec.field(default=None, name="blockIO")
    hugepage_limits: tuple[HugepageLimit, ...] = ()
    network: NetworkResources | None = None
    rdma: dict[str, Rdma] = {}
    unified: dict[str, str] = {}


class SeccompArg(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A condition on argument ``index`` (0 to 5) of a system call; ``op`` is an ``SCMP_CMP_…`` name."""

    index: int
    value: int
    value_two: int = 0
    op: str


class SeccompSyscall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What happens to these system calls when all of ``args`` hold; ``action`` is ``SCMP_ACT_…``."""

    names: tuple[str, ...]
    action: str
    errno_ret: int | None = None
    args: tuple[SeccompArg, ...] = ()


class Seccomp(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """The system call filter (seccomp(2))."""

    default_action: str
    default_errno_ret: int | None = None
    architectures: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    listener_path: str = ""
    listener_metadata: str = ""
    syscalls: tuple[SeccompSyscall, ...] = ()


class IntelRdt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Cache and memory bandwidth allocation of Intel processors."""

    clos_id: str = msgspec.field(default="", name="closID")
    schemata: tuple[str, ...] = ()
    l3_cache_schema: str = ""
    mem_bw_schema: str = ""
    enable_monitoring: bool = False


class Personality(msgspec.Struct, frozen=True, omit_defaults=True):
    """Execution domain (personality(2)): ``LINUX`` or ``LINUX32``."""

    domain: str
    flags: tuple[str, ...] = ()


class TimeOffset(msgspec.Struct, frozen=True, omit_defaults=True):
    """Offset of one clock of a time namespace (time_namespaces(7))."""

    secs: int = 0
    nanosecs: int = 0


class NetDevice(msgspec.Struct, frozen=True, omit_defaults=True):
    """A network device of the host that moves into the container, there called ``name``."""

    name: str = ""


class MemoryPolicy(msgspec.Struct, frozen=True, omit_defaults=True):
    """Nodes from which memory comes (set_mempolicy(2)): ``MPOL_…``, a list as ``0-3,7``, ``MPOL_F_…``."""

    mode: str
    nodes: str = ""
    flags: tuple[str, ...] = ()


class Linux(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Namespaces, limits and restrictions of a container on Linux."""

    devices: tuple[Device, ...] = ()
    net_devices: dict[str, NetDevice] = {}
    uid_mappings: tuple[IdMapping, ...] = ()
    gid_mappings: tuple[IdMapping, ...] = ()
    namespaces: tuple[Namespace, ...] = ()
    resources: Resources | None = None
    cgroups_path: str = ""
    rootfs_propagation: str = ""
    seccomp: Seccomp | None = None
    sysctl: dict[str, str] = {}
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    mount_label: str = ""
    intel_rdt: IntelRdt | None = None
    memory_policy: MemoryPolicy | None = None
    personality: Personality | None = None
    time_offsets: dict[str, TimeOffset] = {}
