"""Reading a bundle. bundle.md, config.md."""

import os

import msgspec

from sandcell.runtime.errors import InvalidDocument
from sandcell.runtime.oci.decode import decode
from sandcell.runtime.oci.spec import Root, Spec
from sandcell.runtime.oci_cli.check import KINDS, check


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


def namespaces(spec: Spec) -> tuple[frozenset[str], tuple[tuple[str, str], ...]]:
    """The names (as in /proc/PID/ns) of those to make, and (name, path) of those to join."""
    listed = spec.linux.namespaces if spec.linux else ()
    new = frozenset(KINDS[n.type] for n in listed if not n.path)
    joins = [(KINDS[n.type], n.path) for n in listed if n.path]
    # A user namespace first, for the rights over the others; the mounts last, for their paths.
    return new, tuple(sorted(joins, key=lambda join: {"user": 0, "mnt": 2}.get(join[0], 1)))
