"""One stage evaluated: each instruction becomes an op, with the settings as they are at that point."""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from sandcell.runtime.build.dockerfile import HereDocument, Statement, here_mark
from sandcell.runtime.build.expand import expand_lines
from sandcell.runtime.build.instructions import (
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
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
from sandcell.runtime.build.ops import Configure, Enter, Execute, Op, Place
from sandcell.runtime.build.variables import Arguments
from sandcell.runtime.oci import config as oci
from sandcell.runtime.oci.config import RunConfig

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SCRATCH = RunConfig(env=(f"PATH={DEFAULT_PATH}",), working_dir="/")
"""The settings that an image made from nothing begins with."""
_DEFAULT_SHELL = ("/bin/sh", "-c")
# Compiled when first used: a warm build needs few of them.
_PORT = r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?"
_OCTAL = r"[0-7]{3,4}"
_SIGNAL = r"[1-9]|[1-5]\d|6[0-4]|(?:SIG)?RT(?:MIN(?:\+\d+)?|MAX(?:-\d+)?)"


class Evaluation:
    """The state of one stage. ``ops`` grows by one for each instruction."""

    def __init__(
        self,
        number: int,
        config: RunConfig,
        arguments: Arguments,
        find_stage: Callable[[Copy, int], int | None],
    ) -> None:
        """``config``: what the stage begins with. ``find_stage``: which stage a COPY --from means."""
        self.number = number
        self.config = config
        self.ops: list[Op] = []
        self._arguments = arguments
        self._find_stage = find_stage
        self._local: dict[str, str] = {}
        self._has_own_cmd = False

    def carry(self, instruction: Instruction) -> None:
        """Evaluate one instruction; ``DockerfileError`` with its lines if it makes no sense here."""
        _STEPS[type(instruction)](self, instruction)

    def _variables(self) -> dict[str, str]:
        return {**self._local, **self.config.environment}

    def _expand(self, word: str, statement: Statement) -> str:
        return self._arguments.expand(word, self._variables(), statement)

    def _set(self, statement: Statement, text: str, created_by: str = "", **changes: Any) -> None:
        """A setting changed."""
        self.config = msgspec.structs.replace(self.config, **changes)
        self._add(Configure, statement, text, created_by, changes=changes)

    def _add(self, op: Any, statement: Statement, text: str, created_by: str = "", **fields: Any) -> None:
        self.ops.append(
            op(
                stage=self.number,
                text=" ".join(text.split()),
                created_by=created_by or text,
                lines=statement.lines,
                source=statement.source,
                **fields,
            )
        )

    def _shell(self) -> tuple[str, ...]:
        return self.config.shell or _DEFAULT_SHELL

    def _run(self, run: Run) -> None:
        argv, files, text = _command(run, self._shell())
        environment = self.config.environment
        declared = {name: value for name, value in self._local.items() if name not in environment}
        env = dict(environment)
        env.setdefault("PATH", DEFAULT_PATH)
        env.update(declared)
        told = "".join(f"{name}={value} " for name, value in declared.items())
        self._add(
            Execute,
            run.statement,
            text,
            f"RUN {f'|{len(declared)} {told}' if declared else ''}{' '.join(argv)}",
            argv=argv,
            env=tuple(f"{name}={value}" for name, value in env.items()),
            passing_env=self._arguments.proxies(),
            working_dir=self.config.working_dir or "/",
            user=self.config.user,
            network=run.network,
            files=files,
        )
        self._doubt_json(run.statement, run.shell)

    def _copy(self, copy: Copy) -> None:
        statement = copy.statement
        sources: list[str | tuple[str, bytes]] = []
        for number, source in enumerate(copy.sources):
            document = copy.documents.get(number)
            if document is not None:
                sources.append((document.name, self._content(document, statement)))
                continue
            path = self._expand(source, statement)
            if not path:
                raise statement.fault(f"the source {source} is empty", "is the variable set?")
            sources.append(path)
        written = self._expand(copy.destination, statement)
        if not written:
            raise statement.fault(f"the destination {copy.destination} is empty", "is the variable set?")
        into = written.endswith(("/", "/.", "/..")) or written in (".", "..")
        if len(sources) > 1 and not into:
            raise statement.fault(
                f"several sources need a directory to go to, and {written} is not written as one",
                f"end it with a slash: {written}/",
            )
        owner = self._expand(copy.owner, statement)
        mode = self._expand(copy.mode, statement)
        if mode and not re.fullmatch(_OCTAL, mode):
            raise statement.fault(f"--chmod={mode} is no octal mode", "for example --chmod=755")
        stage = self._find_stage(copy, self.number) if copy.stage else None
        flags = [("from", copy.stage), ("chown", owner), ("chmod", mode)]
        told = [f"--{name}={value}" for name, value in flags if value]
        told += [source if isinstance(source, str) else f"<<{source[0]}" for source in sources]
        self._add(
            Place,
            statement,
            " ".join((statement.keyword, *told, written)),
            sources=tuple(sources),
            destination=self._absolute(written),
            into=into,
            owner=owner,
            mode=int(mode, 8) if mode else None,
            from_stage=stage,
            from_image=copy.stage if stage is None else "",
            unpack=copy.unpack,
        )

    def _content(self, document: HereDocument, statement: Statement) -> bytes:
        text = document.text
        if document.expand:
            text = self._arguments.expand(text, self._variables(), statement, expand_lines)
        return text.encode("utf-8", "surrogateescape")

    def _absolute(self, path: str) -> str:
        """``path`` seen from the working directory, without ``.``, ``..`` and a slash at its end."""
        base = "" if path.startswith("/") else self.config.working_dir
        # Above the root is the root.
        parts: list[str] = []
        for part in f"{base}/{path}".split("/"):
            if part == "..":
                del parts[-1:]
            elif part not in ("", "."):
                parts.append(part)
        return "/" + "/".join(parts)

    def _env(self, env: Env) -> None:
        statement = env.statement
        pairs = [(self._expand(name, statement), self._expand(value, statement)) for name, value in env.pairs]
        environment = self.config.environment
        environment.update(pairs)
        told = " ".join(f"{name}={value}" for name, value in pairs)
        self._set(
            statement, f"ENV {told}", env=tuple(f"{name}={value}" for name, value in environment.items())
        )

    def _label(self, label: Label) -> None:
        statement = label.statement
        pairs = [
            (self._expand(name, statement), self._expand(value, statement)) for name, value in label.pairs
        ]
        told = " ".join(f"{name}={value}" for name, value in pairs)
        self._set(statement, f"LABEL {told}", labels={**self.config.labels, **dict(pairs)})

    def _arg(self, arg: Arg) -> None:
        told = self._arguments.declare(arg, self._local, self.config.environment)
        text = " ".join(name if value is None else f"{name}={value}" for name, value in told)
        self._set(arg.statement, f"ARG {text}")

    def _workdir(self, workdir: Workdir) -> None:
        path = self._expand(workdir.path, workdir.statement)
        if not path:
            raise workdir.statement.fault(f"the directory {workdir.path} is empty", "is the variable set?")
        path = self._absolute(path)
        self.config = msgspec.structs.replace(self.config, working_dir=path)
        self._add(Enter, workdir.statement, f"WORKDIR {path}", path=path, user=self.config.user)

    def _user(self, user: User) -> None:
        name = self._expand(user.user, user.statement)
        if not name or any(char.isspace() for char in name):
            raise user.statement.fault(
                f"{name!r} is no user", "write a name or a number, perhaps with :group"
            )
        self._set(user.statement, f"USER {name}", user=name)

    def _expose(self, expose: Expose) -> None:
        statement = expose.statement
        ports: dict[str, dict[str, Any]] = {}
        for word in expose.ports:
            for port in self._expand(word, statement).split():
                ports.update((one, {}) for one in _ports(port, statement))
        told = " ".join(ports)
        self._set(
            statement,
            f"EXPOSE {told}",
            f"EXPOSE [{told}]",
            exposed_ports={**self.config.exposed_ports, **ports},
        )

    def _volume(self, volume: Volume) -> None:
        paths = [self._expand(path, volume.statement) for path in volume.paths]
        if not all(paths):
            raise volume.statement.fault("a path is empty", "is the variable set?")
        told = " ".join(paths)
        self._set(
            volume.statement,
            f"VOLUME {told}",
            f"VOLUME [{told}]",
            volumes={**self.config.volumes, **{path: {} for path in paths}},
        )

    def _cmd(self, cmd: Cmd) -> None:
        command = (*self._shell(), *cmd.command) if cmd.shell else cmd.command
        self._has_own_cmd = True
        self._set(cmd.statement, cmd.statement.line, f"CMD {_listed(command)}", cmd=command)
        self._doubt_json(cmd.statement, cmd.shell)

    def _entrypoint(self, entrypoint: Entrypoint) -> None:
        command = (*self._shell(), *entrypoint.command) if entrypoint.shell else entrypoint.command
        changes: dict[str, Any] = {"entrypoint": command}
        if not self._has_own_cmd:
            # The base's arguments were meant for the base's program.
            changes["cmd"] = ()
        self._set(
            entrypoint.statement, entrypoint.statement.line, f"ENTRYPOINT {_listed(command)}", **changes
        )
        self._doubt_json(entrypoint.statement, entrypoint.shell)

    def _shell_command(self, shell: Shell) -> None:
        told = " ".join(shell.command)
        self._set(shell.statement, shell.statement.line, f"SHELL [{told}]", shell=shell.command)

    def _stop_signal(self, stop: StopSignal) -> None:
        name = self._expand(stop.signal, stop.statement)
        if not re.fullmatch(_SIGNAL, name.upper()):
            from signal import Signals

            names = [one.name for one in Signals]
            if "SIG" + name.upper().removeprefix("SIG") not in names:
                raise stop.statement.fault(f"there is no signal {name}", "for example SIGTERM, SIGINT or 15")
        self._set(stop.statement, f"STOPSIGNAL {name}", stop_signal=name)

    def _healthcheck(self, check: Healthcheck) -> None:
        healthcheck = oci.Healthcheck(
            test=check.test,
            interval=check.interval,
            timeout=check.timeout,
            start_period=check.start_period,
            start_interval=check.start_interval,
            retries=check.retries,
        )
        self._set(check.statement, check.statement.line, healthcheck=healthcheck)

    def _on_build(self, on_build: OnBuild) -> None:
        self._set(
            on_build.statement, f"ONBUILD {on_build.text}", on_build=(*self.config.on_build, on_build.text)
        )

    def _maintainer(self, maintainer: Maintainer) -> None:
        self._add(Configure, maintainer.statement, f"MAINTAINER {maintainer.name}", author=maintainer.name)

    def _doubt_json(self, statement: Statement, shell: bool) -> None:
        """Single quotes make a command of the shell form that was meant as a list."""
        if shell and statement.words[0].startswith("[") and statement.words[0].endswith("]"):
            self._arguments.notes.append(
                f"line {statement.lines[0]}: {statement.keyword} looks like a list but is not JSON, so the"
                " shell gets it as text; JSON needs double quotes"
            )


def _command(run: Run, shell: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, bytes], str]:
    """The words to execute, files to hand in, and the text to show.

    A lone here-document is the script itself: with ``#!`` it is a program of its own, else the text
    for the shell. Any other is left to the shell, which knows here-documents too.
    """
    documents = run.statement.here_documents
    if not run.shell:
        return run.command, {}, run.statement.line
    command = run.command[0]
    if not documents:
        return (*shell, command), {}, f"RUN {command}"
    first = documents[0]
    told = f"RUN {command} ({first.text.strip().partition(chr(10))[0]}…)"
    if here_mark(command) is None:
        whole = "".join((command, *(f"\n{one.content}{one.name}" for one in documents)))
        return (*shell, whole), {}, told
    if first.text.startswith("#!"):
        content = first.text.encode("utf-8", "surrogateescape")
        return (f"/run/sandcell/{first.name}",), {first.name: content}, told
    return (*shell, first.text), {}, told


