"""Who refused, how that was found out, and what to do about it: a pure function of the facts.

The kernel gives one errno for many reasons, so each answer rests on something that was read or
tried beside it: a system-call filter answers even calls with faulty arguments, a limit stands in
/proc/sys, a profile in /proc/self/attr, missing rights in the effective capabilities.
"""

import errno
import os
from collections.abc import Callable

import msgspec

from sandcell.runtime.linux.host_model import Facts, Trial

CAP_SETFCAP = 31
CAP_SYS_ADMIN = 21
CAP_SYS_CHROOT = 18

# File systems that cannot hold the writable layer of an overlay.
_NOT_UPPER = {"overlay", "nfs", "nfs4", "cifs", "smb3", "9p", "vfat", "exfat", "fuse", "virtiofs", "afs"}

# What limits each kind of namespace, by a word of the step. namespaces(7), /proc/sys/user.
_LIMITS = {
    "user namespace": "max_user_namespaces",
    "mount namespace": "max_mnt_namespaces",
    "pid namespace": "max_pid_namespaces",
    "network namespace": "max_net_namespaces",
    "hostname (uts) namespace": "max_uts_namespaces",
    "ipc namespace": "max_ipc_namespaces",
    "cgroup namespace": "max_cgroup_namespaces",
}

LIMITS = tuple(_LIMITS.values())


class Blame(msgspec.Struct, frozen=True):
    """The layer that refused, how it was found out, and the fix in words a learner understands."""

    layer: str
    detail: str
    fix: str


def blame(trial: Trial, facts: Facts) -> Blame:
    """Who made ``trial`` fail. The first rule that can prove its case speaks."""
    refusal = f"{trial.step} failed with {_name(trial.errno)}" if trial.step else _name(trial.errno)
    for rule in _RULES:
        found = rule(trial, facts)
        if found is not None:
            return msgspec.structs.replace(found, detail=f"{refusal}; {found.detail}")
    return Blame("kernel", f"{refusal}; nothing else that could have refused was found", "")


PROFILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "apparmor", "sandcell")


def apparmor_profile(label: str) -> str:
    """The AppArmor profile that holds a process of this ``label``, empty when none does."""
    return label if label.endswith("(enforce)") else ""


def _name(number: int) -> str:
    return f"{errno.errorcode.get(number, str(number))} ({os.strerror(number)})"


def _filter(trial: Trial, _: Facts) -> Blame | None:
    if not trial.filtered:
        return None
    return Blame(
        "seccomp",
        f"{trial.call} is refused even with arguments for which the kernel itself has another "
        "answer, so a system-call filter speaks (Seccomp: 2 in /proc/self/status)",
        f"start the surrounding container with a seccomp profile that allows {trial.call} "
        "(docker and podman: --security-opt seccomp=FILE; Kubernetes: seccompProfile in the pod's "
        "securityContext; JupyterHub there: c.KubeSpawner.container_security_context)",
    )


def _limit(trial: Trial, facts: Facts) -> Blame | None:
    if trial.errno not in (errno.ENOSPC, errno.EUSERS):
        return None
    for words, sysctl in _LIMITS.items():
        if words in trial.step:
            value = facts.sysctls.get(f"user.{sysctl}")
            found = f"user.{sysctl} is {value}"
            if value is None or value > 0:
                found += ", so all are in use, or a namespace around this one allows fewer"
            return Blame("sysctl", found, f"as root: sysctl -w user.{sysctl}=15000")
    return None


def _ubuntu(trial: Trial, facts: Facts) -> Blame | None:
    # Ubuntu since 23.10: the namespace is made, but without rights in it unless a profile says so.
    if not facts.sysctls.get("kernel.apparmor_restrict_unprivileged_userns"):
        return None
    if trial.errno not in (errno.EPERM, errno.EACCES) or facts.uid == 0 or trial.own:
        return None
    return Blame(
        "AppArmor",
        "kernel.apparmor_restrict_unprivileged_userns is 1: only programs with a profile that allows "
        "it get rights in a user namespace",
        f"load the profile that comes with sandcell, as root: cp {PROFILE} /etc/apparmor.d/ && "
        "apparmor_parser -r /etc/apparmor.d/sandcell; then start what shall run containers with it: "
        "aa-exec -p sandcell -- jupyter lab",
    )


def _debian(trial: Trial, facts: Facts) -> Blame | None:
    if facts.sysctls.get("kernel.unprivileged_userns_clone") != 0:
        return None
    if trial.errno != errno.EPERM or "user namespace" not in trial.step or _has(facts, CAP_SYS_ADMIN):
        return None
    return Blame(
        "sysctl",
        "kernel.unprivileged_userns_clone is 0",
        "as root: sysctl -w kernel.unprivileged_userns_clone=1",
    )


def _chrooted(trial: Trial, facts: Facts) -> Blame | None:
    if trial.errno != errno.EPERM or trial.step != "make a user namespace" or not facts.chrooted:
        return None
    return Blame(
        "kernel",
        "this process runs in a chroot (its root is no mount point), where no user namespace can be made",
        "enter the tree with pivot_root instead of chroot, or bind-mount it onto itself first",
    )


