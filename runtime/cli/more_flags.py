"""The flags of ``run`` and ``create`` that few need: rights, limits, devices, shared namespaces, names."""

from collections.abc import Callable
from typing import Any

import click

from sandcell.runtime.errors import InvalidOption


def size(text: str) -> int:
    """Bytes of ``64m``; -1 is no limit."""
    from sandcell.runtime.container.options import parse_memory

    return int(text) if text == "-1" else parse_memory(text)


def _pairs(texts: tuple[str, ...]) -> dict[str, str]:
    return {key: value for key, _, value in (text.partition("=") for text in texts)}


def _same(value: Any) -> Any:
    return value


def _many(name: str, metavar: str, help: str) -> Callable[[Any], Any]:
    return click.option(name, multiple=True, metavar=metavar, help=help)


FLAGS = (
    _many("--mount", "type=…,source=…,target=…", "As -v or --tmpfs, in words."),
    click.option("--init", is_flag=True, help="Let a small init be pid 1: it reaps and passes signals on."),
    click.option("--stop-timeout", type=int, metavar="SECONDS", help="How long 'stop' waits."),
    click.option("--domainname", metavar="NAME", help="NIS domain name inside."),
    _many("--annotation", "KEY=VALUE", "Note in config.json."),
    _many("--cap-add", "CAPABILITY", "Give a capability, or ALL."),
    _many("--cap-drop", "CAPABILITY", "Take a capability, or ALL."),
    _many("--security-opt", "WORD", "no-new-privileges[=false], seccomp=unconfined|FILE."),
    _many("--sysctl", "NAME=VALUE", "Set a kernel setting of its namespaces."),
    _many("--ulimit", "NAME=SOFT[:HARD]", "Set a limit of its processes, e.g. nofile=1024."),
    _many("--device", "SRC[:DST][:rwm]", "Show a device of the host inside."),
    _many("--group-add", "GROUP", "Run in this group as well."),
    click.option("--ipc", metavar="MODE", help="private, host or container:NAME."),
    click.option("--pid", metavar="MODE", help="private, host or container:NAME."),
    click.option("--uts", metavar="MODE", help="private or host."),
    click.option("--shm-size", metavar="SIZE", help="Size of /dev/shm, 64m without."),
    click.option("--memory-swap", metavar="SIZE", help="Most memory and swap together, -1 for any."),
    click.option(
        "-c", "--cpu-shares", type=int, metavar="NUMBER", help="Weight against others, 1024 without."
    ),
    click.option("--cpuset-cpus", metavar="LIST", help="Processors it may use, e.g. 0-2,4."),
    click.option("--cpuset-mems", metavar="LIST", help="Memory nodes it may use."),
    click.option("--oom-score-adj", type=int, metavar="NUMBER", help="-1000 to 1000: who goes first."),
    _many("--add-host", "NAME:ADDRESS", "A line of its /etc/hosts."),
    _many("--dns", "ADDRESS", "A name server."),
    _many("--dns-search", "DOMAIN", "Where to look for short names."),
    _many("--dns-option", "WORD", "An option of its resolv.conf."),
    _many("--label-file", "FILE", "Labels, one a line."),
    click.option("--restart", default="no", hidden=True),
    click.option("--privileged", is_flag=True, hidden=True),
    click.option("--health-cmd", hidden=True),
    click.option("--no-healthcheck", is_flag=True, hidden=True),
)

_OPTIONS: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("init", "init", _same),
    ("stop_timeout", "stop_timeout", _same),
    ("domainname", "domainname", _same),
    ("annotation", "annotations", _pairs),
    ("cap_add", "cap_add", _same),
    ("cap_drop", "cap_drop", _same),
    ("security_opt", "security", _same),
    ("sysctl", "sysctls", _pairs),
    ("ulimit", "ulimits", _same),
    ("device", "devices", _same),
    ("group_add", "group_add", _same),
    ("ipc", "ipc", _same),
    ("pid", "pid", _same),
    ("uts", "uts", _same),
    ("shm_size", "shm_size", size),
    ("memory_swap", "memory_swap", size),
    ("cpu_shares", "cpu_shares", _same),
    ("cpuset_cpus", "cpuset_cpus", _same),
    ("cpuset_mems", "cpuset_mems", _same),
    ("oom_score_adj", "oom_score_adj", _same),
    ("add_host", "add_host", _same),
    ("dns", "dns", _same),
    ("dns_search", "dns_search", _same),
    ("dns_option", "dns_option", _same),
)


def more_options(flags: dict[str, Any]) -> dict[str, Any]:
    """The values of ``FLAGS`` as fields of the engine's options. ``InvalidOption`` for docker's flags
    that cannot be had."""
    if flags["privileged"]:
        hint = "name what it needs: --cap-add, --device, --security-opt seccomp=unconfined"
        raise InvalidOption("use", "--privileged", "no container gets everything the host has", hint)
    if flags["restart"] != "no":
        hint = "start it again by hand, or by a service of the system"
        raise InvalidOption("use", f"--restart {flags['restart']}", "nothing restarts containers yet", hint)
    if flags["health_cmd"]:
        raise InvalidOption("use", "--health-cmd", "nothing checks containers' health yet", "leave it away")
    found = {field: convert(flags[flag]) for flag, field, convert in _OPTIONS if flags[flag] is not None}
    labels: dict[str, str] = {}
    for path in flags["label_file"]:
        with open(path, encoding="utf-8") as file:
            lines = (line.strip() for line in file)
            labels.update(_pairs(tuple(line for line in lines if line and not line.startswith("#"))))
    return {**found, "labels": labels}


def mounted(texts: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """What ``--mount`` says, as volumes and tmpfs of the engine's options."""
    from sandcell.runtime.container.flag_words import parse_mount

    found: dict[str, tuple[str, ...]] = {"volume": (), "tmpfs": ()}
    for text in texts:
        kind, words = parse_mount(text)
        found[kind] += (words,)
    return found
