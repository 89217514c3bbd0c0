"""A ``config.json`` that names a scope of systemd's, and its ``resources`` as properties of it. Pure.

systemd writes again what it believes a unit's limits to be, whenever it is reloaded. So all that it has a
word for is told to it; what else there is goes into the files of the group. systemd.resource-control(5),
org.freedesktop.systemd1(5).
"""

import msgspec

from sandcell.runtime.container.bundle_resources import device_rules, io_weight
from sandcell.runtime.errors import InvalidDocument
from sandcell.runtime.linux.cgroups_limits import weight
from sandcell.runtime.oci.spec_linux import BlockIo, Cpu, DeviceRule, Memory, Resources

Property = tuple[str, object]

_INFINITY = (1 << 64) - 1
_SECOND = 1_000_000
_STEP = 10_000  # systemd keeps a quota in hundredths of a processor
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\")
_LONGEST = 255
_BYTES = {
    "memory.min": "MemoryMin",
    "memory.low": "MemoryLow",
    "memory.high": "MemoryHigh",
    "memory.max": "MemoryMax",
    "memory.swap.max": "MemorySwapMax",
    "memory.zswap.max": "MemoryZSwapMax",
    "pids.max": "TasksMax",
}
_LISTS = {"cpuset.cpus": "AllowedCPUs", "cpuset.mems": "AllowedMemoryNodes"}
_WEIGHTS = {"cpu.weight": "CPUWeight", "io.weight": "IOWeight"}


class Scope(msgspec.Struct, frozen=True):
    """The unit ``name``, in the slice ``above`` (empty: where systemd puts it)."""

    name: str
    above: str

    def properties(self, description: str) -> dict[str, Property]:
        """Those that are no limits. The scope is forgotten when it ends, also if it fails."""
        found: dict[str, Property] = {"Slice": ("s", self.above)} if self.above else {}
        return found | {
            "Description": ("s", description),
            "Delegate": ("b", True),
            "DefaultDependencies": ("b", False),
            "CollectMode": ("s", "inactive-or-failed"),
        }


def scope(path: str, id: str, *, user: bool) -> Scope:
    """The scope that ``cgroupsPath`` names as ``SLICE:PREFIX:NAME``; without one ``sandcell-oci-ID``, in
    the slice that runc takes too. ``InvalidDocument``."""
    usual = "user.slice" if user else "system.slice"
    above, prefix, name = (path or f"{usual}:sandcell-oci:{id}").split(":") if _three(path) else ("", "", "")
    if not name:
        raise _bad(path, "systemd's groups are named SLICE:PREFIX:NAME")
    above = above or usual
    if name.endswith(".slice"):
        raise _bad(path, "a container is a scope, and no slice")
    if not _is_slice(above):
        raise _bad(path, f"{above!r} is no name of a slice")
    unit = "".join(sign if sign in _PLAIN else _escape(sign) for sign in f"{prefix}-{name}".lstrip("-"))
    if len(unit) + len(".scope") > _LONGEST:
        raise _bad(path, "the unit's name would be too long")
    return Scope(f"{unit}.scope", above)


def _three(path: str) -> bool:
    return not path or path.count(":") == 2


def _bad(path: str, cause: str) -> InvalidDocument:
    hint = "as system.slice:app:1, or --cgroup-manager cgroupfs"
    return InvalidDocument("use", f"cgroupsPath {path!r}", cause, hint)


def _is_slice(name: str) -> bool:
    """systemd.slice(5): the dashes in a name are the tree, so no part of it may be empty."""
    base = name.removesuffix(".slice")
    return base != name and (base == "-" or all(base.split("-"))) and set(base) <= _PLAIN


def _escape(sign: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in sign.encode())


