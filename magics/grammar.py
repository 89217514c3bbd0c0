"""What every magic takes: the one table behind parsing, help and completion.

Names and flags are docker's unless the surface says otherwise.
"""

from sandcell.magics.arguments import Flag, Grammar
from sandcell.magics.image_grammar import IMAGE_VERBS, verb
from sandcell.runtime.container import run_flags

_NAME = Flag(
    key="name", names=("--name",), value="NAME", help="name of the container; one is made up otherwise"
)
_ENV = Flag(
    key="env",
    names=("-e", "--env"),
    value="K=V",
    many=True,
    help="set a variable; {expr} and $name become Python values, byte for byte",
)
_WORKDIR = Flag(key="workdir", names=("-w", "--workdir"), value="DIR", help="directory to start in")
_USER = Flag(key="user", names=("-u", "--user"), value="USER[:GROUP]", help="user to run as")
_TTY = Flag(key="tty", names=("--tty",), help="give the program a terminal to write to")
_EXPLAIN = Flag(key="explain", names=("--explain",), help="show the plan; nothing is done")
_SHARED = (
    Flag(key="as", names=("--as",), value="VAR", help="keep the result in a Python variable"),
    Flag(
        key="expect",
        names=("--expect",),
        value="STATUS",
        help="pass on exactly this exit status, fail on any other",
    ),
    Flag(key="no_raise", names=("--no-raise-error",), help="a non-zero status is not an error"),
)
_CREATE = (
    _NAME,
    Flag(key="replace", names=("--replace",), help="remove a container of that name first"),
    _ENV,
    Flag(
        key="volumes",
        names=("-v", "--volume"),
        value="SRC:DST[:ro]",
        many=True,
        help="show a directory of the host, or a named volume, inside",
    ),
    Flag(key="tmpfs", names=("--tmpfs",), value="DST[:size=64m]", many=True, help="mount an empty tmpfs"),
    _WORKDIR,
    _USER,
    Flag(key="memory", names=("-m", "--memory"), value="SIZE", help="most memory, e.g. 256m"),
    Flag(key="cpus", names=("--cpus",), value="N", help="most processor time, in processors, e.g. 1.5"),
    Flag(key="pids_limit", names=("--pids-limit",), value="N", help="most processes"),
    Flag(
        key="network",
        names=("--network", "--net"),
        value="none|bridge|host|NAME",
        many=True,
        offers="network",
        help="nothing but loopback, a bridge, the host's, or container:NAME; several names may be given",
    ),
    Flag(
        key="publish",
        names=("-p", "--publish"),
        value="[ADDR:]HOST:PORT",
        many=True,
        help="publish a port of the container, at 127.0.0.1 unless an address is given",
    ),
    Flag(key="remove", names=("--rm",), help="remove the container when it ends"),
    Flag(
        key="background",
        names=("-d", "--bg", "--detach"),
        help="do not wait: the container runs on in the background",
    ),
    _TTY,
    Flag(key="hostname", names=("-h", "--hostname"), value="NAME", help="the container's own host name"),
    Flag(key="labels", names=("-l", "--label"), value="K=V", many=True, help="a note on the container"),
    Flag(key="read_only", names=("--read-only",), help="make the container's files read-only"),
    Flag(key="stop_signal", names=("--stop-signal",), value="SIGNAL", help="what stop sends first"),
)
_RARE = (
    *(
        Flag(key=flag.key, names=flag.names, value=flag.value, many=flag.many, help=flag.help)
        for flag in (*run_flags.FLAGS, *run_flags.MORE)
    ),
    *(
        Flag(key=name[2:], names=(name,), value=value, help="", refused=(cause, hint))
        for name, value, cause, hint in run_flags.REFUSED
    ),
)
_ENV_FILE = next(flag for flag in _RARE if flag.key == "env_file")
_DOCKER_ONLY = (
    Flag(key="entrypoint", names=("--entrypoint",), value="COMMAND", help="run this instead of ENTRYPOINT"),
)
_CELL = (
    Flag(
        key="with",
        names=("--with",),
        value="INTERPRETER",
        help='program that runs the cell: bash, python3, "perl -w"',
    ),
    Flag(key="strict", names=("--strict",), help="shell cells end at the first failing command (-e)"),
    Flag(
        key="send",
        names=("--send",),
        value="VAR[=ALIAS]",
        many=True,
        help="hand a Python variable to the cell",
    ),
    Flag(key="fetch", names=("--fetch",), value="VAR", many=True, help="take a variable back from the cell"),
)

