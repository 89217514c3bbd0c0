"""What a person may ask of a container, and how the words they type are read."""

import re

import msgspec

from sandcell.runtime.container.ports import parse_publish
from sandcell.runtime.errors import InvalidOption

MIN_MEMORY = 6 * 1024 * 1024  # docker's own floor: less does not start anything

_SIZE = r"(?i)([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)i?b?"
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")
_HOSTNAME = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9.-]{0,62})")
_SYSCTL = r"[a-z][a-z0-9_-]*([./][A-Za-z0-9_-]+)+"
_VARIABLE = re.compile(r"[^=\0]+")
_LONGEST_NAME = 255
_SHOWN = 40
_TMPFS = r"(?i)(size|nr_inodes|mode|uid|gid)=[0-9]+[kmgt%]?"
_TMPFS_WORDS = ("ro", "rw", "exec", "noexec", "suid", "nosuid", "dev", "nodev")
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


class Options(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The flags of ``run`` and ``create``. What is not given comes from the image.

    ``memory``: bytes. ``cpus``: processors, 0.5 is half of one. ``volumes``: ``SRC:DST[:ro]``,
    where SRC is a path of the host or the name of a volume. ``tmpfs``: ``DST[:size=64m,…]``.
    ``network``: none, host, bridge, a network's name, or ``container:NAME``; ``more_networks``: names of
    further ones. ``network_aliases``: what others on them also call it. ``ip``, ``ip6``: its addresses
    on the first. ``publish``: ``[ADDR:]HOST:PORT[/udp]``, also ranges; ``publish_all``: what the image
    exposes too.
    ``files``: placed read-only and executable at ``/run/sandcell/NAME`` (``NAME`` or ``in/NAME``),
    no part of the container's own files; what a process writes to ``/run/sandcell/out`` the client
    can read.
    ``die_with_client``: the container ends when the process that started it does. ``remove``: it is
    removed at its end, so its writable layer is never synced to disk. ``interactive``: its standard
    input stays open for a client to write to; ``console_size``: rows and columns its terminal begins with.
    ``init``: pid 1 is a small init that reaps and passes signals on. ``stop_timeout``: seconds.
    ``cap_add``, ``cap_drop``: names of capabilities, or ALL. ``security``: as after ``--security-opt``.
    ``ulimits``: ``NAME=SOFT[:HARD]``. ``devices``: ``SRC[:DST][:rwm]``. ``group_add``: names or ids.
    ``ipc``, ``pid``, ``uts``: private, host or, but for uts, ``container:NAME``. ``userns``: private (also
    called auto), for ids of its own, or host. ``shm_size``: bytes of
    /dev/shm. ``memory_swap``: bytes of memory and swap together, -1 for any. ``cpu_shares``: weight,
    1024 being the usual. ``cpuset_cpus``, ``cpuset_mems``: lists as ``0-2,4``.
    ``add_host``: ``NAME:ADDRESS``. ``dns``, ``dns_search``, ``dns_option``: lines of its resolv.conf.
    """

    name: str = ""
    env: dict[str, str] = {}
    volumes: tuple[str, ...] = ()
    tmpfs: tuple[str, ...] = ()
    workdir: str = ""
    user: str = ""
    memory: int | None = None
    cpus: float | None = None
    pids_limit: int | None = None
    network: str = "none"
    more_networks: tuple[str, ...] = ()
    network_aliases: tuple[str, ...] = ()
    ip: str = ""
    ip6: str = ""
    publish: tuple[str, ...] = ()
    publish_all: bool = False
    remove: bool = False
    tty: bool = False
    interactive: bool = False
    console_size: tuple[int, int] = (0, 0)
    hostname: str = ""
    labels: dict[str, str] = {}
    entrypoint: tuple[str, ...] | None = None
    read_only: bool = False
    replace: bool = False
    stop_signal: str = ""
    files: dict[str, bytes] = {}
    die_with_client: bool = False
    init: bool = False
    stop_timeout: int | None = None
    domainname: str = ""
    annotations: dict[str, str] = {}
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    security: tuple[str, ...] = ()
    sysctls: dict[str, str] = {}
    ulimits: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    group_add: tuple[str, ...] = ()
    ipc: str = ""
    pid: str = ""
    uts: str = ""
    userns: str = ""
    shm_size: int | None = None
    memory_swap: int | None = None
    cpu_shares: int | None = None
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    oom_score_adj: int | None = None
    add_host: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_option: tuple[str, ...] = ()

    def check(self) -> "Options":
        """Itself, when every value makes sense; else ``InvalidOption``."""
        if self.name and not _NAME.fullmatch(self.name):
            raise InvalidOption(
                "use",
                f"--name {self.name}",
                "not a name",
                "at most 128 letters, digits, _ . - and a letter or digit first",
            )
        if self.hostname and not _HOSTNAME.fullmatch(self.hostname):
            raise InvalidOption(
                "use", f"--hostname {self.hostname}", "not a host name", "letters, digits and -"
            )
        if not _NAME.fullmatch(self.network.removeprefix("container:")):
            hint = "use --network none, host, bridge, a network's name, or container:NAME"
            raise InvalidOption("use", f"--network {self.network}", "not a network's name", hint)
        self._check_networks()
        shared = self.network == "host" or self.network.startswith("container:")
        if self.publish and shared:
            hint = "leave -p away" if self.network == "host" else "publish the other container's ports"
            cause = "the container has no network of its own to publish from"
            raise InvalidOption("publish", f"{self.publish[0]} with --network {self.network}", cause, hint)
        for text in self.publish:
            parse_publish(text)
        if self.memory is not None and self.memory < MIN_MEMORY:
            raise InvalidOption("use", f"--memory {self.memory}", "less than 6 MiB starts nothing", "try 64m")
        if self.cpus is not None and not 0.01 <= self.cpus <= 10_000:
            raise InvalidOption(
                "use", f"--cpus {self.cpus:g}", "out of range", "0.01 is the least; 1.5 is one and a half"
            )
        if self.pids_limit is not None and self.pids_limit < -1:
            raise InvalidOption(
                "use", f"--pids-limit {self.pids_limit}", "not a number of processes", "-1 is no limit"
            )
        if self.workdir and not self.workdir.startswith("/"):
            raise InvalidOption("use", f"--workdir {self.workdir}", "not an absolute path", "begin with /")
        for name, value in self.env.items():
            check_variable(name, value)
        for word in (
            self.workdir,
            self.user,
            *self.volumes,
            *self.tmpfs,
            *self.labels,
            *self.labels.values(),
            *self.annotations,
            *self.annotations.values(),
            *self.sysctls.values(),
            self.cpuset_cpus,
            self.cpuset_mems,
            self.domainname,
        ):
            check_word("use", word)
        self._check_words()
        for name in self.files:
            check_word("place", name)
            plain = name.removeprefix("in/")
            reserved = plain in ("", ".", "..") or name in ("in", "out", "exec")
            if "/" in plain or reserved or len(plain.encode()) > _LONGEST_NAME:
                raise InvalidOption("place", name, "not a plain file name")
        places = [parse_volume(volume).destination for volume in self.volumes]
        places += [parse_tmpfs(text)[0] for text in self.tmpfs]
        for place in places:
            if places.count(place) > 1:
                raise InvalidOption("mount", place, "two things cannot be mounted at one place")
        return self

    def _check_words(self) -> None:
        # Late: who only lists containers has no use for them.
        from sandcell.runtime.container.flag_words import (
            check_mode,
            parse_device,
            parse_host,
            parse_ulimit,
            resolver,
        )
        from sandcell.runtime.container.rights import bounding, parse_security

        for parse, words in (
            (parse_ulimit, self.ulimits),
            (parse_device, self.devices),
            (parse_host, self.add_host),
        ):
            for word in words:
                parse(word)
        bounding((), self.cap_add, self.cap_drop)
        parse_security(self.security)
        resolver(self.dns, self.dns_search, self.dns_option, "")
        for kind in ("ipc", "pid", "uts"):
            check_mode(kind, getattr(self, kind), joins=kind != "uts")
        if self.userns not in ("", "host", "private", "auto"):
            hint = "use private for ids of its own, or host"
            raise InvalidOption("use", f"--userns {self.userns}", "no such mode", hint)
        for name in self.sysctls:
            if not re.fullmatch(_SYSCTL, name):
                raise InvalidOption(
                    "use", f"--sysctl {name}", "not a kernel setting", "as net.core.somaxconn"
                )
        if self.hostname and self.uts == "host":
            raise InvalidOption("use", f"--hostname {self.hostname}", "its name is the host's by --uts host")
        if self.oom_score_adj is not None and not -1000 <= self.oom_score_adj <= 1000:
            raise InvalidOption("use", f"--oom-score-adj {self.oom_score_adj}", "not between -1000 and 1000")
        if self.stop_timeout is not None and self.stop_timeout < -1:
            raise InvalidOption("use", f"--stop-timeout {self.stop_timeout}", "not a number of seconds")
        if self.shm_size is not None and self.shm_size <= 0:
            raise InvalidOption("use", f"--shm-size {self.shm_size}", "less than nothing", "try 64m")

    def _check_networks(self) -> None:
        alone = self.network in ("none", "host") or self.network.startswith("container:")
        wanted = (self.network, *self.more_networks)
        for name in self.more_networks:
            if alone or name in ("none", "host") or not _NAME.fullmatch(name) or wanted.count(name) > 1:
                cause = (
                    f"not together with --network {self.network}" if alone else "not another network's name"
                )
                raise InvalidOption("use", f"--network {name}", cause, "name networks, each once")
        aliases = (("--network-alias", name) for name in self.network_aliases)
        for flag, value in (("--ip6", self.ip6), ("--ip", self.ip), *aliases):
            if value and alone:
                hint = "use --network bridge or a network's name"
                raise InvalidOption("use", f"{flag} {value}", f"--network {self.network} has no others", hint)
            if flag != "--ip6" and not _HOSTNAME.fullmatch(value or "x"):
                raise InvalidOption("use", f"{flag} {value}", "not a name", "letters, digits, . and -")


class ExecOptions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The flags of ``exec``. ``files`` are placed in a fresh directory below
    ``/run/sandcell/exec``, whose path replaces ``{dir}`` in the command and is in
    ``SANDCELL_DIR``. ``fetch``: ``SANDCELL_OUT`` names a directory of its own to write to."""

    env: dict[str, str] = {}
    workdir: str = ""
    user: str = ""
    tty: bool = False
    interactive: bool = False
    console_size: tuple[int, int] = (0, 0)
    files: dict[str, bytes] = {}
    fetch: bool = False

    def check(self) -> "ExecOptions":
        """Itself, when every value makes sense; else ``InvalidOption``."""
        Options(env=self.env, workdir=self.workdir, user=self.user, files=self.files).check()
        return self


class Volume(msgspec.Struct, frozen=True):
    """A directory or file of the host, the named volume ``source``, or (empty) one without a name that
    goes with its container. ``copy``: a named one is filled from the image at its first use."""

    source: str
    destination: str
    read_only: bool = False
    copy: bool = True

    @property
    def named(self) -> bool:
        """True for a named volume."""
        return bool(self.source) and not self.source.startswith("/")


def check_variable(name: str, value: str) -> None:
    """``InvalidOption`` unless the environment can hold this variable."""
    if not _VARIABLE.fullmatch(name):
        raise InvalidOption("set variable", repr(name), "not a name", "write -e NAME=value")
    check_word("set variable", f"{name}={value}")


def check_word(operation: str, word: str) -> None:
    """``InvalidOption`` unless Linux can take the text as an argument, a path or a variable."""
    shown = repr(word if len(word) <= _SHOWN else word[:_SHOWN] + "…")
    if "\0" in word:
        raise InvalidOption(
            operation, shown, "it holds a NUL character, which ends a text in Linux", "take it out"
        )
    try:
        word.encode()
    except UnicodeEncodeError:
        hint = "put such bytes into a file"
        raise InvalidOption(operation, shown, "it cannot be written as UTF-8", hint) from None


def parse_memory(text: str) -> int:
    """Bytes of ``256m``, ``1g``, ``1.5GiB``; units are powers of 1024, as docker reads them."""
    match = re.fullmatch(_SIZE, text.strip())
    if not match:
        raise InvalidOption("read memory size", text, "not a size", "write 256m or 1g")
    return int(float(match[1]) * _UNITS[match[2].lower()])


def parse_cpus(text: str) -> float:
    """Processors of ``1.5``."""
    try:
        value = float(text)
    except ValueError:
        raise InvalidOption("read number of processors", text, "not a number", "write 0.5 or 2") from None
    if not value > 0 or value == float("inf"):
        raise InvalidOption("read number of processors", text, "must be more than nothing", "write 0.5 or 2")
    return value


def parse_env(text: str, host: dict[str, str] | None = None) -> tuple[str, str]:
    """Name and value of ``K=V``; of ``K`` alone the value that ``host`` has, as docker does."""
    name, sign, value = text.partition("=")
    if not name:
        raise InvalidOption("set variable", text, "no name before =", "write -e NAME=value")
    if not sign:
        if host is None or name not in host:
            raise InvalidOption(
                "set variable", name, "no value given and none in the environment", "write -e NAME=value"
            )
        value = host[name]
    check_variable(name, value)
    return name, value


_VOLUME_WORDS = ("ro", "rw", "nocopy", "rprivate", "private")


def parse_volume(text: str) -> Volume:
    """``[SRC:]DST[:ro|rw|nocopy,…]``: SRC an absolute path or a volume's name, DST an absolute path."""
    parts = text.split(":")
    if len(parts) == 1 and text.startswith("/"):
        return Volume("", _destination("mount volume", text, text))
    words = set(parts[2].split(",")) if len(parts) == 3 else set()
    if len(parts) not in (2, 3) or {"ro", "rw"} <= words:
        raise InvalidOption(
            "mount volume", text, "not SRC:DST or SRC:DST:ro", "SRC is an absolute path or a volume's name"
        )
    for word in sorted(words - set(_VOLUME_WORDS)):
        hint = f"there are {', '.join(_VOLUME_WORDS)}"
        raise InvalidOption("mount volume", text, f"{word!r} is nothing that a volume can be", hint)
    source = parts[0]
    if not source.startswith("/") and not _NAME.fullmatch(source):
        raise InvalidOption(
            "mount volume",
            text,
            f"{source!r} is neither an absolute path nor a name",
            "a path begins with /; a volume's name has letters, digits, _ . -",
        )
    return Volume(source, _destination("mount volume", text, parts[1]), "ro" in words, "nocopy" not in words)


def parse_tmpfs(text: str) -> tuple[str, tuple[str, ...]]:
    """Destination and mount options of ``DST[:size=64m,mode=1777,exec,…]``. As docker's, it is
    nosuid, nodev, noexec and may be written to by everybody, unless told otherwise. tmpfs(5)."""
    place, _, given = text.partition(":")
    words = [word for word in given.split(",") if word]
    for word in words:
        if word not in _TMPFS_WORDS and not re.fullmatch(_TMPFS, word):
            raise InvalidOption("mount tmpfs", text, f"{word!r} is no option of a tmpfs", "try size=64m")
    options = [word for word in ("nosuid", "nodev", "noexec") if word[2:] not in words and word not in words]
    options += [] if any(word.startswith("mode=") for word in words) else ["mode=1777"]
    return _destination("mount tmpfs", text, place), (*options, *words)


def _destination(operation: str, text: str, path: str) -> str:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not path.startswith("/") or not parts or ".." in parts or parts[0] == "proc":
        raise InvalidOption(
            operation, text, f"{path!r} cannot be a mount point in the container", "begin with /"
        )
    return "/" + "/".join(parts)