def properties(resources: Resources, *, unified: bool) -> dict[str, Property]:
    """The limits that systemd has words for, of this version of control groups."""
    memory, cpu = resources.memory or Memory(), resources.cpu or Cpu()
    found: dict[str, Property] = {}

    def put(name: str, value: int | None) -> None:
        if value:
            found[name] = ("t", _INFINITY if value < 0 else value)

    if unified:
        put("MemoryMax", memory.limit)
        put("MemoryLow", memory.reservation)
        swap = memory.swap or (-1 if memory.limit == -1 else None)
        if swap:
            found["MemorySwapMax"] = ("t", _INFINITY if swap < 0 else swap - (memory.limit or 0))
        put("CPUWeight", weight(cpu.shares) if cpu.shares else None)
    else:
        put("MemoryLimit", memory.limit)
        put("CPUShares", cpu.shares)
    if resources.pids:
        put("TasksMax", resources.pids.limit or -1)
    if cpu.quota or cpu.period:
        found |= _quota(cpu.quota or 0, cpu.period or 0)
    for name, text in (("AllowedCPUs", cpu.cpus), ("AllowedMemoryNodes", cpu.mems)):
        if text and unified:
            found[name] = ("ay", bits(text))
    block = resources.block_io or BlockIo()
    if block.weight:
        found |= {"IOWeight": ("t", io_weight(block.weight))} if unified else {}
        found |= {} if unified else {"BlockIOWeight": ("t", block.weight)}
    for name, text in resources.unified.items():
        found |= _file(name, text)
    if not unified:
        found |= _devices(resources.devices)
    return found


def _quota(quota: int, period: int) -> dict[str, Property]:
    found: dict[str, Property] = {"CPUQuotaPeriodUSec": ("t", period)} if period else {}
    if quota < 0:
        return found | {"CPUQuotaPerSecUSec": ("t", _INFINITY)}
    if quota:
        each = quota * _SECOND // (period or 100_000)
        found["CPUQuotaPerSecUSec"] = ("t", -(-each // _STEP) * _STEP)
    return found


def _file(name: str, text: str) -> dict[str, Property]:
    """A file of version 2 that systemd writes as well."""
    text = text.strip()
    if name == "cpu.max":
        quota, _, period = text.partition(" ")
        if not (quota == "max" or quota.isdecimal()) or (period and not period.isdecimal()):
            return {}  # the kernel says why it cannot be
        return _quota(-1 if quota == "max" else int(quota), int(period or 0))
    if name in _LISTS:
        return {_LISTS[name]: ("ay", bits(text))} if text else {}
    if name in _BYTES and (text == "max" or text.isdecimal()):
        return {_BYTES[name]: ("t", _INFINITY if text == "max" else int(text))}
    if name in _WEIGHTS and text.isdecimal():
        return {_WEIGHTS[name]: ("t", int(text))}
    return {}


def bits(text: str) -> bytes:
    """A list as ``0-2,4`` in bits, the lowest first. ``InvalidDocument``."""
    mask = 0
    for part in text.split(","):
        first, sign, last = part.strip().partition("-")
        last = last if sign else first
        if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last) < 1 << 16):
            raise InvalidDocument("limit", "cpuset", f"{text!r} is no list of numbers", "as 0-2,4")
        mask |= (1 << int(last) + 1) - (1 << int(first))
    return mask.to_bytes(mask.bit_length() // 8 + 1, "little")


def _devices(rules: tuple[DeviceRule, ...]) -> dict[str, Property]:
    """Rules of version 1 that systemd would else take back: all is denied first, then some is allowed.
    (On version 2 our own program stays beside whatever systemd attaches.)"""
    worded = device_rules(rules)
    if not worded or worded[0] != (False, "a *:* rwm"):
        return {}
    allowed = []
    for allow, rule in worded[1:]:
        kind, number, access = rule.split(" ")
        major, _, minor = number.partition(":")
        family = {"b": "block", "c": "char"}.get(kind, "")
        if "*" not in number:
            specifier = f"/dev/{family}/{number}"
        elif (major, minor) == ("136", "*"):
            specifier = "char-pts"
        else:
            specifier = f"{family}-*" if major == "*" else ""
        if not allow or not family or not specifier:
            return {}
        allowed.append((specifier, access))
    return {"DevicePolicy": ("s", "strict"), "DeviceAllow": ("a(ss)", allowed)}
