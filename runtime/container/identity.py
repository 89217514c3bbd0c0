"""Words of the runtime-spec that every plan of a container translates: namespaces, and who runs in them."""

from sandcell.runtime.container import steps as s
from sandcell.runtime.linux import capabilities
from sandcell.runtime.linux.idmap import IdMap
from sandcell.runtime.oci.spec import Capabilities, User

# as the specification calls them → as /proc/PID/ns does
NAMESPACES = {
    "pid": "pid",
    "network": "net",
    "mount": "mnt",
    "ipc": "ipc",
    "uts": "uts",
    "user": "user",
    "cgroup": "cgroup",
}


def identity(user: User, sets: Capabilities | None, idmap: IdMap, *, no_new_privileges: bool) -> s.Identity:
    """The step that gives up everything but this user and these capabilities."""
    sets = sets or Capabilities()
    return s.Identity(
        uid=user.uid,
        gid=user.gid,
        groups=user.additional_gids,
        umask=0o022 if user.umask is None else user.umask,
        bounding=capabilities.mask(sets.bounding),
        effective=capabilities.mask(sets.effective),
        permitted=capabilities.mask(sets.permitted),
        inheritable=capabilities.mask(sets.inheritable),
        ambient=capabilities.mask(sets.ambient),
        # With a single id setgroups(2) is denied for good.
        setgroups=not idmap.single,
        no_new_privileges=no_new_privileges,
    )
