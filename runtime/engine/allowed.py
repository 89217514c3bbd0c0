"""Whether this host, and the options themselves, allow a container at all."""

import os
import resource
from typing import TYPE_CHECKING

from sandcell.runtime.container.flag_words import parse_ulimit
from sandcell.runtime.container.options import Options, parse_volume
from sandcell.runtime.engine import lower, sharing, userns
from sandcell.runtime.errors import HostRefused, InvalidOption
from sandcell.runtime.linux import capabilities, cgroups

if TYPE_CHECKING:
    from sandcell.runtime.engine.birth import Nursery


def check(nursery: "Nursery", options: Options) -> None:
    """``HostRefused`` or ``InvalidOption`` when this host, or the options, allow no such container."""
    options.check()
    obstacle = nursery.host.obstacle
    if nursery.host.rung == "none":
        asked = "rung none was asked for (SANDCELL_RUNG, or rung in config.toml)"
        cause = f"{obstacle.layer}: {obstacle.detail}" if obstacle else asked
        raise HostRefused(
            "run",
            "containers on this host",
            cause,
            (obstacle.fix if obstacle else "") or "see `sandcell doctor`",
        )
    lower.check(nursery.host, options)
    userns.check(nursery.host, options)
    for flag, value, controller in (
        ("--memory", options.memory, "memory"),
        ("--memory-swap", options.memory_swap, "memory"),
        ("--cpus", options.cpus, "cpu"),
        ("--cpu-shares", options.cpu_shares, "cpu"),
        ("--cpuset-cpus", options.cpuset_cpus or None, "cpuset"),
        ("--cpuset-mems", options.cpuset_mems or None, "cpuset"),
        ("--pids-limit", options.pids_limit, "pids"),
    ):
        if value is not None:
            _check_limit(flag, controller)
    for text in options.ulimits:
        _check_ulimit(text)
    if options.network not in ("none", "host"):
        from sandcell.runtime.engine import wiring

        wiring.check(nursery, options)
    sharing.check(nursery.host, options, cgroups=nursery.cgroups)
    for text in options.volumes:
        volume = parse_volume(text)
        source = volume.source
        if source.startswith("/") and not os.path.exists(source):
            raise InvalidOption(
                "mount volume", text, f"{source} does not exist on this machine", "make it first"
            )


def _check_limit(flag: str, controller: str) -> None:
    here = cgroups.layout()
    if controller in here.controllers:
        return
    cause = here.refused or f"this host gives our control groups no {controller} controller"
    raise HostRefused(
        "use", flag, cause or "no control groups here", "run without it, or see `sandcell doctor`"
    )


def _check_ulimit(text: str) -> None:
    """``HostRefused`` for more than setrlimit(2) grants to us."""
    limit = parse_ulimit(text)
    most = resource.getrlimit(getattr(resource, limit.type))[1]
    if "CAP_SYS_RESOURCE" in capabilities.names(capabilities.current().effective):
        with open("/proc/sys/fs/nr_open") as file:
            most = int(file.read()) if limit.type == "RLIMIT_NOFILE" else resource.RLIM_INFINITY
    if most != resource.RLIM_INFINITY and limit.hard > most:
        cause = f"we may not give more than {most} here"
        raise HostRefused("use", f"--ulimit {text}", cause, "ask for less")
