"""``update``: other limits for a container that is there."""

import os

from sandcell.runtime.errors import HostRefused, InvalidDocument, InvalidOption
from sandcell.runtime.oci.decode import decode
from sandcell.runtime.oci.spec import Resources
from sandcell.runtime.oci.spec_linux import BlockIo, Cpu, Memory, Pids
from sandcell.runtime.oci_cli import limits
from sandcell.runtime.oci_cli.arguments import Line
from sandcell.runtime.oci_cli.record import CREATED, PAUSED, RUNNING, Kept

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def update(line: Line, root: str) -> None:
    """Change limits as the command line or a document says. ``WrongState`` where nothing runs."""
    kept = Kept(root, line.id)
    try:
        kept.need("update", CREATED, RUNNING, PAUSED)
        group = kept.group
        if group is None:
            raise HostRefused("update", f"container {line.id}", "it has no control group")
        wanted = resources(line)
        if kept.record.unit:
            from sandcell.runtime.oci_cli import scope

            scope.change(kept.record.unit, wanted, unified=group.layout.unified)
        limits.impose(group, wanted)
    finally:
        kept.close()


def resources(line: Line) -> Resources:
    """What is asked for. ``InvalidOption`` or ``InvalidDocument``."""
    if line.has("resources"):
        path = line.get("resources")
        try:
            with open("/dev/stdin" if path == "-" else path, "rb") as file:
                return decode(Resources, file.read(), object=path)
        except OSError as error:
            raise InvalidDocument("read", path, os.strerror(error.errno or 0)) from None

    def number(name: str) -> int | None:
        return amount(name, line.get(name)) if line.get(name) else None

    most, weight = number("pids-limit"), number("blkio-weight")
    return Resources(
        memory=Memory(
            limit=number("memory"),
            reservation=number("memory-reservation"),
            swap=number("memory-swap"),
            kernel=number("kernel-memory"),
            kernel_tcp=number("kernel-memory-tcp"),
        ),
        cpu=Cpu(
            quota=number("cpu-quota"),
            period=number("cpu-period"),
            burst=number("cpu-burst"),
            idle=number("cpu-idle"),
            realtime_period=number("cpu-rt-period"),
            realtime_runtime=number("cpu-rt-runtime"),
            shares=number("cpu-share"),
            cpus=line.get("cpuset-cpus"),
            mems=line.get("cpuset-mems"),
        ),
        pids=None if most is None else Pids(most),
        block_io=None if weight is None else BlockIo(weight=weight),
    )


def amount(name: str, text: str) -> int:
    """A number as ``-1``, ``1024`` or ``32M``, in powers of 1024. ``InvalidOption`` for anything else."""
    digits = text.rstrip("bBkKmMgGtT")
    unit = text[len(digits) :].lower().removesuffix("b") or "b"
    if not digits.removeprefix("-").isdecimal() or unit not in _UNITS:
        raise InvalidOption("update", "", f"--{name} {text!r} is no number", "as 1024 or 32M")
    return int(digits) * _UNITS[unit]
