"""Saying no to a document that breaks a rule, or asks for what we do not support. config.md,
config-linux.md: "Runtimes MUST generate an error when invalid or unsupported values are encountered"."""

import os
import re

import msgspec

from sandcell.runtime.container.bundle_memory import memory_policy
from sandcell.runtime.container.identity import NAMESPACES
from sandcell.runtime.errors import InvalidDocument
from sandcell.runtime.linux import capabilities
from sandcell.runtime.oci.spec import Capabilities, Hooks, Linux, Process, Seccomp, Spec
from sandcell.runtime.oci_cli.log import warn
from sandcell.runtime.oci_cli.record import version

LOWEST, HIGHEST = "1.0.0", "1.3.0"
KINDS = {**NAMESPACES, "time": "time"}

SELINUX = "/sys/fs/selinux/enforce"
# Until then an unknown capability had to be an error; since then it has to be a warning.
_TOLERANT = (1, 1, 0)
_CLOCKS = ("boottime", "monotonic")
_WITH_ERRNO = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")


def _bad(where: str, cause: str, hint: str = "") -> InvalidDocument:
    return InvalidDocument("read", where, cause, hint)


def check(spec: Spec) -> None:
    """``InvalidDocument`` names what may not be."""
    if not re.fullmatch(r"1\.[0-3]\.\d+([-+].*)?", spec.oci_version):
        cause = f"ociVersion {spec.oci_version!r} is not supported: {LOWEST} to {HIGHEST} are"
        raise _bad("config.json", cause)
    if "" in spec.annotations:
        raise _bad("annotations", "a key is empty")
    for moment, hooks in msgspec.structs.asdict(spec.hooks or Hooks()).items():
        for hook in hooks:
            if not hook.path.startswith("/"):
                raise _bad(f"hooks.{moment}", f"path is not absolute: {hook.path!r}")
            if hook.timeout is not None and hook.timeout <= 0:
                raise _bad(f"hooks.{moment}", f"timeout is not greater than zero: {hook.timeout}")
    linux = spec.linux or Linux()
    if linux.intel_rdt:
        raise InvalidDocument("use", "linux.intelRdt", "sandcell-oci does not support it", "leave it out")
    if linux.net_devices and not any(namespace.type == "network" for namespace in linux.namespaces):
        raise _bad("linux.netDevices", "they need a network namespace other than the host's")
    if linux.memory_policy is not None:
        memory_policy(linux.memory_policy)
    _check_namespaces(linux)
    for name, paths in (("maskedPaths", linux.masked_paths), ("readonlyPaths", linux.readonly_paths)):
        for path in paths:
            if not path.startswith("/"):
                raise _bad(f"linux.{name}", f"a path is not absolute: {path!r}")
    if linux.seccomp is not None:
        _check_seccomp(linux.seccomp)
    if spec.process is not None:
        check_process(spec.process, spec.oci_version)


def _check_namespaces(linux: Linux) -> None:
    kinds = [namespace.type for namespace in linux.namespaces]
    for namespace in linux.namespaces:
        kind, path = namespace.type, namespace.path
        if kind not in KINDS:
            raise _bad("linux.namespaces", f"there is no namespace of type {kind!r}")
        if kinds.count(kind) > 1:
            raise _bad("linux.namespaces", f"{kind} is listed twice")
        if path and not path.startswith("/"):
            raise _bad("linux.namespaces", f"path is not absolute: {path!r}")
    mapped = bool(linux.uid_mappings or linux.gid_mappings)
    joined = any(n.type == "user" and n.path for n in linux.namespaces)
    if mapped and "user" not in kinds:
        raise _bad("linux.uidMappings", "ids are mapped in a user namespace only")
    if "user" in kinds and not joined and not (linux.uid_mappings and linux.gid_mappings):
        raise _bad("linux.namespaces", "a new user namespace needs id mappings")
    if linux.time_offsets and not any(n.type == "time" and not n.path for n in linux.namespaces):
        raise _bad("linux.timeOffsets", "they need a time namespace of its own")
    for clock in linux.time_offsets:
        if clock not in _CLOCKS:
            raise _bad("linux.timeOffsets", f"there is no clock {clock!r} to set off")


