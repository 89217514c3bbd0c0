"""The process of a ``config.json`` → the last steps of its init, or those of an ``exec``. Pure."""

from collections.abc import Callable
from typing import Protocol

import msgspec

from sandcell.runtime.container import bundle_steps as b
from sandcell.runtime.container import steps as s
from sandcell.runtime.container.bundle_memory import memory_policy
from sandcell.runtime.container.identity import identity
from sandcell.runtime.errors import InvalidDocument
from sandcell.runtime.linux.capabilities import mask
from sandcell.runtime.linux.idmap import IdMap
from sandcell.runtime.linux.seccomp_load import FILTER_FLAGS
from sandcell.runtime.oci.spec import Hook, Linux, Process, Seccomp

_ADMIN = mask(("CAP_SYS_ADMIN",))
_PERSONALITIES = {"LINUX": 0, "LINUX32": 8}

# What the kernel keeps for each ipc namespace; all of net.* is kept for each network namespace.
_IPC = (
    "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax",
    "kernel.shmmni", "kernel.shm_rmid_forced", "kernel.msg_next_id", "kernel.sem_next_id",
    "kernel.shm_next_id",
)  # fmt: skip
_UTS = ("kernel.domainname", "kernel.hostname")


class Surroundings(Protocol):
    """What the steps need to know beside the document."""

    @property
    def agent(self) -> int:
        """Descriptor of the connection to the agent that listens to the filter; -1 without."""

    @property
    def setgroups(self) -> bool:
        """False where the user namespace may never call setgroups(2)."""

    @property
    def preserve(self) -> int:
        """How many descriptors from 3 on the program keeps."""


def program(
    process: Process,
    linux: Linux,
    hooks: tuple[Hook, ...],
    compile_filter: Callable[[Seccomp], tuple[bytes, int]],
    around: Surroundings,
    *,
    wait: bool = True,
) -> list[s.Step]:
    """Give rights up, wait for the start where ``wait``, call ``hooks``, execute."""
    if not process.args:
        raise InvalidDocument("create", "container", "process.args is empty")
    if not process.cwd.startswith("/"):
        raise InvalidDocument("create", "container", f"process.cwd is not absolute: {process.cwd!r}")
    steps: list[s.Step] = [s.Directory(process.cwd)]
    if linux.personality is not None:
        if linux.personality.domain not in _PERSONALITIES or linux.personality.flags:
            raise InvalidDocument("create", "container", f"no such personality: {linux.personality.domain}")
        steps.append(b.Domain(_PERSONALITIES[linux.personality.domain]))
    if linux.memory_policy is not None:
        steps.append(memory_policy(linux.memory_policy))
    if process.apparmor_profile:
        steps.append(b.Label("apparmor", f"exec {process.apparmor_profile}"))
    if process.selinux_label:
        steps.append(b.Label("selinux", process.selinux_label))
    become = identity(
        process.user, process.capabilities, IdMap(), no_new_privileges=process.no_new_privileges
    )
    if not around.setgroups:
        if process.user.additional_gids:
            cause = "a plain user's namespace of one id may have no additional groups"
            raise InvalidDocument("create", "container", cause, "leave additionalGids out")
        become = msgspec.structs.replace(become, setgroups=False)
    filtered: list[s.Step] = []
    if linux.seccomp:
        filtered.append(_filter(linux.seccomp, compile_filter, around))
        if not process.no_new_privileges:
            # seccomp(2) then needs CAP_SYS_ADMIN. It comes last all the same: a filter that forbids
            # what waiting and hooks need must not keep the program from being executed.
            filtered.append(b.Hold(become.effective, become.permitted, become.inheritable))
            become = msgspec.structs.replace(
                become, effective=become.effective | _ADMIN, permitted=become.permitted | _ADMIN
            )
    steps += [become, b.ChangeDirectory(process.cwd)]
    if wait:
        steps += [b.FindProgram(process.args, process.env), b.AwaitStart()]
    if hooks:
        steps.append(b.CallHooks("startContainer", hooks))
    return [*steps, *filtered, b.Run(process.args, process.env, around.preserve)]


def _filter(
    seccomp: Seccomp, compile_filter: Callable[[Seccomp], tuple[bytes, int]], around: Surroundings
) -> s.Step:
    bytecode, flags = compile_filter(seccomp)
    asks = [rule for rule in seccomp.syscalls if rule.action == "SCMP_ACT_NOTIFY"]
    if not asks:
        return s.Filter(bytecode, flags & ~FILTER_FLAGS["NEW_LISTENER"])
    if not seccomp.listener_path:
        raise InvalidDocument("filter", "system calls", "SCMP_ACT_NOTIFY needs a listenerPath")
    if any({"sendmsg", "write"} & set(rule.names) for rule in asks):
        # The listener itself is handed over by them, when the filter holds already.
        raise InvalidDocument("filter", "system calls", "write and sendmsg cannot be notified")
    return b.NotifyFilter(
        bytecode, flags | FILTER_FLAGS["NEW_LISTENER"], seccomp.listener_metadata, around.agent
    )


def still_ours(name: str, own: frozenset[str]) -> None:
    """``InvalidDocument`` where a sysctl would change the host."""
    dotted = name.replace("/", ".")
    needed = "net" if dotted.startswith("net.") else ""
    if dotted in _IPC or dotted.startswith("fs.mqueue."):
        needed = "ipc"
    if dotted in _UTS:
        needed = "uts"
    if not needed:
        raise InvalidDocument("set", f"sysctl {name}", "it has no namespace, the host would change")
    if needed not in own:
        raise InvalidDocument("set", f"sysctl {name}", f"the container has no {needed} namespace of its own")
