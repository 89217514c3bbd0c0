"""What a person may ask of a container, and how the words they type are read."""

import re

import msgspec

from sandcell.runtime.errors import InvalidOption

NETWORKS = ("none", "host")
MIN_MEMORY = 6 * 1024 * 1024  # docker's own floor: less does not start anything

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_HOSTNAME = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9.-]{0,62})")
_VARIABLE = re.compile(r"[^=\0]+")
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


class Options(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The flags of ``run`` and ``create``. What is not given comes from the image.

    ``memory``: bytes. ``cpus``: processors, 0.5 is half of one. ``volumes``: ``SRC:DST[:ro]``.
    ``files``: placed read-only and executable at ``/run/sandcell/NAME`` (``NAME`` or ``in/NAME``),
    no part of the container's own files; what a process writes to ``/run/sandcell/out`` the client
    can read.
    ``die_with_client``: the container ends when the process that started it does. ``remove``: it is
    removed at its end, so its writable layer is never synced to disk. ``interactive``: its standard
    input stays open for a client to write to; ``console_size``: rows and columns its terminal begins with.
    """

    name: str = ""
    env: dict[str, str] = {}
    volumes: tuple[str, ...] = ()
    workdir: str = ""
    user: str = ""
    memory: int | None = None
    cpus: float | None = None
    pids_limit: int | None = None
    network: str = "none"
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

    def check(self) -> "Options":
        """Itself, when every value makes sense; else ``InvalidOption``."""
        if self.name and not _NAME.fullmatch(self.name):
            raise InvalidOption(
                "use",
                f"--name {self.name}",
                "not a name",
                "letters, digits, _ . - and a letter or digit first",
            )
        if self.hostname and not _HOSTNAME.fullmatch(self.hostname):
            raise InvalidOption(
                "use", f"--hostname {self.hostname}", "not a host name", "letters, digits and -"
            )
        if self.network not in NETWORKS:
            hint = "use --network none (its own, loopback only) or --network host"
            cause = "no such network here"
            if self.network == "bridge":
                cause = "bridge networks are not built yet"
            raise InvalidOption("use", f"--network {self.network}", cause, hint)
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
        for name in self.files:
            plain = name.removeprefix("in/")
            if "/" in plain or plain in ("", ".", "..") or name in ("in", "out", "exec"):
                raise InvalidOption("place", name, "not a plain file name")
        for volume in self.volumes:
            parse_volume(volume)
        return self


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
        Options(env=self.env, workdir=self.workdir, files=self.files).check()
        return self


class Volume(msgspec.Struct, frozen=True):
    """A directory or file of the host to be seen in the container."""

    source: str
    destination: str
    read_only: bool = False


def check_variable(name: str, value: str) -> None:
    """``InvalidOption`` unless the environment can hold this variable."""
    if not _VARIABLE.fullmatch(name):
        raise InvalidOption("set variable", repr(name), "not a name", "write -e NAME=value")
    if "\0" in value:
        raise InvalidOption(
            "set variable", name, "its value holds a NUL character, which ends a string in Linux"
        )
    try:
        (name + value).encode()
    except UnicodeEncodeError:
        raise InvalidOption("set variable", name, "its value cannot be written as UTF-8") from None


def parse_memory(text: str) -> int:
    """Bytes of ``256m``, ``1g``, ``1.5GiB``; units are powers of 1024, as docker reads them."""
    match = _SIZE.fullmatch(text.strip())
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


def parse_volume(text: str) -> Volume:
    """``SRC:DST[:ro|rw]``, both absolute paths."""
    parts = text.split(":")
    if len(parts) not in (2, 3) or (len(parts) == 3 and parts[2] not in ("ro", "rw")):
        raise InvalidOption("mount volume", text, "not SRC:DST or SRC:DST:ro", "both are absolute paths")
    if not parts[0].startswith("/"):
        raise InvalidOption(
            "mount volume", text, f"{parts[0]!r} is not an absolute path", "named volumes are not built yet"
        )
    if not parts[1].startswith("/") or parts[1].rstrip("/") == "":
        raise InvalidOption("mount volume", text, f"{parts[1]!r} cannot be a mount point in the container")
    return Volume(parts[0], parts[1], parts[-1] == "ro")
