"""The flags of ``run`` and ``create``, and the options they become."""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sandcell.runtime.cli import more_flags
from sandcell.runtime.container.run_flags import lines, mounted, pairs
from sandcell.runtime.errors import InvalidOption

if TYPE_CHECKING:
    from sandcell.runtime.container.options import Options

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _not_yet(cause: str, hint: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    """A callback for a flag of docker's that this version cannot honour: say so, do not ignore it."""

    def refuse(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
        if value:
            raise InvalidOption(str(ctx.info_name), parameter.opts[0], cause, hint)

    return refuse


interactive_flag = click.option(
    "-i",
    "--interactive",
    is_flag=True,
    help="Pass on our standard input.",
)

detach_keys_flag = click.option(
    "--detach-keys",
    default="ctrl-p,ctrl-q",
    show_default=True,
    metavar="KEYS",
    help="Keys that leave the program running (-it).",
)


def check_terminal(*, tty: bool, interactive: bool) -> tuple[int, int]:
    """Rows and columns that a new terminal shall have, zeros without one. ``InvalidOption`` when
    somebody is to type into it but our standard input is no terminal."""
    if not tty:
        return 0, 0
    from sandcell.runtime.cli.terminal import size_of

    if interactive and not os.isatty(0):
        raise InvalidOption("use", "-t", "the standard input is not a terminal", "leave out -t, keep -i")
    return size_of(0 if interactive else 1)


_FLAGS = (
    click.option("--name", metavar="NAME", help="Name of the container; one is made up otherwise."),
    click.option("--replace", is_flag=True, help="Remove a container of that name first."),
    click.option("-e", "--env", multiple=True, metavar="KEY[=VALUE]", help="Set a variable."),
    click.option(
        "-v",
        "--volume",
        multiple=True,
        metavar="SRC:DST[:ro]",
        help="Show a host directory or a named volume inside.",
    ),
    click.option("--tmpfs", multiple=True, metavar="DST[:size=64m]", help="Mount an empty tmpfs."),
    click.option("-w", "--workdir", metavar="DIR", help="Directory to start in."),
    click.option("-u", "--user", metavar="USER[:GROUP]", help="User to run as."),
    click.option("-m", "--memory", metavar="SIZE", help="Most memory, e.g. 256m."),
    click.option("--cpus", metavar="NUMBER", help="Most processor time, in processors, e.g. 1.5."),
    click.option("--pids-limit", type=int, metavar="NUMBER", help="Most processes."),
    click.option(
        "--network",
        "--net",
        multiple=True,
        metavar="none|bridge|host|NAME",
        help="Nothing but loopback, a bridge, the host's; several names may be given.",
    ),
    click.option("-h", "--hostname", metavar="NAME", help="Name of the machine inside."),
    click.option("-l", "--label", multiple=True, metavar="KEY=VALUE", help="Note on the container."),
    click.option("--entrypoint", metavar="COMMAND", help="Run this instead of the image's ENTRYPOINT."),
    click.option("--read-only", is_flag=True, help="Make the container's files read-only."),
    click.option("--stop-signal", metavar="SIGNAL", help="What 'stop' sends first."),
    click.option("--rm", is_flag=True, help="Remove the container when it ends."),
    click.option("-t", "--tty", is_flag=True, help="Give the program a terminal to write to."),
    interactive_flag,
    click.option(
        "-p",
        "--publish",
        multiple=True,
        metavar="[ADDR:]HOST:PORT[/udp]",
        help="Publish a port or a range, at 127.0.0.1.",
    ),
    *more_flags.FLAGS,
)


def creation_flags(function: _Function) -> _Function:
    """Add every flag that describes a new container; ``options_of`` takes their values."""
    for flag in reversed(_FLAGS):
        function = flag(function)
    return function


def options_of(flags: dict[str, Any]) -> "Options":
    """The values of ``creation_flags`` as options of the engine.

    Raises ``InvalidOption`` for a value that makes no sense; nothing is made then.
    """
    from sandcell.runtime.container.options import Options, parse_cpus, parse_memory

    more = more_flags.more_options(flags)
    mounts = mounted(flags["mount"])
    given: dict[str, Any] = {
        **more,
        "name": flags["name"],
        "replace": flags["replace"],
        "env": environment(flags["env"], flags["env_file"]),
        "volumes": (*map(host_path, flags["volume"]), *mounts["volume"]),
        "tmpfs": (*flags["tmpfs"], *mounts["tmpfs"]),
        "workdir": flags["workdir"],
        "user": flags["user"],
        "memory": None if flags["memory"] is None else parse_memory(flags["memory"]),
        "cpus": None if flags["cpus"] is None else parse_cpus(flags["cpus"]),
        "pids_limit": flags["pids_limit"],
        "network": flags["network"][0] if flags["network"] else "",
        "more_networks": flags["network"][1:],
        "publish": flags["publish"],
        "hostname": flags["hostname"],
        "labels": {**more["labels"], **pairs(flags["label"])},
        "entrypoint": None if flags["entrypoint"] is None else tuple(filter(None, [flags["entrypoint"]])),
        "read_only": flags["read_only"],
        "stop_signal": flags["stop_signal"],
        "remove": flags["rm"],
        "tty": flags["tty"],
        "interactive": flags["interactive"],
    }
    return Options(**{name: value for name, value in given.items() if value not in (None, {}, (), "")})


def environment(words: Sequence[str], files: Sequence[str] = ()) -> dict[str, str]:
    """Variables from files and ``-e`` words, the words winning (docker-run(1), ``--env``).

    ``KEY=VALUE`` sets one; ``KEY`` alone passes on our own value, or nothing if we have none. In a
    file, empty lines and lines that begin with ``#`` are skipped.
    """
    variables: dict[str, str] = {}
    for word in [*(line for path in files for line in lines("--env-file", path)), *words]:
        key, sign, value = word.partition("=")
        if not key:
            raise InvalidOption("read", f"-e {word}", "a variable needs a name", "write -e KEY=VALUE")
        if sign:
            variables[key] = value
        elif key in os.environ:
            variables[key] = os.environ[key]
    return variables


def host_path(text: str) -> str:
    """A source that begins with a dot is a path from where we stand, as for docker's client."""
    source, sign, rest = text.partition(":")
    return f"{os.path.abspath(source)}{sign}{rest}" if source.startswith(".") else text
