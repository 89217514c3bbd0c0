"""Statements → typed instructions: each keyword's own grammar.

Dockerfile reference, one section a keyword. What is known to the reference and not carried out here
is refused by name, with the lines, rather than ignored: an image must not differ silently.
"""

import re
from collections.abc import Callable

from sandcell.runtime.build.dockerfile import Dockerfile, HereDocument, Statement, announced
from sandcell.runtime.build.flags import Flags, read_flags
from sandcell.runtime.build.instructions import (
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Instruction,
    Label,
    Maintainer,
    OnBuild,
    Run,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from sandcell.runtime.build.mounting import read_mount, stage_of

# Compiled when first used: a warm build needs few of them.
_STAGE = r"[a-z][a-z0-9_.-]*"
_DURATION = r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h)"
_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


def read(dockerfile: Dockerfile) -> tuple[Instruction, ...]:
    """Every statement as its instruction; ``DockerfileError`` for the first that makes no sense."""
    return tuple(read_one(statement) for statement in dockerfile.statements)


def read_one(statement: Statement) -> Instruction:
    """One statement as its instruction; ``DockerfileError`` with its lines if it makes no sense."""
    return _READERS[statement.keyword](statement, read_flags(statement))


def _from(statement: Statement, flags: Flags) -> From:
    words = statement.words
    if not words:
        raise statement.fault(
            "FROM needs an image", "for example FROM host, or FROM scratch for an empty one"
        )
    if len(words) not in (1, 3) or (len(words) == 3 and words[1].upper() != "AS"):
        raise statement.fault("FROM takes one image", "write FROM image, or FROM image AS stage")
    stage = words[2].lower() if len(words) == 3 else ""
    if stage and not re.fullmatch(_STAGE, stage):
        raise statement.fault(
            f"{words[2]!r} cannot name a stage", "a stage name begins with a letter, then a-z 0-9 _ . -"
        )
    return From(statement=statement, image=words[0], stage=stage, platform=flags.text("platform"))


def _run(statement: Statement, flags: Flags) -> Run:
    network = flags.text("network", "default")
    if network not in ("default", "none", "host"):
        raise statement.fault(f"there is no network {network!r}", "--network is default, none or host")
    security = flags.text("security", "sandbox")
    if security != "sandbox":
        cause = "a step is never given more rights" if security == "insecure" else "there is no such mode"
        raise statement.fault(f"--security={security}: {cause}", "leave the flag away")
    if "device" in flags.lists:
        raise statement.fault("--device is refused: a step sees no device of this machine")
    mounts = flags.lists.get("mount", ())
    sources = tuple(stage_of(statement, text) for text in mounts)
    for text in mounts:
        if "$" not in text:
            read_mount(statement, text, str)
    command = statement.words
    if not any(word.strip() for word in command):
        raise statement.fault("RUN needs a command", 'for example RUN echo hello, or RUN ["echo", "hello"]')
    return Run(
        statement=statement,
        command=command,
        shell=not statement.is_json,
        network=network,
        mounts=mounts,
        sources=sources,
    )


def _copy(statement: Statement, flags: Flags) -> Copy:
    keyword = statement.keyword
    if len(statement.words) < 2:
        hint = f"write {keyword} source destination"
        raise statement.fault(f"{keyword} needs at least a source and a destination", hint)
    *sources, destination = statement.words
    documents = _documents(statement, sources)
    if flags.text("checksum") and len(sources) > 1:
        raise statement.fault("--checksum is of one source", "write one ADD for each")
    return Copy(
        statement=statement,
        sources=tuple(sources),
        destination=destination,
        documents=documents,
        owner=flags.text("chown"),
        mode=flags.text("chmod"),
        stage=flags.text("from"),
        link=flags.on("link"),
        parents=flags.on("parents"),
        exclude=flags.lists.get("exclude", ()),
        fetches=keyword == "ADD",
        unpack=flags.switches.get("unpack"),
        keep_git_dir=flags.on("keep-git-dir"),
        checksum=flags.text("checksum"),
    )


def _documents(statement: Statement, sources: list[str]) -> dict[int, HereDocument]:
    left = list(statement.here_documents)
    documents = {}
    for number, source in enumerate(sources):
        if left and announced(source):
            documents[number] = left.pop(0)
    if left:
        raise statement.fault(f"the here-document <<{left[0].name} is not among the sources")
    return documents


def _pairs(statement: Statement) -> tuple[tuple[str, str], ...]:
    words = statement.words
    if not words:
        raise statement.fault(
            f"{statement.keyword} needs a name and a value", f"write {statement.keyword} name=value"
        )
    pairs = tuple(zip(words[::2], words[1::2], strict=True))
    for name, _ in pairs:
        if not name:
            raise statement.fault("there is no name in front of =")
    return pairs


def _env(statement: Statement, _: Flags) -> Env:
    return Env(statement=statement, pairs=_pairs(statement))


