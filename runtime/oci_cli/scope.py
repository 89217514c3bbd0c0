"""Control groups that systemd makes: ``--cgroup-manager systemd``.

A scope needs a process to begin with, and the container's own shall be born inside. So another one holds
the place until it is. All of this is imported only where that manager is asked for.
"""

import os
import signal
from collections.abc import Callable

from sandcell.runtime.container.bundle_systemd import properties, scope
from sandcell.runtime.errors import HostRefused, SandcellError
from sandcell.runtime.linux import cgroups, process
from sandcell.runtime.linux.syscall import clone3
from sandcell.runtime.linux.systemd import Systemd
from sandcell.runtime.oci.spec_linux import Linux, Resources
from sandcell.runtime.oci_cli import limits
from sandcell.runtime.oci_cli.log import warn
from sandcell.runtime.oci_cli.record import Kept

_COUNTED = "TasksMax"


class Seat:
    """The scope of a new container. ``group``: its control group, made, with the controllers it needs."""

    def __init__(self, kept: Kept, linux: Linux, config: bytes) -> None:
        """Make it. The record names it from then on; who fails later calls ``verbs.remove_groups``."""
        self._user = not process.rules_the_machine()
        record, resources = kept.record, linux.resources or Resources()
        wanted = scope(linux.cgroups_path, record.id, user=self._user)
        layout = cgroups.whole()
        if not layout.writable:
            raise HostRefused("make", f"scope {wanted.name}", "no control groups are mounted here")
        self._unit, self._resources = wanted.name, resources
        self._limits = properties(resources, unified=layout.unified)
        given = wanted.properties(f"sandcell-oci container {record.id}") | self._limits
        # The one that holds the place is counted too: as long as it does, it must not be one too many.
        given.pop(_COUNTED, None)
        self._holder = _hold()
        try:
            with Systemd(user=self._user) as systemd:
                # Should this process be killed meanwhile, ``delete --force`` finds what to remove.
                record.unit = wanted.name
                kept.keep(config)
                try:
                    systemd.start_scope(wanted.name, self._holder, given)
                except HostRefused:
                    record.unit = ""  # there may be another one's of that name
                    raise
                self.group = cgroups.Cgroup(systemd.group(wanted.name), layout)
            record.cgroup, record.freezer = self.group.path, self.group.freezer
            limits.controllers_for(self.group, resources)
            record.groups = list(dict.fromkeys(self.group.directories().values()))
        except BaseException:
            self.close()
            raise

    @property
    def mover(self) -> Callable[[int], None] | None:
        """What brings a process into the group; ``None`` where we may do so ourselves."""
        return (lambda pid: enter(self._unit, pid)) if apart(self.group) else None

    def limit(self) -> None:
        """Now that the container is inside: nobody holds its place any more, and it is limited."""
        self.close()
        if _COUNTED in self._limits:
            with Systemd(user=self._user) as systemd:
                systemd.change(self._unit, {_COUNTED: self._limits[_COUNTED]})
        limits.impose(self.group, self._resources)

    def close(self) -> None:
        """Nobody holds the place any more; once more is no error."""
        if self._holder:
            os.kill(self._holder, signal.SIGKILL)
            os.waitpid(self._holder, 0)
            self._holder = 0


def _hold() -> int:
    pid, pidfd = clone3(0, signal.SIGCHLD)
    if pid == 0:
        process.prctl(process.PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.pause()
        os._exit(0)
    os.close(pidfd)
    return pid


def enter(unit: str, pid: int) -> None:
    """Have systemd move a process into the group of a container's scope. ``HostRefused``."""
    with Systemd(user=not process.rules_the_machine()) as systemd:
        systemd.attach(unit, pid)


def apart(group: cgroups.Cgroup) -> bool:
    """True where we may not put a process of ours into the group: that takes the right to write to the
    nearest group above both. cgroup-v2 in the kernel's docs, "Delegation Containment"."""
    base = group.layout.base
    if not base:
        return False
    ours = cgroups.parse_membership(process.read_text("/proc/self/cgroup")).get("", "/")
    above = os.path.commonpath([base + ours.rstrip("/"), *group.directories().values()])
    return not os.access(f"{above}/cgroup.procs", os.W_OK, effective_ids=True)


def change(unit: str, resources: Resources, *, unified: bool) -> None:
    """Tell systemd the limits that it has words for. ``HostRefused``."""
    wanted = properties(resources, unified=unified)
    if wanted:
        with Systemd(user=not process.rules_the_machine()) as systemd:
            systemd.change(unit, wanted)


def end(kept: Kept) -> None:
    """End the scope of a container, with what runs in it. A systemd that does not answer is warned of: the
    group itself can be removed without it."""
    group = kept.group
    if group is not None:
        group.kill()
    try:
        with Systemd(user=not process.rules_the_machine()) as systemd:
            systemd.stop(kept.record.unit)
    except SandcellError as error:
        warn(str(error))
