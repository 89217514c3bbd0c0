"""The ``resources`` of a ``config.json`` as limits and files of a control group. Pure.

config-linux.md, "Control groups"; cgroup-v1 and cgroup-v2 in the kernel's docs.
"""

from collections.abc import Iterator

import msgspec

from sandcell.runtime.errors import InvalidDocument
from sandcell.runtime.linux.cgroups_limits import UNLIMITED, Limits
from sandcell.runtime.oci.spec_linux import BlockIo, BlockIoWeight, Cpu, DeviceRule, Memory, Pids, Resources

# What every container may use whatever its rules say: making nodes, which alone opens nothing, the
# default devices, and terminals.
_ALWAYS = (
    *("c *:* m", "b *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm"),
    *("c 5:0 rwm", "c 5:2 rwm", "c 136:* rwm"),
)


class File(msgspec.Struct, frozen=True):
    """``text`` for the file ``name`` of a group; ``controller`` as v1 calls it. ``instead``: a file to
    write where the kernel has no ``name``. ``optional``: no error where it has neither."""

    controller: str
    name: str
    text: str
    instead: str = ""
    optional: bool = False


def limits(resources: Resources) -> Limits:
    """The limits that have words of their own."""
    memory, cpu = resources.memory or Memory(), resources.cpu or Cpu()
    pids = resources.pids or Pids(0)
    return Limits(
        memory=memory.limit or None,
        memory_swap=memory.swap or None,
        cpu_quota=cpu.quota or None,
        cpu_period=cpu.period or None,
        cpu_shares=cpu.shares or None,
        pids=(pids.limit if pids.limit > 0 else UNLIMITED) if resources.pids else None,
        cpuset_cpus=cpu.cpus,
        cpuset_mems=cpu.mems,
        devices=device_rules(resources.devices),
    )


def device_rules(rules: tuple[DeviceRule, ...]) -> tuple[tuple[bool, str], ...]:
    """The rules with those that always hold; none where none were given."""
    if not rules:
        return ()
    return (*((rule.allow, _rule(rule)) for rule in rules), *((True, text) for text in _ALWAYS))


def _rule(rule: DeviceRule) -> str:
    kind = "c" if rule.type == "u" else rule.type or "a"
    if kind not in "abc":
        raise InvalidDocument("limit", "devices", f"{rule.type!r} is no type of device")
    access = rule.access or "rwm"
    return f"{kind} {_number(rule.major)}:{_number(rule.minor)} {access}"


def _number(value: int | None) -> str:
    return "*" if value is None or value < 0 else str(value)


def controllers(resources: Resources, *, unified: bool) -> frozenset[str]:
    """The controllers that these resources need beside the usual ones."""
    cpu = resources.cpu
    found = {"cpuset"} if cpu and (cpu.cpus or cpu.mems) else set()
    needed = {file.controller for file in files(resources, unified=unified)}
    return frozenset(found | needed - {"cgroup"})


def files(resources: Resources, *, unified: bool) -> tuple[File, ...]:
    """What is written after the limits, in order. ``InvalidDocument`` for what this version of
    control groups has not."""
    return tuple(_unified(resources) if unified else _v1(resources))


def _v1(resources: Resources) -> Iterator[File]:
    memory, cpu = resources.memory or Memory(), resources.cpu or Cpu()
    if resources.unified:
        raise InvalidDocument("limit", "unified", "this host has control groups of version 1")
    for name, value in (("soft_limit_in_bytes", memory.reservation), ("swappiness", memory.swappiness)):
        if value is not None:
            yield File("memory", f"memory.{name}", str(value))
    for name, value in (("kmem", memory.kernel), ("kmem.tcp", memory.kernel_tcp)):
        if value is not None:
            # Kernels have given these limits up, and the specification calls them not recommended.
            yield File("memory", f"memory.{name}.limit_in_bytes", str(value), optional=True)
    if memory.disable_oom_killer:
        yield File("memory", "memory.oom_control", "1")
    for name, value in (
        ("cfs_burst_us", cpu.burst),
        ("idle", cpu.idle),
        ("rt_period_us", cpu.realtime_period),
        ("rt_runtime_us", cpu.realtime_runtime),
    ):
        if value:
            yield File("cpu", f"cpu.{name}", str(value))
    for page in resources.hugepage_limits:
        place, most = f"hugetlb.{page.page_size}", str(page.limit)
        yield File("hugetlb", f"{place}.limit_in_bytes", most)
        yield File("hugetlb", f"{place}.rsvd.limit_in_bytes", most, optional=True)
    if resources.network:
        if resources.network.class_id is not None:
            yield File("net_cls", "net_cls.classid", str(resources.network.class_id))
        for entry in resources.network.priorities:
            yield File("net_prio", "net_prio.ifpriomap", f"{entry.name} {entry.priority}")
    yield from _rdma(resources)
    if resources.block_io:
        yield from _blkio(resources.block_io)