WITH_IN = {
    "in",
    "with",
    "strict",
    "send",
    "fetch",
    "env",
    "env_file",
    "workdir",
    "user",
    "tty",
    "as",
    "expect",
    "no_raise",
}
"""Flags that make sense in a container that exists already."""

_BUILD = (
    Flag(
        key="contexts",
        names=("--build-context",),
        value="NAME=DIR",
        many=True,
        help="what NAME means in FROM and --from: a directory, docker-image://REF, …",
    ),
    Flag(
        key="secrets",
        names=("--secret",),
        value="id=NAME[,src=FILE]",
        many=True,
        help="for RUN --mount=type=secret: a file, or a variable (env=NAME)",
    ),
    Flag(
        key="agents", names=("--ssh",), value="default", many=True, help="an agent for RUN --mount=type=ssh"
    ),
    Flag(key="labels", names=("--label",), value="K=V", many=True, help="a label of the image"),
    Flag(key="platform", names=("--platform",), value="OS/ARCH", help="what the image is for"),
    Flag(
        key="fresh_stages",
        names=("--no-cache-filter",),
        value="STAGE",
        many=True,
        help="run that stage's steps again",
    ),
    Flag(
        key="cache_from",
        names=("--cache-from",),
        value="type=registry|local,…",
        many=True,
        help="take steps from there",
    ),
    Flag(
        key="cache_to",
        names=("--cache-to",),
        value="type=registry|local|inline,…",
        many=True,
        help="keep steps there too",
    ),
)
BUILD_LISTS = ("contexts", "secrets", "agents", "labels", "fresh_stages", "cache_from", "cache_to")
"""Flags of ``%%image`` that a build takes as they are written, each any number of times."""

IMAGE_CELL = Grammar(
    name="%%image",
    words="NAME[:TAG]",
    least=1,
    most=1,
    offers="image",
    about="""
The cell is a Dockerfile. Its steps run and become the read-only layers of an image.
""",
    flags=(
        Flag(key="context", names=("--context",), value="DIR", help="directory that COPY and ADD read from"),
        Flag(key="build_args", names=("--build-arg",), value="K=V", many=True, help="value of an ARG"),
        Flag(key="target", names=("--target",), value="STAGE", help="stop after this stage"),
        Flag(key="no_cache", names=("--no-cache",), help="run every step again"),
        Flag(key="pull", names=("--pull",), help="look for a newer base image"),
        *_BUILD,
        _EXPLAIN,
        Flag(key="as", names=("--as",), value="VAR", help="keep the image in a Python variable"),
    ),
    notes="""
Example:
  %%image hello
  FROM host
  RUN echo hello > /greeting
  CMD ["cat", "/greeting"]

Then:  %%container hello   runs a cell in a new container of it
       %container run hello   runs its CMD
       %image history hello   shows what each instruction made
""",
)