def _ports(text: str, statement: Statement) -> list[str]:
    match = re.fullmatch(_PORT, text.lower())
    if match is None:
        hint = "for example 8000, 8000/udp or 8000-8010; host ports are chosen when the container runs"
        raise statement.fault(f"{text} is no port", hint)
    first, last = int(match.group(1)), int(match.group(2) or match.group(1))
    if not first <= last <= 65535:
        raise statement.fault(f"{text} is no range of ports", "ports are 0 to 65535")
    protocol = match.group(3) or "tcp"
    return [f"{port}/{protocol}" for port in range(first, last + 1)]


def _listed(words: tuple[str, ...]) -> str:
    """Words as docker's history shows them: quoted, no commas."""
    return "[" + " ".join(msgspec.json.encode(word).decode() for word in words) + "]"


_STEPS: dict[type, Callable[[Evaluation, Any], None]] = {
    Run: Evaluation._run,
    Copy: Evaluation._copy,
    Env: Evaluation._env,
    Label: Evaluation._label,
    Arg: Evaluation._arg,
    Workdir: Evaluation._workdir,
    User: Evaluation._user,
    Expose: Evaluation._expose,
    Volume: Evaluation._volume,
    Cmd: Evaluation._cmd,
    Entrypoint: Evaluation._entrypoint,
    Shell: Evaluation._shell_command,
    StopSignal: Evaluation._stop_signal,
    Healthcheck: Evaluation._healthcheck,
    OnBuild: Evaluation._on_build,
    Maintainer: Evaluation._maintainer,
}