def _blkio(block: BlockIo) -> Iterator[File]:
    if block.weight:
        yield File("blkio", "blkio.weight", str(block.weight), "blkio.bfq.weight")
    if block.leaf_weight:
        yield File("blkio", "blkio.leaf_weight", str(block.leaf_weight))
    for device in block.weight_device:
        place = _weighed(device)
        if device.weight:
            text = f"{place} {device.weight}"
            yield File("blkio", "blkio.weight_device", text, "blkio.bfq.weight_device")
        if device.leaf_weight:
            yield File("blkio", "blkio.leaf_weight_device", f"{place} {device.leaf_weight}")
    for name, throttles in (
        ("read_bps", block.throttle_read_bps_device),
        ("write_bps", block.throttle_write_bps_device),
        ("read_iops", block.throttle_read_iops_device),
        ("write_iops", block.throttle_write_iops_device),
    ):
        for one in throttles:
            yield File("blkio", f"blkio.throttle.{name}_device", f"{one.major}:{one.minor} {one.rate}")


def _weighed(device: BlockIoWeight) -> str:
    """The numbers of a device that has a weight."""
    place = f"{device.major}:{device.minor}"
    if device.weight is None and device.leaf_weight is None:
        raise InvalidDocument("limit", f"blockIO of device {place}", "it has neither weight nor leafWeight")
    return place


def _rdma(resources: Resources) -> Iterator[File]:
    for name, most in resources.rdma.items():
        if most.hca_handles is None and most.hca_objects is None:
            raise InvalidDocument("limit", f"rdma {name}", "it has neither hcaHandles nor hcaObjects")
        parts = [name]
        parts += [f"hca_handle={most.hca_handles}"] if most.hca_handles is not None else []
        parts += [f"hca_object={most.hca_objects}"] if most.hca_objects is not None else []
        yield File("rdma", "rdma.max", " ".join(parts))


def io_weight(weight: int) -> int:
    """10 to 1000 of blkio as 1 to 10000 of io."""
    return 1 + (weight - 10) * 9999 // 990


def _unified(resources: Resources) -> Iterator[File]:
    memory, cpu = resources.memory or Memory(), resources.cpu or Cpu()
    if resources.network and (resources.network.class_id or resources.network.priorities):
        raise InvalidDocument("limit", "network", "control groups of version 2 have no such controller")
    if cpu.realtime_period or cpu.realtime_runtime:
        raise InvalidDocument("limit", "cpu", "version 2 has no limit of real-time processes")
    if memory.swappiness is not None or memory.disable_oom_killer:
        raise InvalidDocument("limit", "memory", "version 2 has neither swappiness nor disableOOMKiller")
    if memory.reservation is not None:
        yield File("memory", "memory.low", "max" if memory.reservation < 0 else str(memory.reservation))
    for name, value in (("cpu.max.burst", cpu.burst), ("cpu.idle", cpu.idle)):
        if value:
            yield File("cpu", name, str(value))
    for page in resources.hugepage_limits:
        place, most = f"hugetlb.{page.page_size}", str(page.limit)
        yield File("hugetlb", f"{place}.max", most)
        yield File("hugetlb", f"{place}.rsvd.max", most, optional=True)
    yield from _rdma(resources)
    block = resources.block_io or BlockIo()
    if block.weight:
        yield File("io", "io.weight", str(io_weight(block.weight)), "io.bfq.weight")
    for device in block.weight_device:
        place = _weighed(device)
        if device.weight:
            yield File("io", "io.weight", f"{place} {io_weight(device.weight)}", "io.bfq.weight")
    if block.leaf_weight or any(device.leaf_weight for device in block.weight_device):
        raise InvalidDocument("limit", "blockIO", "version 2 has no leafWeight")
    for name, throttles in (
        ("rbps", block.throttle_read_bps_device),
        ("wbps", block.throttle_write_bps_device),
        ("riops", block.throttle_read_iops_device),
        ("wiops", block.throttle_write_iops_device),
    ):
        for one in throttles:
            yield File("io", "io.max", f"{one.major}:{one.minor} {name}={one.rate}")
    for name, text in resources.unified.items():
        if "/" in name:
            raise InvalidDocument("limit", name, "that is no file of a control group")
        yield File(name.partition(".")[0], name, text)