CONTAINER_CELL = Grammar(
    name="%%container",
    words="IMAGE | --in NAME",
    most=1,
    offers="image",
    terminal="sandcell run -it {0}",
    about="""
The cell runs in a new container of IMAGE: always a fresh one, the image never changes.
With --in NAME it runs inside that running container instead.
""",
    flags=(
        Flag(
            key="in",
            names=("--in",),
            value="NAME",
            offers="container",
            help="run the cell inside this running container",
        ),
        *_CREATE,
        *_CELL,
        *_SHARED,
        _EXPLAIN,
        *_RARE,
    ),
    notes="""
The cell is the read-only file /run/sandcell/cell. It is run by --with, else by its #! line, else
by the image's SHELL or /bin/sh, in place of ENTRYPOINT and CMD. Its standard input is empty.
The last exit status counts, as in %%bash. Interrupting sends SIGINT, SIGTERM, then SIGKILL to
every process of this cell.

--send: Python cells find the variable under its name; shell cells find text and numbers in the
environment and everything else as the path of a file in /run/sandcell/in.
--fetch: from Python cells the variable of that name; from others the file $SANDCELL_OUT/VAR
(text, else bytes) or $SANDCELL_OUT/VAR.json. SANDCELL_OUT is /run/sandcell/out in a new container.
Values may be text, bytes, or anything JSON can hold.

Running a cell again replaces the exited, unnamed container that the same cell made before.
""",
)

_RUN_FLAGS = (*_CREATE, *_DOCKER_ONLY, *_SHARED, _EXPLAIN, *_RARE)


def _many(name: str, about: str, *flags: Flag) -> Grammar:
    return verb(name, about, words="NAME…", most=None, flags=flags)


_FORCE = Flag(key="force", names=("-f", "--force"), help="even if it is running")
_TIME = Flag(key="time", names=("-t", "--time"), value="SECONDS", help="how long to wait before SIGKILL (10)")

CONTAINER_VERBS = {
    "run": verb(
        "%container run",
        "A new container runs the image's own ENTRYPOINT and CMD, or COMMAND.",
        words="IMAGE [COMMAND ARG…]",
        most=None,
        stops=True,
        offers="image",
        flags=_RUN_FLAGS,
        terminal="sandcell run -it {0}",
    ),
    "create": verb(
        "%container create",
        "Make a container and do not start it.",
        words="IMAGE [COMMAND ARG…]",
        most=None,
        stops=True,
        offers="image",
        flags=tuple(
            flag for flag in (*_CREATE, *_DOCKER_ONLY, *_RARE) if flag.key not in ("background", "remove")
        ),
        terminal="sandcell run -it {0}",
    ),
    "exec": verb(
        "%container exec",
        "Run one more command in a running container.",
        words="NAME COMMAND [ARG…]",
        least=2,
        most=None,
        stops=True,
        flags=(_ENV, _ENV_FILE, _WORKDIR, _USER, _TTY, *_SHARED),
        terminal="sandcell exec -it {0} sh",
    ),
    "ls": verb(
        "%container ls",
        "Running containers; with -a all of them.",
        words="",
        least=0,
        most=0,
        flags=(Flag(key="all", names=("-a", "--all"), help="also those that have ended"),),
    ),
    "start": _many("%container start", "Start containers again, with the files they had."),
    "stop": _many("%container stop", "Ask containers to end: their stop signal, later SIGKILL.", _TIME),
    "restart": _many("%container restart", "Stop, then start.", _TIME),
    "kill": _many(
        "%container kill",
        "Send a signal to the main process of containers.",
        Flag(key="signal", names=("-s", "--signal"), value="SIGNAL", help="KILL unless given"),
    ),
    "top": verb("%container top", "Its processes, with their numbers inside and outside."),
    "stats": verb("%container stats", "What running containers use.", words="[NAME…]", least=0, most=None),
    "pause": _many("%container pause", "Let all processes of containers stand still."),
    "unpause": _many("%container unpause", "Let paused containers go on."),
    "port": verb(
        "%container port",
        "The ports of this machine that lead to a container, or to one port of it.",
        words="NAME [PORT[/PROTOCOL]]",
        most=2,
    ),
    "rename": verb("%container rename", "Give a container another name.", words="NAME NEW", least=2, most=2),
    "wait": _many("%container wait", "Wait until containers have ended; their exit statuses."),
    "rm": _many("%container rm", "Delete containers and their writable layers.", _FORCE),
    "prune": verb(
        "%container prune",
        "Containers that do not run; -f deletes them and what they wrote.",
        words="",
        least=0,
        most=0,
        flags=(Flag(key="force", names=("-f", "--force"), help="delete them"),),
    ),
    "logs": verb(
        "%container logs",
        "What a container wrote.",
        flags=(
            Flag(key="tail", names=("-n", "--tail"), value="N", help="only the last N lines"),
            Flag(key="follow", names=("-f", "--follow"), help="go on until it ends"),
            Flag(key="since", names=("--since",), value="TIME", help="only later: 10m (ago) or a time"),
            Flag(key="until", names=("--until",), value="TIME", help="only earlier"),
            Flag(key="timestamps", names=("-t", "--timestamps"), help="with the time of each line"),
        ),
    ),
    "cp": verb(
        "%container cp",
        "Copy files between a container (NAME:PATH) and here.",
        words="SOURCE DESTINATION",
        least=2,
        most=2,
        flags=(
            Flag(key="follow", names=("-L", "--follow-link"), help="of a link, what it leads to"),
            Flag(key="archive", names=("-a", "--archive"), help="keep the owners"),
        ),
    ),
    "diff": verb("%container diff", "The files that changed in its writable layer."),
    "commit": verb(
        "%container commit",
        "Turn a container's changes into a layer of a new image.",
        words="NAME [IMAGE[:TAG]]",
        most=2,
        flags=(
            Flag(key="message", names=("-m", "--message"), value="TEXT", help="note in the image's history"),
            Flag(key="as", names=("--as",), value="VAR", help="keep the image in a Python variable"),
        ),
    ),
    "reset": _many("%container reset", "Throw away the writable layer: the image's files are back."),
    "inspect": _many("%container inspect", "Everything known about containers, as JSON."),
    "explain": verb(
        "%container explain",
        "The steps that make a container of an image.",
        words="IMAGE [COMMAND ARG…]",
        most=None,
        stops=True,
        offers="image",
        flags=tuple(flag for flag in (*_CREATE, *_DOCKER_ONLY, *_RARE) if flag.key != "background"),
    ),
}

