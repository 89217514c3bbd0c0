"""A container's ``config.json`` (runtime-spec, config.md). The ``linux`` part has a file of its own.

``decode(Spec, data, object=…)`` reads what ``runc spec`` and ``crun spec`` write; keys of other
operating systems are ignored.
"""

from typing import Any

import msgspec

from sandcell.runtime.oci.spec_linux import (
    BlockIo,
    BlockIoThrottle,
    BlockIoWeight,
    Cpu,
    Device,
    DeviceRule,
    HugepageLimit,
    IdMapping,
    InterfacePriority,
    Linux,
    Memory,
    Namespace,
    NetworkResources,
    Personality,
    Pids,
    Rdma,
    Resources,
    Seccomp,
    SeccompArg,
    SeccompSyscall,
)

OCI_VERSION = "1.2.1"
"""The version of the runtime specification that we write into ``ociVersion``."""


class User(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Who the process runs as, in numbers of the container."""

    # Made by a function, so that root is written out too.
    uid: int = msgspec.field(default_factory=int)
    gid: int = msgspec.field(default_factory=int)
    umask: int | None = None
    additional_gids: tuple[int, ...] = ()
    username: str = ""


class Capabilities(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The five capability sets of the process, as ``CAP_…`` names (capabilities(7))."""

    bounding: tuple[str, ...] = ()
    effective: tuple[str, ...] = ()
    permitted: tuple[str, ...] = ()
    inheritable: tuple[str, ...] = ()
    ambient: tuple[str, ...] = ()


class Rlimit(msgspec.Struct, frozen=True):
    """One resource limit, ``RLIMIT_NOFILE`` and so on (getrlimit(2))."""

    type: str
    hard: int
    soft: int


class ConsoleSize(msgspec.Struct, frozen=True):
    """Rows and columns of the terminal."""

    height: int
    width: int


class IoPriority(msgspec.Struct, frozen=True, omit_defaults=True, rename={"class_": "class"}):
    """ioprio_set(2): ``IOPRIO_CLASS_RT``, ``…_BE`` or ``…_IDLE``."""

    class_: str
    priority: int = 0


class Process(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """The first process of the container."""

    terminal: bool = False
    console_size: ConsoleSize | None = None
    user: User = msgspec.field(default_factory=User)
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    cwd: str
    capabilities: Capabilities | None = None
    rlimits: tuple[Rlimit, ...] = ()
    no_new_privileges: bool = False
    apparmor_profile: str = ""
    oom_score_adj: int | None = None
    selinux_label: str = ""
    io_priority: IoPriority | None = None
    scheduler: dict[str, Any] = {}
    exec_cpu_affinity: dict[str, str] = msgspec.field(default_factory=dict, name="execCPUAffinity")


class Root(msgspec.Struct, frozen=True, omit_defaults=True):
    """The directory that becomes ``/``; relative to the bundle."""

    path: str
    readonly: bool = False


class Mount(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A mount in the container, made in the order listed. ``options`` are fstab's and the spec's own."""

    destination: str
    type: str = ""
    source: str = ""
    options: tuple[str, ...] = ()
    uid_mappings: tuple[IdMapping, ...] = ()
    gid_mappings: tuple[IdMapping, ...] = ()


class Hook(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A program to run at one moment of a container's life; ``timeout`` in seconds."""

    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout: int | None = None


class Hooks(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """The programs of each moment, in order (config.md, "POSIX-platform Hooks")."""

    prestart: tuple[Hook, ...] = ()
    create_runtime: tuple[Hook, ...] = ()
    create_container: tuple[Hook, ...] = ()
    start_container: tuple[Hook, ...] = ()
    poststart: tuple[Hook, ...] = ()
    poststop: tuple[Hook, ...] = ()


class Spec(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Everything a runtime needs to know about one container."""

    oci_version: str
    process: Process | None = None
    root: Root | None = None
    hostname: str = ""
    domainname: str = ""
    mounts: tuple[Mount, ...] = ()
    hooks: Hooks | None = None
    annotations: dict[str, str] = {}
    linux: Linux | None = None


__all__ = [
    "OCI_VERSION",
    "BlockIo",
    "BlockIoThrottle",
    "BlockIoWeight",
    "Capabilities",
    "ConsoleSize",
    "Cpu",
    "Device",
    "DeviceRule",
    "Hook",
    "Hooks",
    "HugepageLimit",
    "IdMapping",
    "InterfacePriority",
    "IoPriority",
    "Linux",
    "Memory",
    "Mount",
    "Namespace",
    "NetworkResources",
    "Personality",
    "Pids",
    "Process",
    "Rdma",
    "Resources",
    "Rlimit",
    "Root",
    "Seccomp",
    "SeccompArg",
    "SeccompSyscall",
    "Spec",
    "User",
]
