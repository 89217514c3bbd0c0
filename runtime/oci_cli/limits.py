"""The resources of a ``config.json`` put on a control group."""

from sandcell.runtime.container.bundle_resources import controllers, files, limits
from sandcell.runtime.linux.cgroups import USUAL, Cgroup
from sandcell.runtime.oci.spec_linux import Resources


def make(group: Cgroup, resources: Resources) -> None:
    """Make the group with the controllers that ``resources`` need, and limit it. ``InvalidDocument``,
    ``InvalidOption`` or ``HostRefused`` name what cannot be."""
    controllers_for(group, resources)
    impose(group, resources)


def controllers_for(group: Cgroup, resources: Resources) -> None:
    """Make the group where it is missing, with the controllers that ``resources`` need. Errors as of
    ``make``."""
    group.create({*USUAL, *controllers(resources, unified=group.layout.unified)})


def impose(group: Cgroup, resources: Resources) -> None:
    """Limit a group that is there; errors as of ``make``, what came before is limited then."""
    group.limit(limits(resources))
    for file in files(resources, unified=group.layout.unified):
        name = file.name
        if not group.has(file.controller, name):
            if file.optional:
                continue
            name = file.instead if group.has(file.controller, file.instead) else name
        group.write(file.controller, name, file.text)