SANDCELL_VERBS = {
    "lessons": verb(
        "%sandcell lessons",
        "Copy the lessons to a folder and show how far you are. What is there stays: it is your work.",
        words="[DIR]",
        least=0,
        most=1,
    ),
    "doctor": verb(
        "%sandcell doctor",
        "What this host allows: which parts of a container are real here, and why.",
        words="",
        least=0,
        most=0,
    ),
    "prune": IMAGE_VERBS["prune"],
    "config": verb(
        "%sandcell config",
        "What is set: where the store lies, config.toml, and what %config Sandcell changes.",
        words="",
        least=0,
        most=0,
    ),
}

VERBS = {"image": IMAGE_VERBS, "container": CONTAINER_VERBS, "sandcell": SANDCELL_VERBS}
"""The sub-commands of each line magic."""

CELLS = {"image": IMAGE_CELL, "container": CONTAINER_CELL}
"""The grammar of each cell magic."""

_ABOUT = {
    "image": "Images: read-only templates. %%image builds one from a Dockerfile.",
    "container": "Containers: running instances of images. %%container runs a cell in one.",
    "sandcell": "Alone: opens the inspector, images and containers alive.",
}


def overview(magic: str) -> str:
    """The help of a line magic: its sub-commands, one line each."""
    verbs = VERBS[magic]
    width = max(len(name) for name in verbs)
    rows = [f"  {name:<{width}}  {verb.about.strip()}" for name, verb in verbs.items()]
    return "\n".join(
        [f"%{magic} VERB …", "", f"  {_ABOUT[magic]}", "", *rows, "", f"%{magic} VERB --help tells more."]
    )
