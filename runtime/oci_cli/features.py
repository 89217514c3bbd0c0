"""What this runtime can do, as features.md of the runtime-spec wants it told."""

from typing import Any

from sandcell.runtime.container.bundle_memory import FLAGS, MODES
from sandcell.runtime.container.bundle_mounts import OPTIONS
from sandcell.runtime.container.identity import NAMESPACES
from sandcell.runtime.container.seccomp_profile import ACTIONS, TABLE_OF
from sandcell.runtime.linux.capabilities import NAMES
from sandcell.runtime.linux.seccomp_load import FILTER_FLAGS
from sandcell.runtime.oci_cli.check import HIGHEST, LOWEST

_HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
_OPERATORS = tuple(f"SCMP_CMP_{name}" for name in ("EQ", "GE", "GT", "LE", "LT", "MASKED_EQ", "NE"))
_KEPT_FROM_USERS = ("TSYNC", "TSYNC_ESRCH", "NEW_LISTENER")


def features() -> dict[str, Any]:
    """The document; sorted where the order says nothing."""
    flags = sorted(f"SECCOMP_FILTER_FLAG_{name}" for name in FILTER_FLAGS if name not in _KEPT_FROM_USERS)
    return {
        "ociVersionMin": LOWEST,
        "ociVersionMax": HIGHEST,
        "hooks": list(_HOOKS),
        "mountOptions": list(OPTIONS),
        "linux": {
            "namespaces": sorted({*NAMESPACES, "time"}),
            "capabilities": list(NAMES),
            "cgroup": {"v1": True, "v2": True, "systemd": True, "systemdUser": True, "rdma": True},
            "seccomp": {
                "enabled": True,
                "actions": sorted(ACTIONS),
                "operators": list(_OPERATORS),
                "archs": sorted(TABLE_OF),
                "knownFlags": flags,
                "supportedFlags": flags,
            },
            "apparmor": {"enabled": True},
            "selinux": {"enabled": True},
            "intelRdt": {"enabled": False},
            "memoryPolicy": {"modes": list(MODES), "flags": list(FLAGS)},
            "netDevices": {"enabled": True},
            "mountExtensions": {"idmap": {"enabled": True}},
        },
        "annotations": {},
        "potentiallyUnsafeConfigAnnotations": [],
    }
