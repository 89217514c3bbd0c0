"""Reading a bundle, and saying no to what we cannot do. config.md, config-linux.md, bundle.md."""

import os
import re

import msgspec

from sandcell.runtime.container.plan import NAMESPACES
from sandcell.runtime.errors import InvalidDocument
from sandcell.runtime.oci.decode import decode
from sandcell.runtime.oci.spec import Process, Root, Spec

LOWEST, HIGHEST = "1.0.0", "1.3.0"

_KINDS = {**NAMESPACES, "time": "time"}
_CLOCKS = ("boottime", "monotonic")


def load(folder: str, config: str = "") -> Spec:
    """The ``config.json`` of the bundle ``folder`` (or the file ``config``), checked, its root path made
    absolute. ``InvalidDocument``."""
    path = os.path.join(folder, config or "config.json")
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise InvalidDocument("read", path, os.strerror(error.errno or 0)) from None
    spec = decode(Spec, data, object=path)
    check(spec)
    root = os.path.join(folder, spec.root.path) if spec.root else ""
    if not os.path.isdir(root):
        raise InvalidDocument("read", path, f"root.path is no directory: {root or 'missing'}")
    absolute = Root(os.path.realpath(root), spec.root.readonly if spec.root else False)
    return msgspec.structs.replace(spec, root=absolute)


def check(spec: Spec) -> None:
    """``InvalidDocument`` for a document that breaks a rule, or asks for what we do not support."""
    if not re.fullmatch(r"1\.[0-3]\.\d+([-+].*)?", spec.oci_version):
        cause = f"ociVersion {spec.oci_version!r} is not supported: {LOWEST} to {HIGHEST} are"
        raise InvalidDocument("read", "config.json", cause)
    linux = spec.linux
    if linux is None:
        raise InvalidDocument("read", "config.json", "it has no linux part")
    for name, given in (
        ("intelRdt", linux.intel_rdt),
        ("memoryPolicy", linux.memory_policy),
        ("netDevices", linux.net_devices),
    ):
        if given:
            raise InvalidDocument("use", f"linux.{name}", "sandcell-oci does not support it", "leave it out")
    kinds = [namespace.type for namespace in linux.namespaces]
    for kind in kinds:
        if kind not in _KINDS:
            raise InvalidDocument("read", "linux.namespaces", f"there is no namespace of type {kind!r}")
        if kinds.count(kind) > 1:
            raise InvalidDocument("read", "linux.namespaces", f"{kind} is listed twice")
    if "mount" not in kinds:
        cause = "without a mount namespace the mounts would be the host's"
        raise InvalidDocument("read", "linux.namespaces", cause, "add one of type mount")
    _check_maps(spec, kinds)
    for labelled, there in (
        (linux.mount_label or (spec.process and spec.process.selinux_label), "/sys/fs/selinux/enforce"),
        (spec.process and spec.process.apparmor_profile, "/sys/kernel/security/apparmor"),
    ):
        if labelled and not os.path.exists(there):
            raise InvalidDocument("use", f"label {labelled}", "this host enforces no such labels")
    if spec.process is not None:
        check_process(spec.process)


def _check_maps(spec: Spec, kinds: list[str]) -> None:
    linux = spec.linux
    assert linux is not None
    mapped = bool(linux.uid_mappings or linux.gid_mappings)
    joined = any(n.type == "user" and n.path for n in linux.namespaces)
    if mapped and "user" not in kinds:
        raise InvalidDocument("read", "linux.uidMappings", "ids are mapped in a user namespace only")
    if "user" in kinds and not joined and not (linux.uid_mappings and linux.gid_mappings):
        raise InvalidDocument("read", "linux.namespaces", "a new user namespace needs id mappings")
    if linux.time_offsets and not any(n.type == "time" and not n.path for n in linux.namespaces):
        raise InvalidDocument("read", "linux.timeOffsets", "they need a time namespace of its own")
    for clock in linux.time_offsets:
        if clock not in _CLOCKS:
            raise InvalidDocument("read", "linux.timeOffsets", f"there is no clock {clock!r} to set off")


def check_process(process: Process) -> None:
    """``InvalidDocument`` for a process that cannot be."""
    if not process.args:
        raise InvalidDocument("read", "process", "args is empty")
    if not process.cwd.startswith("/"):
        raise InvalidDocument("read", "process", f"cwd is not an absolute path: {process.cwd!r}")
    seen = [limit.type for limit in process.rlimits]
    for name in seen:
        if seen.count(name) > 1:
            raise InvalidDocument("read", "process.rlimits", f"{name} is listed twice")


def namespaces(spec: Spec) -> tuple[frozenset[str], tuple[tuple[str, str], ...]]:
    """The names (as in /proc/PID/ns) of those to make, and (name, path) of those to join."""
    linux = spec.linux
    assert linux is not None
    new = frozenset(_KINDS[n.type] for n in linux.namespaces if not n.path)
    joins = [(_KINDS[n.type], n.path) for n in linux.namespaces if n.path]
    # A user namespace first, for the rights over the others; the mounts last, for their paths.
    return new, tuple(sorted(joins, key=lambda join: {"user": 0, "mnt": 2}.get(join[0], 1)))
