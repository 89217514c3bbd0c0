"""The flags of ``run`` and ``create`` that few need, for the command line and the notebook: one table of
their names, their help, and the fields of ``Options`` that they become.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from sandcell.runtime.errors import InvalidOption

Texts = tuple[str, ...]


class RunFlag(msgspec.Struct, frozen=True):
    """A flag. ``value``: what stands for its value in the help, empty for a switch. ``help``: a phrase,
    without a capital and a full stop. ``read``: what all its values, in order, become. ``many``: they add
    up; else the last counts."""

    names: Texts
    value: str
    field: str
    help: str
    read: Callable[[str, Texts], Any]
    many: bool = False

    @property
    def key(self) -> str:
        """The name it is asked by: ``cap_add`` of ``--cap-add``."""
        return self.names[-1].lstrip("-").replace("-", "_")


def size(text: str) -> int:
    """Bytes of ``64m``; -1 is no limit."""
    from sandcell.runtime.container.options import parse_memory

    return -1 if text == "-1" else parse_memory(text)


def lines(flag: str, path: str) -> Texts:
    """What a file of variables or labels says: its lines, without empty ones and those that begin with #.
    ``InvalidOption`` when it cannot be read."""
    try:
        with open(path, encoding="utf-8") as file:
            return tuple(
                line.rstrip("\r\n") for line in file if line.strip() and not line.lstrip().startswith("#")
            )
    except (OSError, UnicodeDecodeError) as error:
        cause = getattr(error, "strerror", "") or "it is not text"
        raise InvalidOption("use", f"{flag} {path}", cause, "name a file with KEY=VALUE lines") from None


def pairs(texts: Texts) -> dict[str, str]:
    """Keys and values of ``KEY=VALUE``."""
    return {key: value for key, _, value in (text.partition("=") for text in texts)}


def _switch(_: str, __: Texts) -> bool:
    return True


def _text(_: str, texts: Texts) -> str:
    return texts[-1]


def _list(_: str, texts: Texts) -> Texts:
    return texts


def _pairs(_: str, texts: Texts) -> dict[str, str]:
    return pairs(texts)


def _size(_: str, texts: Texts) -> int:
    return size(texts[-1])


def whole(flag: str, texts: Texts) -> int:
    """The number that the last of ``texts`` is; ``InvalidOption`` when it is none."""
    try:
        return int(texts[-1])
    except ValueError:
        raise InvalidOption("use", f"{flag} {texts[-1]}", "not a whole number") from None


def _one(name: str, value: str, help: str, read: Callable[[str, Texts], Any] = _text) -> RunFlag:
    return RunFlag(tuple(name.split()), value, name.split()[-1].lstrip("-").replace("-", "_"), help, read)


def _many(name: str, value: str, field: str, help: str, read: Callable[[str, Texts], Any] = _list) -> RunFlag:
    return RunFlag((name,), value, field, help, read, many=True)


FLAGS = (
    _many("--network-alias", "NAME", "network_aliases", "what others on its networks also call it"),
    _one("--ip", "ADDRESS", "its address on the (first) network"),
    _one("--ip6", "ADDRESS", "its IPv6 address on the (first) network"),
    _one("-P --publish-all", "", "publish all ports that the image exposes", _switch),
    _one("--init", "", "let a small init be pid 1: it reaps and passes signals on", _switch),
    _one("--stop-timeout", "SECONDS", "how long 'stop' waits", whole),
    _one("--domainname", "NAME", "NIS domain name inside"),
    _many("--annotation", "KEY=VALUE", "annotations", "note in config.json", _pairs),
    _many("--cap-add", "CAPABILITY", "cap_add", "give a capability, or ALL"),
    _many("--cap-drop", "CAPABILITY", "cap_drop", "take a capability, or ALL"),
    _many(
        "--security-opt",
        "WORD",
        "security",
        "what it may: no-new-privileges[=false], seccomp=unconfined|FILE",
    ),
    _many("--sysctl", "NAME=VALUE", "sysctls", "set a kernel setting of its namespaces", _pairs),
    _many("--ulimit", "NAME=SOFT[:HARD]", "ulimits", "set a limit of its processes, e.g. nofile=1024"),
    _many("--device", "SRC[:DST][:rwm]", "devices", "show a device of the host inside"),
    _many("--group-add", "GROUP", "group_add", "run in this group as well"),
    _one("--ipc", "MODE", "its shared memory: private, host or container:NAME"),
    _one("--pid", "MODE", "its process numbers: private, host or container:NAME"),
    _one("--uts", "MODE", "its host name: private or host"),
    _one("--userns", "MODE", "its ids: private (or auto), which root's containers have not, or host"),
    _one("--shm-size", "SIZE", "size of /dev/shm, 64m without", _size),
    _one("--memory-swap", "SIZE", "most memory and swap together, -1 for any", _size),
    _one("-c --cpu-shares", "NUMBER", "weight against others, 1024 without", whole),
    _one("--cpuset-cpus", "LIST", "processors it may use, e.g. 0-2,4"),
    _one("--cpuset-mems", "LIST", "memory nodes it may use"),
    _one("--oom-score-adj", "NUMBER", "-1000 to 1000: who goes first", whole),
    _many("--add-host", "NAME:ADDRESS", "add_host", "a line of its /etc/hosts"),
    _many("--dns", "ADDRESS", "dns", "a name server"),
    _many("--dns-search", "DOMAIN", "dns_search", "where to look for short names"),
    _many("--dns-option", "WORD", "dns_option", "an option of its resolv.conf"),
)
"""Flags with a field of ``Options`` each."""

MORE = (
    _many("--mount", "type=…,source=…,target=…", "", "as -v or --tmpfs, in words"),
    _many("--env-file", "FILE", "", "variables, one a line"),
    _many("--label-file", "FILE", "", "labels, one a line"),
)
"""Flags that add to others: see ``mounted`` and ``lines``."""

REFUSED = (
    (
        "--privileged",
        "",
        "no container gets everything the host has",
        "name what it needs: --cap-add, --device, --security-opt seccomp=unconfined",
    ),
    (
        "--restart",
        "POLICY",
        "nothing restarts containers yet",
        "start it again by hand, or by a service of the system",
    ),
    ("--health-cmd", "COMMAND", "nothing checks containers' health yet", "leave it away"),
)
"""Docker's flags that cannot be had: name, value, why, and what to do."""


def fields(given: Mapping[str, Texts]) -> dict[str, Any]:
    """What the flags that were given, by key, say of ``Options``. ``InvalidOption`` for a value that
    cannot be read."""
    return {flag.field: flag.read(flag.names[-1], given[flag.key]) for flag in FLAGS if given.get(flag.key)}


def mounted(texts: Texts) -> dict[str, Texts]:
    """What ``--mount`` says, as ``volumes`` and ``tmpfs`` of the options."""
    from sandcell.runtime.container.flag_words import parse_mount

    found: dict[str, Texts] = {"volume": (), "tmpfs": ()}
    for text in texts:
        kind, words = parse_mount(text)
        found[kind] += (words,)
    return found
