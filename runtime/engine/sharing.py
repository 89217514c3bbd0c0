"""Namespaces that a container shares: the host's, or those of another container."""

import os

import msgspec

from sandcell.runtime.container import state
from sandcell.runtime.container.options import Options
from sandcell.runtime.engine import record
from sandcell.runtime.engine.places import Places
from sandcell.runtime.errors import HostRefused, WrongState
from sandcell.runtime.linux.host_model import Host
from sandcell.runtime.oci.spec import Namespace, Spec

OTHER = "container:"


def check(host: Host, options: Options, *, cgroups: bool) -> None:
    """``HostRefused`` when this host allows no such sharing."""
    for kind, mode in (("ipc", options.ipc), ("pid", options.pid)):
        private = mode in ("", "private")
        if not private and host.rung != "root" and (kind, mode) != ("ipc", "host"):
            cause = "in a user namespace of its own a container can only have its own"
            raise HostRefused("use", f"--{kind} {mode}", cause, "run it as root, or leave the flag away")
        if not private and kind == "pid" and not cgroups:
            cause = "without a control group nobody could tell its processes from others"
            raise HostRefused("use", f"--{kind} {mode}", cause, "see limits in `sandcell doctor`")


def by_id(places: Places, options: Options) -> Options:
    """The options with other containers by their ids, for a name may be given to another.
    ``ContainerNotFound``."""
    found = {}
    for kind in ("network", "ipc", "pid"):
        mode: str = getattr(options, kind)
        if mode.startswith(OTHER):
            found[kind] = OTHER + record.find(places, mode.removeprefix(OTHER)).id
    return msgspec.structs.replace(options, **found) if found else options


def etc(places: Places, options: Options, files: dict[str, str]) -> dict[str, str]:
    """Paths of what is mounted into /etc, by name: who shares another's network reads its names there, too,
    unless others were asked for."""
    if not options.network.startswith(OTHER):
        return files
    home = places.container(record.find(places, options.network.removeprefix(OTHER)).id)
    own = {"hosts": options.add_host, "resolv.conf": options.dns or options.dns_search or options.dns_option}
    return {name: path if own.get(name) else _others(home, name, path) for name, path in files.items()}


def _others(home: str, name: str, path: str) -> str:
    return f"{home}/{name}" if name in ("hosts", "resolv.conf") and os.path.exists(f"{home}/{name}") else path


def namespace(places: Places, who: record.Record, mode: str, kind: str) -> str:
    """The path of the ``kind`` of namespace (as in /proc/PID/ns) of the container that ``mode`` names;
    ``WrongState`` unless it runs."""
    other = record.find(places, mode.removeprefix(OTHER))
    now = record.current(places, other)
    if now.status != state.RUNNING or now.init is None:
        cause = f"{other.name}, with whom it shares, does not run"
        raise WrongState("start", who.name, cause, f"start {other.name}")
    return f"/proc/{now.init.pid}/ns/{kind}"


def joined(places: Places, who: record.Record, spec: Spec) -> Spec:
    """The document with the ipc and pid namespaces of others in place of new ones."""
    modes = {"ipc": who.options.ipc, "pid": who.options.pid}
    paths = {
        kind: namespace(places, who, mode, kind) for kind, mode in modes.items() if mode.startswith(OTHER)
    }
    return replaced(spec, paths)


def replaced(spec: Spec, paths: dict[str, str]) -> Spec:
    """The document with the namespaces at these paths, by kind."""
    if not paths or spec.linux is None:
        return spec
    spaces = tuple(
        Namespace(space.type, paths.get(space.type, space.path)) for space in spec.linux.namespaces
    )
    return msgspec.structs.replace(spec, linux=msgspec.structs.replace(spec.linux, namespaces=spaces))
