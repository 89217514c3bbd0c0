"""Other limits for a container, at once if it runs and for its next lives."""

import os
from typing import Any

import msgspec

from sandcell.runtime.container import state
from sandcell.runtime.container.compose import resources
from sandcell.runtime.engine import birth, pausing, record
from sandcell.runtime.engine.places import Places
from sandcell.runtime.engine.record import Record
from sandcell.runtime.errors import HostRefused, InvalidOption
from sandcell.runtime.linux.cgroups import Limits
from sandcell.runtime.linux.cgroups_limits import UNLIMITED
from sandcell.runtime.linux.process import alive
from sandcell.runtime.oci.decode import encode
from sandcell.runtime.oci.spec import Cpu, Memory


def update(places: Places, who: Record, given: dict[str, Any]) -> Record:
    """The record with the limits that are given; the others stay. ``HostRefused`` without a control
    group, ``InvalidOption`` for a limit that the kernel does not take; then nothing is changed.
    ``ContainerNotFound`` when it was removed meanwhile."""
    if not given:
        hint = "--memory, --memory-swap, --cpus, --cpu-shares, --cpuset-cpus, --cpuset-mems or --pids-limit"
        raise InvalidOption("update", who.name, "no limit is given", hint)
    with record.changing(places, who, "update") as now:
        updated = _update(places, now, given)
    record.keep(places, who.id)
    return updated


def _update(places: Places, who: Record, given: dict[str, Any]) -> Record:
    lifted = [name for name in ("memory", "cpus") if given.get(name) == UNLIMITED]
    options = msgspec.structs.replace(who.options, **{**given, **dict.fromkeys(lifted)}).check()
    group = pausing.control_group(places, who, "update")
    limits = resources(options, {})
    now = record.current(places, who)
    if now.status == state.RUNNING and now.init is not None:
        cpu, memory = limits.cpu or Cpu(), limits.memory or Memory()
        if "memory" in lifted:
            memory = msgspec.structs.replace(memory, limit=UNLIMITED)
        if "cpus" in lifted:
            cpu = msgspec.structs.replace(cpu, quota=UNLIMITED)
        by_memory, by_cpu = {"memory", "memory_swap"} & set(given), "cpus" in given
        wanted = Limits(
            memory=memory.limit if by_memory else None,
            memory_swap=memory.swap if by_memory else None,
            cpu_quota=cpu.quota if by_cpu else None,
            cpu_period=cpu.period if by_cpu else None,
            cpu_shares=given.get("cpu_shares"),
            cpuset_cpus=given.get("cpuset_cpus", ""),
            cpuset_mems=given.get("cpuset_mems", ""),
            pids=given.get("pids_limit"),
        )
        try:
            group.limit(wanted)
        except HostRefused:
            if alive(now.init):  # else it has just ended, and its next start is what counts
                raise
    spec = birth.spec_of(places, who)
    assert spec.linux is not None
    old = spec.linux.resources
    if old is not None:
        limits = msgspec.structs.replace(limits, devices=old.devices)
        if old.pids is None and options.pids_limit is None:
            limits = msgspec.structs.replace(limits, pids=None)  # nobody counts them here
    changed = msgspec.structs.replace(spec, linux=msgspec.structs.replace(spec.linux, resources=limits))
    path = f"{places.container(who.id)}/config.json"
    with open(f"{path}.new", "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(encode(changed))
    os.rename(f"{path}.new", path)
    updated = msgspec.structs.replace(who, options=options)
    record.write(places, updated)
    return updated
