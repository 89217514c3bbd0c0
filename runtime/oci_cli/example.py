"""The ``config.json`` that ``sandcell-oci spec`` writes to begin with: a shell in ``rootfs``."""

import os

import msgspec

from sandcell.runtime.errors import InvalidOption
from sandcell.runtime.oci.decode import encode
from sandcell.runtime.oci.spec import (
    OCI_VERSION,
    Capabilities,
    DeviceRule,
    IdMapping,
    Linux,
    Mount,
    Namespace,
    Process,
    Resources,
    Rlimit,
    Root,
    Spec,
)

_CAPABILITIES = ("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE")
_MASKED = "acpi asound kcore keys latency_stats timer_list timer_stats sched_debug scsi"
_READONLY = "bus fs irq sys sysrq-trigger"
_QUIET = ("nosuid", "noexec", "nodev")


def write(folder: str, *, rootless: bool) -> None:
    """Write it to ``config.json`` in ``folder``. ``InvalidOption`` where there is one already."""
    path = os.path.join(folder, "config.json")
    text = msgspec.json.format(encode(example(rootless=rootless)), indent=4)
    try:
        with open(path, "xb") as file:
            file.write(text + b"\n")
    except FileExistsError:
        raise InvalidOption("write", path, "the file is there already", "remove it first") from None


def example(*, rootless: bool) -> Spec:
    """``rootless``: with a user namespace of the calling user's one id, and without limits."""
    mounts = (
        Mount(destination="/proc", type="proc", source="proc"),
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
        Mount(
            destination="/dev/shm", type="tmpfs", source="shm", options=(*_QUIET, "mode=1777", "size=65536k")
        ),
        Mount(destination="/dev/mqueue", type="mqueue", source="mqueue", options=_QUIET),
        Mount(destination="/sys", type="sysfs", source="sysfs", options=(*_QUIET, "ro")),
    )
    kinds = ["pid", "network", "ipc", "uts", "mount", *(["user"] if rootless else ["cgroup"])]
    return Spec(
        oci_version=OCI_VERSION,
        process=Process(
            args=("sh",),
            env=("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"),
            cwd="/",
            terminal=True,
            no_new_privileges=True,
            capabilities=Capabilities(
                bounding=_CAPABILITIES, effective=_CAPABILITIES, permitted=_CAPABILITIES
            ),
            rlimits=(Rlimit("RLIMIT_NOFILE", 1024, 1024),),
        ),
        root=Root("rootfs", True),
        hostname="sandcell",
        mounts=mounts,
        linux=Linux(
            namespaces=tuple(Namespace(kind) for kind in kinds),
            resources=None if rootless else Resources(devices=(DeviceRule(allow=False, access="rwm"),)),
            uid_mappings=(IdMapping(0, os.getuid(), 1),) if rootless else (),
            gid_mappings=(IdMapping(0, os.getgid(), 1),) if rootless else (),
            masked_paths=(*(f"/proc/{name}" for name in _MASKED.split()), "/sys/firmware"),
            readonly_paths=tuple(f"/proc/{name}" for name in _READONLY.split()),
        ),
    )
