"""A container or an image as one JSON-able map, under the names that ``docker inspect`` uses."""

import time
from typing import TYPE_CHECKING, Any

from sandcell.runtime.engine import record
from sandcell.runtime.errors import ContainerNotFound, ImageNotFound, NotFound
from sandcell.runtime.oci.decode import encode

if TYPE_CHECKING:
    from sandcell.runtime.engine.engine import Engine
    from sandcell.runtime.engine.values import Container


def inspect(engine: "Engine", name: str) -> dict[str, Any]:
    """The container of that name or id, else the image; ``NotFound`` when there is neither."""
    try:
        return container(engine, name)
    except ContainerNotFound as missing:
        try:
            return image(engine, name)
        except ImageNotFound as error:
            hint = error.hint or missing.hint
            raise NotFound("inspect", name, "no container and no image has that name", hint) from None


def container(engine: "Engine", name: str) -> dict[str, Any]:
    """A container as docker tells it, as far as it means the same here."""
    found = engine.container(name)
    who = record.find(engine.places, found.id)
    from sandcell.runtime.engine.birth import spec_of

    spec = spec_of(engine.places, who)
    assert spec.process is not None
    options = found.options
    return {
        "Id": found.id,
        "Name": found.name,
        "Created": stamp(found.created),
        "Path": found.command[0],
        "Args": list(found.command[1:]),
        "State": {
            "Status": found.state,
            "Running": found.state in ("running", "paused"),
            "Paused": found.state == "paused",
            "OOMKilled": found.oom,
            "Pid": found.pid or 0,
            "ExitCode": found.exit_status,
            "Error": found.error,
            "StartedAt": stamp(found.started),
            "FinishedAt": stamp(found.finished),
        },
        "Image": str(found.image_digest),
        "LogPath": f"{engine.places.container(found.id)}/log",
        "BundlePath": engine.places.container(found.id),
        "Rung": found.rung,
        "Facets": [
            {"Name": facet.name, "State": facet.state, "Reason": facet.reason} for facet in found.facets
        ],
        "HostConfig": {
            "IDMappings": {
                "UidMap": [f"{one.inside}:{one.outside}:{one.size}" for one in who.ids.uids],
                "GidMap": [f"{one.inside}:{one.outside}:{one.size}" for one in who.ids.gids],
            },
            "UsernsMode": options.userns,
            "Binds": list(options.volumes),
            "Tmpfs": list(options.tmpfs),
            "NetworkMode": options.network,
            "PublishedPorts": [str(port) for port in engine.ports(found)],
            "Memory": options.memory or 0,
            "NanoCpus": int((options.cpus or 0) * 1_000_000_000),
            "PidsLimit": options.pids_limit,
            "ReadonlyRootfs": options.read_only,
            "AutoRemove": options.remove,
        },
        "GraphDriver": {
            "Name": "overlay",
            "Data": {"UpperDir": f"{engine.places.container(found.id)}/upper"},
        },
        "Mounts": [
            {
                "Type": mount.type or "bind",
                "Source": mount.source,
                "Destination": mount.destination,
                "RW": "ro" not in mount.options,
            }
            for mount in spec.mounts
        ],
        "NetworkSettings": {
            "Ports": _ports(engine, found),
            "Networks": {
                name: dict(
                    zip(("IPAddress", "GlobalIPv6Address"), _addresses(engine, found, name), strict=True)
                )
                for name in (options.network, *options.more_networks)
            },
        },
        "CgroupsPath": spec.linux.cgroups_path if spec.linux is not None else "",
        "Config": {
            "Image": found.image,
            "Hostname": spec.hostname,
            "User": options.user,
            "Env": list(spec.process.env),
            "Cmd": list(found.command),
            "WorkingDir": spec.process.cwd,
            "Tty": options.tty,
            "OpenStdin": options.interactive,
            "StopSignal": options.stop_signal or _stop_signal(engine, who) or "SIGTERM",
            "StopTimeout": 10 if options.stop_timeout is None else options.stop_timeout,
            "Labels": dict(found.labels),
        },
    }


def _ports(engine: "Engine", found: "Container") -> dict[str, list[dict[str, str]]]:
    """The ports of the host that lead to each of its own; none while it does not run."""
    told: dict[str, list[dict[str, str]]] = {}
    for one in engine.ports(found):
        there = {"HostIp": one.address, "HostPort": str(one.host_port)}
        told.setdefault(f"{one.port}/{one.protocol}", []).append(there)
    return told


def _stop_signal(engine: "Engine", who: "record.Record") -> str:
    try:
        return engine.store.stop_signal(who)
    except ImageNotFound:
        return ""  # its image's last name was removed by force


def _addresses(engine: "Engine", found: "Container", network: str) -> tuple[str, str]:
    """Its addresses on a network that it is on; empty where it has none, or does not run."""
    from sandcell.runtime.errors import SandcellError

    if network in ("none", "host") or network.startswith("container:"):
        return "", ""
    try:
        entry = engine.network(network)
    except SandcellError:
        return "", ""  # the network was removed
    return entry.members.get(found.name, ""), entry.members6.get(found.name, "")


def image(engine: "Engine", name: str) -> dict[str, Any]:
    """An image as docker tells it."""
    import msgspec

    found = engine.image(name)
    config = found.config
    names = [entry.name for entry in engine.images() if entry.digest == found.digest]
    return {
        "Id": str(found.digest),
        "RepoTags": names,
        "Created": config.created,
        "Author": config.author,
        "Architecture": config.architecture,
        "Os": config.os,
        "Size": sum(layer.descriptor.size for layer in found.layers),
        "Config": msgspec.json.decode(encode(config.config)),
        "RootFS": {"Type": "layers", "Layers": [str(layer.diff_id) for layer in found.layers]},
        "Layers": [
            {
                "Digest": str(layer.descriptor.digest),
                "DiffId": str(layer.diff_id),
                "Size": layer.descriptor.size,
            }
            for layer in found.layers
        ],
    }


def stamp(seconds: float | None) -> str:
    """RFC 3339 in UTC, empty for no time."""
    if seconds is None:
        return ""
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1_000_000):06d}Z"