def _label(statement: Statement, _: Flags) -> Label:
    return Label(statement=statement, pairs=_pairs(statement))


def _arg(statement: Statement, _: Flags) -> Arg:
    if not statement.words:
        raise statement.fault("ARG needs a name", "write ARG name, or ARG name=default")
    arguments: list[tuple[str, str | None]] = []
    for word in statement.words:
        name, equals, value = word.partition("=")
        if not name:
            raise statement.fault(f"{word!r} has no name", "write ARG name, or ARG name=default")
        arguments.append((name, value if equals else None))
    return Arg(statement=statement, arguments=tuple(arguments))


def _one(statement: Statement, what: str) -> str:
    if len(statement.words) != 1:
        raise statement.fault(f"{statement.keyword} needs {what}")
    return statement.words[0]


def _workdir(statement: Statement, _: Flags) -> Workdir:
    return Workdir(statement=statement, path=_one(statement, "a directory"))


def _user(statement: Statement, _: Flags) -> User:
    return User(statement=statement, user=_one(statement, "a user, as name or number"))


def _several(statement: Statement, what: str) -> tuple[str, ...]:
    if not statement.words or not all(statement.words):
        raise statement.fault(f"{statement.keyword} needs {what}")
    return statement.words


def _expose(statement: Statement, _: Flags) -> Expose:
    return Expose(statement=statement, ports=_several(statement, "a port, for example 8000"))


def _volume(statement: Statement, _: Flags) -> Volume:
    return Volume(statement=statement, paths=_several(statement, "a path, for example /data"))


def _cmd(statement: Statement, _: Flags) -> Cmd:
    return Cmd(statement=statement, command=statement.words, shell=_is_shell(statement))


def _entrypoint(statement: Statement, _: Flags) -> Entrypoint:
    return Entrypoint(statement=statement, command=statement.words, shell=_is_shell(statement))


def _is_shell(statement: Statement) -> bool:
    """Shell form, except that nothing at all means ``[]``: the command of the base is taken back."""
    return not statement.is_json and bool(statement.words)


def _shell(statement: Statement, _: Flags) -> Shell:
    if not statement.is_json or not statement.words:
        raise statement.fault("SHELL needs the JSON form", 'for example SHELL ["/bin/bash", "-c"]')
    return Shell(statement=statement, command=statement.words)


def _stop_signal(statement: Statement, _: Flags) -> StopSignal:
    return StopSignal(statement=statement, signal=_one(statement, "a signal, for example SIGTERM"))


def _healthcheck(statement: Statement, flags: Flags) -> Healthcheck:
    kind, *command = statement.words or ("",)
    kind = kind.upper()
    if kind not in ("CMD", "NONE") or (kind == "CMD") != bool(command):
        raise statement.fault("HEALTHCHECK is either CMD command or NONE")
    if kind == "NONE" and flags.texts:
        raise statement.fault("HEALTHCHECK NONE takes no flags")
    kind = "CMD-SHELL" if kind == "CMD" and not statement.is_json else kind
    times = {
        name.replace("-", "_"): _nanoseconds(statement, name, value)
        for name, value in flags.texts.items()
        if name != "retries"
    }
    retries = flags.text("retries", "0")
    if not retries.isdecimal():
        raise statement.fault(f"--retries={retries} is no number")
    return Healthcheck(statement=statement, test=(kind, *command), retries=int(retries), **times)


def _nanoseconds(statement: Statement, name: str, text: str) -> int:
    parts = re.findall(_DURATION, text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise statement.fault(f"--{name}={text} is no duration", "for example 30s or 1m30s")
    return sum(round(float(number) * _UNITS[unit]) for number, unit in parts)


def _on_build(statement: Statement, _: Flags) -> OnBuild:
    trigger = statement.trigger
    if trigger is None:
        raise statement.fault("ONBUILD needs an instruction", "for example ONBUILD COPY . /app")
    if trigger.keyword in ("ONBUILD", "FROM", "MAINTAINER"):
        raise statement.fault(f"ONBUILD {trigger.keyword} is not allowed")
    read_one(trigger)
    here = "".join(f"\n{one.content}{one.name}" for one in trigger.here_documents)
    return OnBuild(statement=statement, text=trigger.line + here)


def _maintainer(statement: Statement, _: Flags) -> Maintainer:
    return Maintainer(statement=statement, name=_one(statement, "a name"))


_READERS: dict[str, Callable[[Statement, Flags], Instruction]] = {
    "FROM": _from,
    "RUN": _run,
    "COPY": _copy,
    "ADD": _copy,
    "ENV": _env,
    "LABEL": _label,
    "ARG": _arg,
    "WORKDIR": _workdir,
    "USER": _user,
    "EXPOSE": _expose,
    "VOLUME": _volume,
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "SHELL": _shell,
    "STOPSIGNAL": _stop_signal,
    "HEALTHCHECK": _healthcheck,
    "ONBUILD": _on_build,
    "MAINTAINER": _maintainer,
}