def _capabilities(trial: Trial, facts: Facts) -> Blame | None:
    if trial.errno != errno.EPERM:
        return None
    if trial.call == "chroot" and not _has(facts, CAP_SYS_CHROOT) and trial.own:
        return Blame("capabilities", "CAP_SYS_CHROOT is not in the effective set", "keep CAP_SYS_CHROOT")
    if trial.step.startswith("map the user") and facts.uid == 0 and not _has(facts, CAP_SETFCAP):
        return Blame(
            "capabilities",
            "uid 0 may only be mapped with CAP_SETFCAP, which is not in the effective set",
            "keep CAP_SETFCAP (docker: --cap-add SETFCAP), or run as a user other than root",
        )
    if trial.own and not _has(facts, CAP_SYS_ADMIN):
        return Blame(
            "capabilities",
            "CAP_SYS_ADMIN is not in the effective set (CapEff in /proc/self/status)",
            "keep CAP_SYS_ADMIN (docker: --cap-add SYS_ADMIN), or run as a plain user with user namespaces",
        )
    return None


def _masked(trial: Trial, facts: Facts) -> Blame | None:
    if "mount /proc" not in trial.step or trial.errno != errno.EPERM or not facts.masked:
        return None
    return Blame(
        "masked /proc",
        f"{len(facts.masked)} mounts hide parts of /proc here ({facts.masked[0]}, …), and in a user "
        "namespace the kernel gives a fresh /proc only where the old one is whole",
        "start the surrounding container with an unmasked /proc (docker: --security-opt "
        "systempaths=unconfined; Kubernetes: procMount: Unmasked)",
    )


def _profile(trial: Trial, facts: Facts) -> Blame | None:
    if trial.errno not in (errno.EPERM, errno.EACCES) or "in the store" in trial.step:
        return None
    profile = apparmor_profile(facts.label)
    if profile:
        return Blame(
            "AppArmor",
            f"the profile {profile} is on (/proc/self/attr/current), and no other layer was found",
            "start the surrounding container with --security-opt apparmor=unconfined "
            "(Kubernetes: appArmorProfile: Unconfined; JupyterHub there: "
            "c.KubeSpawner.container_security_context)",
        )
    if facts.label.count(":") >= 2 and trial.errno == errno.EACCES:
        return Blame(
            "SELinux",
            f"this process runs as {facts.label} (/proc/self/attr/current), and no other layer was found",
            "ask for a domain that may make namespaces; ausearch -m avc shows what was refused",
        )
    return None


def _overlay(trial: Trial, facts: Facts) -> Blame | None:
    if "overlay" not in trial.step and "in the store" not in trial.step:
        return None
    place = f"the store {facts.store} is on {facts.filesystem or 'an unknown file system'}"
    elsewhere = "set SANDCELL_HOME to a directory on a local disk (ext4, xfs, btrfs) or on tmpfs"
    if trial.errno == errno.ENODEV:
        return Blame("kernel", "the kernel has no overlay file system", "as root: modprobe overlay")
    if "in the store" in trial.step:
        return Blame("file system", f"{place} and cannot be written", elsewhere)
    if facts.filesystem.partition(".")[0] in _NOT_UPPER:
        return Blame("file system", f"{place}, which cannot hold the writable layer of an overlay", elsewhere)
    if trial.own and facts.nested:
        return Blame(
            "kernel",
            "only root of the first user namespace may write the marks (trusted.*) of an overlay, "
            "and this one is nested (/proc/self/uid_map)",
            "allow user namespaces here: in one more of them the marks are written as user.*",
        )
    if not trial.own and version(facts.kernel) < (5, 11):
        return Blame(
            "kernel",
            f"Linux {facts.kernel} mounts an overlay only for root; user namespaces may since 5.11",
            "use a newer kernel, or run as root",
        )
    if trial.errno in (errno.EINVAL, errno.EOPNOTSUPP, errno.EIO, errno.EROFS, errno.ENOSPC, errno.EDQUOT):
        return Blame("file system", place, elsewhere)
    return None


def _built_without(trial: Trial, facts: Facts) -> Blame | None:
    if trial.errno == errno.ENOSYS and facts.seccomp == 2:
        return Blame(
            "seccomp",
            f"every Linux of today has {trial.call or 'this call'}, and a system-call filter is on",
            "start the surrounding container with a seccomp profile that allows it",
        )
    if trial.call == "unshare" and trial.errno in (errno.EINVAL, errno.ENOSYS):
        return Blame("kernel", "this kernel was built without that namespace", "use a distribution's kernel")
    return None


def _some_filter(trial: Trial, facts: Facts) -> Blame | None:
    if facts.seccomp != 2 or trial.errno not in (errno.EPERM, errno.EACCES):
        return None
    return Blame(
        "seccomp",
        "a system-call filter is on (Seccomp: 2 in /proc/self/status), and no other layer was found",
        f"start the surrounding container with a seccomp profile that allows {trial.call or 'this'}",
    )


def _has(facts: Facts, capability: int) -> bool:
    return bool(facts.capabilities >> capability & 1)


def version(kernel: str) -> tuple[int, int]:
    """``(6, 1)`` of ``6.1.0-18-amd64``; ``(0, 0)`` of a text that names no version."""
    numbers = []
    for part in kernel.split(".")[:2]:
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        numbers.append(int(digits) if digits else 0)
    return (numbers[0], numbers[1]) if len(numbers) == 2 else (0, 0)


_RULES: tuple[Callable[[Trial, Facts], Blame | None], ...] = (
    _filter,
    _limit,
    _chrooted,
    _debian,
    _capabilities,
    _masked,
    _ubuntu,
    _overlay,
    _profile,
    _built_without,
    _some_filter,
)
