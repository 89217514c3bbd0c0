"""What a container may do beside docker's usual: capabilities and the filter of system calls."""

from collections.abc import Iterable
from typing import Any

import msgspec

from sandcell.runtime.errors import InvalidOption
from sandcell.runtime.known import known
from sandcell.runtime.linux import capabilities
from sandcell.runtime.oci.spec import Seccomp, SeccompSyscall

DEFAULT, UNCONFINED = "builtin", "unconfined"

_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


class Security(msgspec.Struct, frozen=True):
    """What ``--security-opt`` asks for. ``seccomp``: builtin, unconfined or a path of the host."""

    no_new_privileges: bool = True
    seccomp: str = DEFAULT


def parse_security(words: Iterable[str]) -> Security:
    """The security of ``no-new-privileges[=BOOL]``, ``seccomp=unconfined|builtin|FILE`` and
    ``apparmor=unconfined``, ``label=disable``, which are so here. ``InvalidOption``."""
    found = Security()
    for word in words:
        key, value = _pair(word)
        if key == "no-new-privileges" and value in ("", "true", "false"):
            found = msgspec.structs.replace(found, no_new_privileges=value != "false")
        elif key == "seccomp" and value:
            found = msgspec.structs.replace(found, seccomp=value)
        elif (key, value) not in (("apparmor", "unconfined"), ("label", "disable")):
            hint = "use no-new-privileges[=false] or seccomp=unconfined|builtin|FILE"
            raise InvalidOption("use", f"--security-opt {word}", "it cannot be had here", hint)
    return found


def _pair(word: str) -> tuple[str, str]:
    sign = min((word.find(sign) for sign in "=:" if sign in word), default=len(word))
    return word[:sign], word[sign + 1 :]


def bounding(usual: tuple[str, ...], add: Iterable[str], drop: Iterable[str]) -> tuple[str, ...]:
    """The capabilities of a container that has the ``usual`` ones, those of ``add`` and not those of
    ``drop``, by names with or without CAP_; ALL is every one that this kernel has. ``InvalidOption``."""
    added, dropped = (list(map(_name, names)) for names in (add, drop))
    if not added and not dropped:
        return usual
    every = capabilities.names((1 << capabilities.last_cap() + 1) - 1)
    if "ALL" in added:
        kept = set(every)
    elif "ALL" in dropped:
        kept = set()
    else:
        kept = set(usual)
    kept |= set(added) - {"ALL"}
    kept -= set(dropped) - {"ALL"}
    return tuple(name for name in every if name in kept)


def _name(text: str) -> str:
    name = text.upper()
    if name == "ALL":
        return name
    name = name if name.startswith("CAP_") else f"CAP_{name}"
    capabilities.mask((name,))
    return name


def read_profile(
    data: bytes, path: str, machine: str, held: Iterable[str], kernel: tuple[int, int]
) -> Seccomp:
    """A filter from a file, in the runtime-spec's form or in docker's, which names its rules' conditions
    (capabilities ``held``, the ``machine``, the least ``kernel``). ``InvalidOption``."""
    try:
        text: dict[str, Any] = msgspec.json.decode(data, type=dict[str, Any])
        calls = [
            _rule(rule) for rule in text.pop("syscalls", ()) if _applies(rule, machine, set(held), kernel)
        ]
        for entry in text.pop("archMap", ()):
            own = str(entry["architecture"])
            if own == f"SCMP_ARCH_{machine.upper()}":
                text["architectures"] = [own, *entry.get("subArchitectures", ())]
        profile = msgspec.convert(text, known(Seccomp))
    except (msgspec.MsgspecError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidOption("use", f"--security-opt seccomp={path}", f"not a profile: {error}") from None
    return msgspec.structs.replace(profile, syscalls=tuple(calls))


def _rule(rule: dict[str, Any]) -> SeccompSyscall:
    names = rule.get("names") or [rule["name"]]
    return msgspec.convert({**rule, "names": names, "args": rule.get("args") or ()}, known(SeccompSyscall))


def _applies(rule: dict[str, Any], machine: str, held: set[str], kernel: tuple[int, int]) -> bool:
    needs, spares = rule.get("includes") or {}, rule.get("excludes") or {}
    return all(_meets(needs, key, machine, held, kernel) for key in needs) and not any(
        _meets(spares, key, machine, held, kernel) for key in spares
    )


def _meets(
    conditions: dict[str, Any], key: str, machine: str, held: set[str], kernel: tuple[int, int]
) -> bool:
    value = conditions[key]
    if key == "caps":
        return set(value) <= held
    if key == "arches":
        return machine in {_MACHINES.get(name, name) for name in value}
    if key == "minKernel":
        major, _, minor = str(value).partition(".")
        return kernel >= (int(major), int(minor or 0))
    raise ValueError(f"no condition {key!r}")
