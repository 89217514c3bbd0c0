"""Other limits for a container, at once if it runs and for its next lives."""

import os

import msgspec

from sandcell.runtime.container import state
from sandcell.runtime.container.compose import CPU_PERIOD, resources
from sandcell.runtime.engine import birth, pausing, record
from sandcell.runtime.engine.places import Places
from sandcell.runtime.engine.record import Record
from sandcell.runtime.errors import InvalidOption
from sandcell.runtime.linux.cgroups import Limits
from sandcell.runtime.oci.decode import encode


def update(
    places: Places, who: Record, *, memory: int | None, cpus: float | None, pids_limit: int | None
) -> Record:
    """The record with the limits that are given; the others stay. ``HostRefused`` without a control
    group, ``InvalidOption`` for a limit that the kernel does not take; then nothing is changed."""
    asked = {"memory": memory, "cpus": cpus, "pids_limit": pids_limit}
    given = {name: value for name, value in asked.items() if value is not None}
    if not given:
        raise InvalidOption("update", who.name, "no limit is given", "--memory, --cpus or --pids-limit")
    options = msgspec.structs.replace(who.options, **given).check()
    group = pausing.control_group(places, who, "update")
    if record.current(places, who).status == state.RUNNING:
        group.limit(
            Limits(
                memory=memory,
                memory_swap=memory,
                cpu_quota=None if cpus is None else int(cpus * CPU_PERIOD),
                cpu_period=None if cpus is None else CPU_PERIOD,
                pids=pids_limit,
            )
        )
    spec = birth.spec_of(places, who)
    assert spec.linux is not None
    limits = resources(options, {})
    if spec.linux.resources is not None:
        limits = msgspec.structs.replace(limits, devices=spec.linux.resources.devices)
    changed = msgspec.structs.replace(spec, linux=msgspec.structs.replace(spec.linux, resources=limits))
    path = f"{places.container(who.id)}/config.json"
    with open(f"{path}.new", "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(encode(changed))
    os.rename(f"{path}.new", path)
    updated = msgspec.structs.replace(who, options=options)
    record.write(places, updated)
    return updated
