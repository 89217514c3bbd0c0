"""Mount options of the runtime-spec, in the words of mount_setattr(2). Pure (config.md, "Linux mount
options").
"""

import msgspec

from sandcell.runtime.container.bundle_steps import Attributes
from sandcell.runtime.errors import InvalidDocument
from sandcell.runtime.oci.spec import Mount

RDONLY, NOSUID, NODEV, NOEXEC = 0x1, 0x2, 0x4, 0x8
ATIME, NOATIME, STRICTATIME, NODIRATIME = 0x70, 0x10, 0x20, 0x80
NOSYMFOLLOW = 0x200000

MS_UNBINDABLE, MS_PRIVATE, MS_SLAVE, MS_SHARED = 1 << 17, 1 << 18, 1 << 19, 1 << 20

PROPAGATION = {
    "unbindable": MS_UNBINDABLE,
    "private": MS_PRIVATE,
    "slave": MS_SLAVE,
    "shared": MS_SHARED,
}

# option → (set, clear) on the mount
_FLAGS = {
    "ro": (RDONLY, 0),
    "rw": (0, RDONLY),
    "nosuid": (NOSUID, 0),
    "suid": (0, NOSUID),
    "nodev": (NODEV, 0),
    "dev": (0, NODEV),
    "noexec": (NOEXEC, 0),
    "exec": (0, NOEXEC),
    "noatime": (NOATIME, ATIME),
    "atime": (0, ATIME),
    "relatime": (0, ATIME),
    "norelatime": (0, ATIME),
    "strictatime": (STRICTATIME, ATIME),
    "nostrictatime": (0, ATIME),
    "nodiratime": (NODIRATIME, 0),
    "diratime": (0, NODIRATIME),
    "nosymfollow": (NOSYMFOLLOW, 0),
    "symfollow": (0, NOSYMFOLLOW),
}
# The last two have no word in fsconfig(2): file systems that count versions do so unasked.
_NOTHING = (
    *("defaults", "async", "loud", "nolazytime", "nomand", "noiversion", "remount", "bind", "rbind"),
    *("silent", "iversion"),
)
_SUPERBLOCK = ("sync", "dirsync", "lazytime", "mand")
_COPY_UP = "tmpcopyup"
_IDMAP = ("idmap", "ridmap")

OPTIONS = tuple(
    sorted(
        {
            *_FLAGS,
            *(f"r{name}" for name in _FLAGS),
            *PROPAGATION,
            *(f"r{name}" for name in PROPAGATION),
            *_NOTHING,
            *_SUPERBLOCK,
            *_IDMAP,
            _COPY_UP,
        }
    )
)
"""All options that are not left to the file system."""


class Options(msgspec.Struct, frozen=True):
    """``data``: what the file system itself is told. ``idmap``: "", "idmap" or "ridmap"."""

    bind: bool
    recursive: bool
    remount: bool
    attributes: Attributes
    data: tuple[str, ...] = ()
    copy_up: bool = False
    idmap: str = ""


def parse(mount: Mount) -> Options:
    """What the options of ``mount`` mean. ``InvalidDocument`` for some that exclude each other."""
    here, tree = [0, 0], [0, 0]
    propagation: list[tuple[int, bool]] = []
    data: list[str] = []
    idmap = "idmap" if mount.uid_mappings or mount.gid_mappings else ""
    for option in mount.options:
        recursive = option[1:] if option.startswith("r") else ""
        if option in _FLAGS:
            _apply(here, _FLAGS[option])
        elif recursive in _FLAGS and option != "relatime":
            _apply(tree, _FLAGS[recursive])
        elif option in PROPAGATION:
            propagation.append((PROPAGATION[option], False))
        elif recursive in PROPAGATION:
            propagation.append((PROPAGATION[recursive], True))
        elif option in _IDMAP:
            idmap = option
        elif option not in _NOTHING and option != _COPY_UP:
            data.append(option)
    bind = mount.type == "bind" or "bind" in mount.options or "rbind" in mount.options
    if idmap and not bind:
        raise InvalidDocument("mount", mount.destination, "only bind mounts can be idmapped")
    if bool(mount.uid_mappings) != bool(mount.gid_mappings):
        raise InvalidDocument("mount", mount.destination, "uidMappings and gidMappings go together")
    return Options(
        bind=bind,
        recursive="rbind" in mount.options or idmap == "ridmap",
        remount="remount" in mount.options,
        attributes=Attributes(here[0], here[1], tree[0], tree[1], tuple(propagation)),
        data=tuple(data),
        copy_up=_COPY_UP in mount.options,
        idmap=idmap,
    )


def _apply(flags: list[int], change: tuple[int, int]) -> None:
    """A later option takes back an earlier one."""
    to_set, to_clear = change
    flags[0] = flags[0] & ~to_clear | to_set
    # The mask of access times is cleared together with setting one of them.
    flags[1] = flags[1] & ~(to_set & ~ATIME) | to_clear
