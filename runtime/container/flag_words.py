"""How the words after some flags of ``run`` are read: limits, devices, kernel settings, hosts, mounts."""

import resource
from collections.abc import Mapping

import msgspec

from sandcell.runtime.errors import InvalidOption
from sandcell.runtime.oci.spec import Rlimit

_MODES = ("", "private", "host")
_NAMES = ("ipc", "pid", "uts")
_MOUNT = {
    "type": "type",
    "source": "source",
    "src": "source",
    "target": "target",
    "destination": "target",
    "dst": "target",
    "readonly": "readonly",
    "ro": "readonly",
    "volume-nocopy": "nocopy",
    "tmpfs-size": "size",
    "tmpfs-mode": "mode",
    "bind-propagation": "propagation",
    "bind-recursive": "recursive",
    "consistency": "consistency",
}
# What every mount is, and may be called.
_FIXED = (
    (
        "propagation",
        ("rprivate", "private"),
        "what is mounted later stays where it is mounted, on both sides: leave it away",
    ),
    ("recursive", ("enabled", "readonly"), "mounts below the source come along, read-only with it"),
    ("consistency", ("default", "consistent", "cached", "delegated"), "leave it away"),
)
_TRUE = ("", "1", "true")
_ACCESS = frozenset("rwm")


class Device(msgspec.Struct, frozen=True):
    """A device of the host, where it is in the container, and what may be done: r, w, m(knod)."""

    source: str
    destination: str
    access: str = "rwm"


def parse_ulimit(text: str) -> Rlimit:
    """``nofile=1024:2048`` (soft and hard) or ``nofile=1024`` (both); -1 is no limit. getrlimit(2)."""
    name, _, values = text.partition("=")
    soft, sign, hard = values.partition(":")
    kind = f"RLIMIT_{name.upper()}"
    if not isinstance(getattr(resource, kind, None), int):
        known = sorted(word[7:].lower() for word in dir(resource) if word.startswith("RLIMIT_"))
        raise InvalidOption("use", f"--ulimit {text}", "no such limit", f"there are {', '.join(known)}")
    try:
        numbers = [int(soft), int(hard if sign else soft)]
    except ValueError:
        raise InvalidOption("use", f"--ulimit {text}", "not a number", "write NAME=SOFT:HARD") from None
    least = [2**64 - 1 if number == -1 else number for number in numbers]
    if not 0 <= least[0] <= least[1] < 2**64:
        cause = "the soft limit must be between nothing and the hard one"
        raise InvalidOption("use", f"--ulimit {text}", cause, "write NAME=SOFT:HARD")
    return Rlimit(type=kind, soft=least[0], hard=least[1])


def parse_device(text: str) -> Device:
    """``/dev/SRC[:/dev/DST][:rwm]``."""
    source, *rest = text.split(":")
    access = rest.pop() if rest and rest[-1] and set(rest[-1]) <= _ACCESS else "rwm"
    destination = rest.pop() if rest else source
    if rest or not source.startswith("/") or not destination.startswith("/dev/") or ".." in destination:
        raise InvalidOption("use", f"--device {text}", "not a device", "write /dev/SRC[:/dev/DST][:rwm]")
    return Device(source, destination, access)


def parse_host(text: str) -> str:
    """A line of /etc/hosts, of ``NAME:ADDRESS`` or ``NAME=ADDRESS``. hosts(5)."""
    import ipaddress

    sign = "=" if "=" in text else ":"
    name, _, address = text.partition(sign)
    try:
        if not name or any(character.isspace() for character in name):
            raise ValueError
        return f"{ipaddress.ip_address(address.strip('[]'))}\t{name}"
    except ValueError:
        raise InvalidOption("use", f"--add-host {text}", "not a host", "write NAME:ADDRESS") from None


def resolver(
    servers: tuple[str, ...], domains: tuple[str, ...], options: tuple[str, ...], before: str
) -> str:
    """A resolv.conf with what is given in place of what ``before`` says of it. resolv.conf(5)."""
    for server in servers:
        import ipaddress  # seldom given, and slow to load

        try:
            ipaddress.ip_address(server)
        except ValueError:
            raise InvalidOption("use", f"--dns {server}", "not an address", "write 192.0.2.53") from None
    lines = [] if servers else [line for line in before.splitlines() if line.startswith("nameserver")]
    lines += [f"nameserver {server}" for server in servers]
    lines += [f"search {' '.join(domains)}"] if domains and domains != (".",) else []
    lines += [f"options {' '.join(options)}"] if options else []
    return "".join(f"{line}\n" for line in lines)


def check_mode(kind: str, mode: str, *, joins: bool) -> None:
    """``InvalidOption`` unless ``mode`` is private, host or, where it ``joins``, container:NAME."""
    if mode in _MODES or (joins and mode.startswith("container:") and len(mode) > len("container:")):
        return
    words = "private, host or container:NAME" if joins else "private or host"
    raise InvalidOption("use", f"--{kind} {mode}", "no such mode", f"use {words}")


def parse_mount(text: str) -> tuple[str, str]:
    """``--mount type=bind|volume|tmpfs,source=…,target=…`` as a kind and what ``-v`` (``volume``) or
    ``--tmpfs`` (``tmpfs``) would say. docker-run(1), "--mount"."""

    def wrong(cause: str, hint: str = "") -> InvalidOption:
        return InvalidOption("use", f"--mount {text}", cause, hint or "write type=bind,source=SRC,target=DST")

    given: dict[str, str] = {"type": "volume"}
    for word in filter(None, text.split(",")):
        key, _, value = word.partition("=")
        if key not in _MOUNT:
            raise wrong(f"{key!r} is nothing that a mount has", f"there are {', '.join(_MOUNT)}")
        given[_MOUNT[key]] = value
    kind, source, target = given["type"], given.get("source", ""), given.get("target", "")
    for key, fine, hint in _FIXED:
        if given.get(key, fine[0]) not in fine:
            raise wrong(f"{given[key]!r} is no {key} that a mount has here", hint)
    if not target:
        raise wrong("it has no target")
    if ":" in source + target:
        raise wrong("a path with : in it cannot be mounted")
    if kind == "tmpfs":
        if source:
            raise wrong("a tmpfs has no source")
        words = [f"{name}={given[name]}" for name in ("size", "mode") if name in given]
        words += ["ro"] if _on(given, "readonly") else []
        return "tmpfs", ":".join(filter(None, (target, ",".join(words))))
    if kind not in ("bind", "volume"):
        raise wrong(f"there is no type {kind!r}", "use bind, volume or tmpfs")
    if kind == "bind" and not source.startswith("/"):
        raise wrong("a bind mount needs an absolute path as source")
    if kind == "volume" and source.startswith("/"):
        raise wrong("a volume's source is its name", "use type=bind for a path")
    words = ["ro"] if _on(given, "readonly") else []
    words += ["nocopy"] if _on(given, "nocopy") else []
    if words and not source:
        raise wrong("a volume without a name is new: it can be written to, and is filled from the image")
    return "volume", ":".join(filter(None, (source, target, ",".join(words))))


def _on(given: Mapping[str, str], key: str) -> bool:
    return key in given and given[key] in _TRUE
