"""Limits of a control group, in one set of words for v1 and v2, and what it has used."""

import errno
import math
import os

import msgspec

from sandcell.runtime.errors import HostRefused, InvalidOption

MEMORY_FLOOR = 6 << 20
UNLIMITED = -1

# The kernel's own, of both versions
_PERIOD = 100_000


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """``None`` and empty leave things as they are, -1 takes a limit away.

    ``memory``: bytes. ``memory_swap``: bytes of memory and swap together. ``cpu_quota``:
    microseconds of processor time in each ``cpu_period`` microseconds. ``cpu_shares``: weight
    against others, 2 to 262144, 1024 being the usual. ``pids``: processes and threads.
    ``cpuset_cpus``, ``cpuset_mems``: lists as ``0-2,4``. ``devices``: rules in order, each whether
    to allow and which, as ``c 1:3 rwm`` (``a *:* rwm`` for all); on v2 only root can enforce them.
    """

    memory: int | None = None
    memory_swap: int | None = None
    cpu_quota: int | None = None
    cpu_period: int | None = None
    cpu_shares: int | None = None
    pids: int | None = None
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    devices: tuple[tuple[bool, str], ...] = ()


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What a group uses now; ``None`` where no controller counts it.

    ``memory``: bytes, page cache that may go at any time taken off. ``memory_limit``: bytes.
    ``cpu``: seconds of processor time so far. ``pids``: processes and threads. ``oom_kills``:
    processes that the kernel ended for want of memory.
    """

    memory: int | None = None
    memory_limit: int | None = None
    cpu: float | None = None
    pids: int | None = None
    oom_kills: int = 0


def settled(limits: Limits) -> Limits:
    """The same, with what a limit that goes takes along: no kernel keeps one on memory and swap together
    below one on memory alone."""
    if limits.memory == UNLIMITED and limits.memory_swap is None:
        return msgspec.structs.replace(limits, memory_swap=UNLIMITED)
    return limits


def check(limits: Limits) -> None:
    """``InvalidOption`` for limits that no kernel takes or nothing could run under."""
    memory, swap = limits.memory, limits.memory_swap
    if memory is not None and memory != UNLIMITED and memory < MEMORY_FLOOR:
        raise invalid("memory", memory, "nothing starts in less than 6 MiB", "give 6m or more")
    if swap is not None and swap != UNLIMITED:
        if memory in (None, UNLIMITED):
            raise invalid("memory and swap", swap, "it needs a limit of memory too", "limit memory as well")
        if memory is not None and swap < memory:
            raise invalid("memory and swap", swap, "it is less than memory alone", f"give {memory} or more")
    period, quota, shares = limits.cpu_period, limits.cpu_quota, limits.cpu_shares
    if period is not None and not 1000 <= period <= 1_000_000:
        raise invalid("cpu period", period, "it is out of range", "give 1000 to 1000000 microseconds")
    if quota is not None and quota != UNLIMITED and quota < 1000:
        raise invalid("cpu quota", quota, "it is too small", "give 1000 microseconds or more (0.01 cpus)")
    if shares is not None and not 2 <= shares <= 262144:
        raise invalid("cpu shares", shares, "they are out of range", "give 2 to 262144")
    if limits.pids is not None and limits.pids != UNLIMITED and limits.pids < 1:
        raise invalid("pids", limits.pids, "not even the first process could start", "give 1 or more")


def invalid(what: str, value: object, cause: str, hint: str) -> InvalidOption:
    """A limit that cannot be."""
    return InvalidOption("limit", f"{what} to {value}", cause, hint)


def weight(shares: int) -> int:
    """The v2 weight (1 to 10000) for v1 shares (2 to 262144): 2, 1024 and 262144 become 1, 100 and
    10000, and between them the curve is smooth. OCI runtimes agree on this formula."""
    power = math.log2(shares)
    return math.ceil(10 ** ((power * power + 125 * power) / 612 - 7 / 34))


def cpu_max(limits: Limits) -> tuple[int | None, int]:
    """Quota (``None``: none) and period in microseconds, the usual period filled in."""
    quota = None if limits.cpu_quota in (None, UNLIMITED) else limits.cpu_quota
    return quota, limits.cpu_period or _PERIOD


def or_max(value: int) -> str:
    """A number as the kernel's files take it, ``max`` standing for no limit."""
    return "max" if value == UNLIMITED else str(value)


def put(directory: str, controller: str, name: str, *values: object) -> None:
    """Write one limit, of several lines one after the other; a refusal becomes ``InvalidOption``, a missing
    controller ``HostRefused``."""
    value: object = ""
    try:
        fd = os.open(f"{directory}/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            for value in values:
                os.pwrite(fd, str(value).encode(), 0)
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV, errno.EACCES, errno.EPERM):
            raise unavailable(controller, f"{name}: {os.strerror(error.errno)}") from None
        if error.errno == errno.EBUSY:
            raise invalid(name, value, "what runs in it already uses more", "stop some of it first") from None
        hint = "cpus and memory nodes must exist here" if controller == "cpuset" else "choose another value"
        raise invalid(name, value, os.strerror(error.errno or 0).lower(), hint) from None


def unavailable(controller: str, detail: str = "") -> HostRefused:
    """This host gives our groups no such controller, or not this file of it."""
    detail = f" ({detail})" if detail else ""
    return HostRefused(
        "limit",
        controller,
        f"this host gives our control groups no {controller} controller{detail}",
        f"run without a limit on {controller}, or see `sandcell doctor`",
    )
