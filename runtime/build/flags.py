"""The flags of instructions: which there are, which take a value, which may be given twice.

Dockerfile reference, one section a keyword. What the reference knows and a sandbox does not give is
refused by name, with the lines, rather than ignored.
"""

import msgspec

from sandcell.runtime.build.dockerfile import Statement, did_you_mean

_TEXTS: dict[str, tuple[str, ...]] = {
    "FROM": ("platform",),
    "RUN": ("network", "security"),
    "COPY": ("chown", "chmod", "from"),
    "ADD": ("chown", "chmod", "checksum"),
    "HEALTHCHECK": ("interval", "timeout", "start-period", "start-interval", "retries"),
}
_LISTS: dict[str, tuple[str, ...]] = {"RUN": ("mount", "device"), "COPY": ("exclude",), "ADD": ("exclude",)}
_SWITCHES: dict[str, tuple[str, ...]] = {
    "COPY": ("link", "parents"),
    "ADD": ("link", "keep-git-dir", "unpack"),
}
_TRUTHS = {"true": True, "1": True, "t": True, "false": False, "0": False, "f": False}


class Flags(msgspec.Struct, frozen=True):
    """The flags of one statement: those with a value, those given any number of times, the switches."""

    texts: dict[str, str] = {}
    lists: dict[str, tuple[str, ...]] = {}
    switches: dict[str, bool] = {}

    def text(self, name: str, otherwise: str = "") -> str:
        """The value of ``--name``."""
        return self.texts.get(name, otherwise)

    def on(self, name: str) -> bool:
        """Is the switch ``--name`` given, and not as ``--name=false``?"""
        return self.switches.get(name, False)


def read_flags(statement: Statement) -> Flags:
    """The flags of ``statement``; a ``DockerfileError`` for the unknown, the repeated, the empty."""
    keyword = statement.keyword
    texts: dict[str, str] = {}
    lists: dict[str, tuple[str, ...]] = {}
    switches: dict[str, bool] = {}
    for flag in statement.flags:
        name, equals, value = flag.removeprefix("--").partition("=")
        if name in _SWITCHES.get(keyword, ()):
            if equals and value.lower() not in _TRUTHS:
                raise statement.fault(f"--{name} is true or false, not {value!r}")
            switches[name] = _TRUTHS[value.lower()] if equals else True
            continue
        is_list = name in _LISTS.get(keyword, ())
        if not is_list and name not in _TEXTS.get(keyword, ()):
            raise statement.fault(f"{keyword} has no flag --{name}", _hint(keyword, name))
        if name in texts:
            raise statement.fault(f"the flag --{name} is given twice")
        if not equals or not value:
            raise statement.fault(f"the flag --{name} needs a value", f"write --{name}=value")
        if is_list:
            lists[name] = (*lists.get(name, ()), value)
        else:
            texts[name] = value
    return Flags(texts, lists, switches)


def _hint(keyword: str, name: str) -> str:
    known = [one for table in (_TEXTS, _LISTS, _SWITCHES) for one in table.get(keyword, ())]
    near = did_you_mean(name, known).replace("mean ", "mean --")
    if near:
        return near
    told = ", ".join("--" + one for one in sorted(known) if one != "device")
    return f"it has {told}" if known else f"{keyword} takes no flags"
