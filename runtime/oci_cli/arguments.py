"""A command line as runc and crun take theirs, split without argparse: starting must be quick."""

from sandcell.runtime.errors import InvalidOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# option → does it take a value; short names lead to long ones.
GLOBAL = {
    "root": True,
    "log": True,
    "log-format": True,
    "log-level": True,
    "cgroup-manager": True,
    "rootless": True,
    "criu": True,
    "debug": False,
    "systemd-cgroup": False,
    "version": False,
    "help": False,
}
_CREATING = {
    "bundle": True,
    "console-socket": True,
    "pid-file": True,
    "preserve-fds": True,
    "config": True,
    "no-pivot": False,
    "no-new-keyring": False,
    "no-subreaper": False,
}
COMMANDS: dict[str, dict[str, bool]] = {
    "create": _CREATING,
    "run": {**_CREATING, "detach": False, "keep": False},
    "start": {},
    "state": {},
    "kill": {"all": False, "regex": False},
    "delete": {"force": False, "regex": False},
    "exec": {
        "process": True,
        "pid-file": True,
        "console-socket": True,
        "preserve-fds": True,
        "cwd": True,
        "env": True,
        "user": True,
        "additional-gids": True,
        "cap": True,
        "cgroup": True,
        "apparmor": True,
        "process-label": True,
        "tty": False,
        "detach": False,
        "no-new-privs": False,
        "ignore-paused": False,
    },
    "ps": {"format": True},
    "list": {"format": True, "quiet": False},
    "pause": {},
    "resume": {},
    "update": {
        "cpu-burst": True,
        "cpu-idle": True,
        "cpu-rt-period": True,
        "cpu-rt-runtime": True,
        "kernel-memory": True,
        "kernel-memory-tcp": True,
        "resources": True,
        "memory": True,
        "memory-reservation": True,
        "memory-swap": True,
        "cpu-quota": True,
        "cpu-period": True,
        "cpu-share": True,
        "cpuset-cpus": True,
        "cpuset-mems": True,
        "pids-limit": True,
        "blkio-weight": True,
    },
    "features": {},
    "spec": {"bundle": True, "rootless": False},
}
_SHORT = {
    "b": "bundle",
    "d": "detach",
    "e": "env",
    "f": "format",
    "p": "process",
    "t": "tty",
    "u": "user",
    "c": "cap",
    "g": "additional-gids",
    "q": "quiet",
    "a": "all",
    "r": "resources",
    "h": "help",
    "v": "version",
}
_SHORT_OF = {"delete": {"f": "force"}}
# How many words there are at most; of the others one, the container.
_WORDS = {"exec": 100000, "kill": 2, "ps": 100000}
_REPEATED = ("env", "cap", "additional-gids")


class Line:
    """``options``: long name → value, "" for a flag, several values joined by NUL."""

    __slots__ = ("command", "options", "words")

    def __init__(self, command: str, options: dict[str, str], words: tuple[str, ...]) -> None:
        self.command, self.options, self.words = command, options, words

    def has(self, name: str) -> bool:
        """True when the option was given."""
        return name in self.options

    def get(self, name: str, default: str = "") -> str:
        """The value of an option."""
        return self.options.get(name, default)

    def each(self, name: str) -> tuple[str, ...]:
        """All values of an option that may be repeated."""
        return tuple(self.options[name].split("\0")) if name in self.options else ()

    def number(self, name: str) -> int:
        """The number given to an option, 0 without. ``InvalidOption`` for anything else."""
        text = self.get(name, "0")
        if not text.isdecimal():
            raise InvalidOption(self.command, "", f"--{name} {text!r} is no number")
        return int(text)

    @property
    def id(self) -> str:
        """The container named first. ``InvalidOption`` without one."""
        if not self.words:
            raise InvalidOption(self.command, "", "no container is named", f"{self.command} CONTAINER")
        most = _WORDS.get(self.command, 1)
        if len(self.words) > most:
            raise InvalidOption(self.command, "", f"there is no place for {self.words[most]!r}")
        return self.words[0]


def parse(arguments: list[str]) -> Line:
    """The command with its options and words. ``InvalidOption`` tells what is not understood."""
    options: dict[str, str] = {}
    rest = _options("", arguments, GLOBAL, options, {}, words=0)[1]
    if not rest:
        return Line("", options, ())
    command = rest[0]
    if command not in COMMANDS:
        known = ", ".join(COMMANDS)
        raise InvalidOption("use", "sandcell-oci", f"there is no command {command!r}", f"there are {known}")
    short = _SHORT_OF.get(command, {})
    # What follows the container of an exec is the command, with options of its own.
    most = 1 if command == "exec" else 1000
    known_here = {**COMMANDS[command], "help": False}
    words, rest = _options(command, rest[1:], known_here, options, short, words=most)
    return Line(command, options, (*words, *rest))


def _options(
    command: str,
    arguments: list[str],
    known: "Mapping[str, bool]",
    options: dict[str, str],
    short: "Mapping[str, str]",
    *,
    words: int,
) -> tuple[list[str], list[str]]:
    found: list[str] = []
    place = 0
    while place < len(arguments):
        word = arguments[place]
        if word == "--":
            return found, arguments[place + 1 :]
        if not word.startswith("-") or word == "-" or _negative(word):
            if len(found) >= words:
                return found, arguments[place:]
            found.append(word)
            place += 1
            continue
        name, sign, value = word.lstrip("-").partition("=")
        if not word.startswith("--"):
            name = {**_SHORT, **short}.get(name, name)
        if name not in known:
            cause = f"there is no option {word}"
            raise InvalidOption(command or "sandcell-oci", "", cause, "there are " + ", ".join(known))
        place += 1
        if known[name] and not sign:
            if place >= len(arguments):
                raise InvalidOption(command or "sandcell-oci", "", f"{word} needs a value")
            value = arguments[place]
            place += 1
        options[name] = f"{options[name]}\0{value}" if name in _REPEATED and name in options else value
    return found, []


def _negative(word: str) -> bool:
    return word[1:].isdigit()