def _check_seccomp(seccomp: Seccomp) -> None:
    where = "linux.seccomp"
    if seccomp.listener_metadata and not seccomp.listener_path:
        raise _bad(where, "listenerMetadata needs a listenerPath")
    if seccomp.default_errno_ret is not None and seccomp.default_action not in _WITH_ERRNO:
        raise _bad(where, f"{seccomp.default_action} has no errno, but defaultErrnoRet is set")
    for rule in seccomp.syscalls:
        if not rule.names:
            raise _bad(where, "an entry of syscalls names none")
        if rule.errno_ret is not None and rule.action not in _WITH_ERRNO:
            raise _bad(where, f"{rule.action} has no errno, but errnoRet is set")


def check_process(process: Process, oci_version: str) -> None:
    """``InvalidDocument`` for a process that cannot be in a bundle of that version."""
    if not process.args:
        raise _bad("process", "args is empty")
    if not process.cwd.startswith("/"):
        raise _bad("process", f"cwd is not an absolute path: {process.cwd!r}")
    for entry in process.env:
        if not entry.partition("=")[0] or "=" not in entry:
            raise _bad("process.env", f"it is no NAME=VALUE: {entry!r}")
    if process.capabilities is not None and version(oci_version) < _TOLERANT:
        for name in set().union(*msgspec.structs.astuple(process.capabilities)):
            if name not in capabilities.NAMES:
                raise _bad("process.capabilities", f"there is no {name}")
    seen = [limit.type for limit in process.rlimits]
    for name in seen:
        if seen.count(name) > 1:
            raise _bad("process.rlimits", f"{name} is listed twice")
    _check_label(process.selinux_label, SELINUX)
    _check_label(process.apparmor_profile, "/sys/kernel/security/apparmor")


def _check_label(label: str, there: str) -> None:
    if label and not os.path.exists(there):
        raise InvalidDocument("use", f"label {label}", "this host enforces no such labels")


def settled(process: Process, *, all_ours: bool) -> Process:
    """The process with our umask where it names none, and with the capabilities that can be granted:
    those that the kernel knows, that we have ourselves (``all_ours``: a new user namespace has all), and
    that capabilities(7) lets stand in their set. Each that is left out is warned of, as config.md wants
    it."""
    if process.user.umask is None:
        umask = os.umask(0o022)
        os.umask(umask)
        process = msgspec.structs.replace(process, user=msgspec.structs.replace(process.user, umask=umask))
    if process.capabilities is None:
        return process
    given = process.capabilities
    ours = frozenset(capabilities.names(-1 if all_ours else capabilities.current().permitted))
    # The bounding set takes nothing away from a process, so what we lack ourselves may stay in it.
    bounding = _known(given.bounding, capabilities.NAMES, "bounding", "unknown")
    permitted = _known(given.permitted, ours, "permitted", "not to be had")
    inheritable = _known(given.inheritable, ours, "inheritable", "not to be had")
    inheritable = _known(inheritable, bounding, "inheritable", "not in the bounding set")
    effective = _known(given.effective, permitted, "effective", "not permitted")
    ambient = _known(given.ambient, permitted, "ambient", "not permitted")
    ambient = _known(ambient, inheritable, "ambient", "not inheritable")
    sets = Capabilities(
        bounding=bounding,
        effective=effective,
        permitted=permitted,
        inheritable=inheritable,
        ambient=ambient,
    )
    return msgspec.structs.replace(process, capabilities=sets)


def _known(
    names: tuple[str, ...], known: tuple[str, ...] | frozenset[str], where: str, why: str
) -> tuple[str, ...]:
    refused = [name for name in names if name not in known]
    if refused:
        warn(f"left out of the {where} capabilities, as {why}: {', '.join(refused)}")
    return tuple(name for name in names if name in known)
