"""``Spec`` → ``Plan`` where nothing can be mounted (rungs nomount and chroot): chroot(2) into a copy.

No /proc, no device that the copy has not, nothing of the host bound in: whatever of the host the
container shall see was copied into its tree before.
"""

from sandcell.runtime.container import plan as mounting
from sandcell.runtime.container import root_steps as r
from sandcell.runtime.container import steps as s
from sandcell.runtime.linux.idmap import IdMap
from sandcell.runtime.oci.spec import Linux, Process, Spec

_HOST_TERMINALS = "/dev/ptmx"


def copied_plan(
    spec: Spec,
    process: Process,
    root: str,
    names: tuple[str, ...],
    idmap: IdMap,
    compile_filter: mounting.Compile,
    *,
    reaper: bool = False,
) -> s.Plan:
    """The steps that make the container of ``spec`` from the copy at ``root``, in namespaces ``names``."""
    linux = spec.linux or Linux()
    inside: list[s.Inside] = []
    if idmap.user_namespace:
        inside.append(s.AwaitIds(idmap.uids[0].inside, idmap.gids[0].inside))
    if linux.cgroups_path:
        inside.append(s.EnterCgroup(new_namespace=False))
    if "net" in names:
        inside.append(s.Loopback())
    if process.terminal:
        size = process.console_size
        inside.append(s.Console(size.height if size else 0, size.width if size else 0, _HOST_TERMINALS))
    inside += [r.ChangeRoot(root), s.Directory(process.cwd)]
    if "uts" in names and (spec.hostname or spec.domainname):
        inside.append(s.Hostname(spec.hostname, spec.domainname))
    steps = mounting.process_steps(process, linux, idmap, compile_filter, reaper=reaper)
    return s.Plan(mounting.outside_steps(linux, names, idmap), (*inside, *kept_below(steps)))


def kept_below(steps: list[s.Inside]) -> list[s.Inside]:
    """The steps with Landlock's rules, as soon as a process without rights may ask for them."""
    found: list[s.Inside] = []
    for step in steps:
        found.append(step)
        if isinstance(step, s.Identity) and step.no_new_privileges:
            found.append(r.KeepBelow())
    return found
