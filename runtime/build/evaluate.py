"""One stage evaluated: each instruction becomes an op, with the settings as they are at that point."""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from sandcell.runtime.build.dockerfile import Statement
from sandcell.runtime.build.evaluate_copy import evaluate_copy
from sandcell.runtime.build.evaluate_run import DEFAULT_PATH, evaluate_run
from sandcell.runtime.build.expand import expand
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
from sandcell.runtime.build.ops import Configure, Enter, Op
from sandcell.runtime.build.variables import Arguments
from sandcell.runtime.oci import config as oci
from sandcell.runtime.oci.config import RunConfig

SCRATCH = RunConfig(env=(f"PATH={DEFAULT_PATH}",), working_dir="/")
"""The settings that an image made from nothing begins with."""
_DEFAULT_SHELL = ("/bin/sh", "-c")
# Compiled when first used: a warm build needs few of them.
_PORT = r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?"
_PUBLISHED = rf"(?:[\d.]+:|\[[\da-f:]+\]:)?(?:\d{{1,5}}(?:-\d{{1,5}})?:)?{_PORT}"
_SIGNAL = r"[1-9]|[1-5]\d|6[0-4]|(?:SIG)?RT(?:MIN(?:\+\d+)?|MAX(?:-\d+)?)"


class Origin(msgspec.Struct, frozen=True):
    """Where files come from: a context (``""`` is the build's own), an earlier stage, or an image."""

    context: str | None = None
    stage: int | None = None
    image: str = ""


FindOrigin = Callable[[str, Statement, str, int], Origin]
"""From what ``--from`` says, the statement, the flag's name and the number of the stage."""


class Evaluation:
    """The state of one stage. ``ops`` grows by one for each instruction."""

    def __init__(
        self,
        number: int,
        config: RunConfig,
        arguments: Arguments,
        find_origin: "FindOrigin",
        platform: str = "",
    ) -> None:
        """``config``: what the stage begins with. ``find_origin``: what a ``--from`` means."""
        self.number = number
        self.config = config
        self.ops: list[Op] = []
        self.checks = arguments.checks
        self._arguments = arguments
        self._find_origin = find_origin
        self.platform = platform
        self.local: dict[str, str] = {}
        self._has_own_cmd = False

    def carry(self, instruction: Instruction) -> None:
        """Evaluate one instruction; ``DockerfileError`` with its lines if it makes no sense here."""
        _STEPS[type(instruction)](self, instruction)

    def _variables(self) -> dict[str, str]:
        return {**self.local, **self.config.environment}

    def expand(self, word: str, statement: Statement, how: Callable[..., str] = expand) -> str:
        """``word`` with the variables of this point replaced."""
        return self._arguments.expand(word, self._variables(), statement, how)

    def _set(self, statement: Statement, text: str, created_by: str = "", **changes: Any) -> None:
        """A setting changed."""
        self.config = msgspec.structs.replace(self.config, **changes)
        self.add(Configure, statement, text, created_by, changes=changes)

    def add(self, op: Any, statement: Statement, text: str, created_by: str = "", **fields: Any) -> None:
        """The next op of the stage."""
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

    def shell(self) -> tuple[str, ...]:
        """What the shell form is run by."""
        return self.config.shell or _DEFAULT_SHELL

    def origin(self, name: str, statement: Statement, flag: str) -> "Origin":
        """Where files named by ``--from`` come from; the build's own context where it is not given."""
        return self._find_origin(name, statement, flag, self.number) if name else Origin(context="")

    def proxies(self) -> tuple[str, ...]:
        """Proxy settings given by the caller."""
        return self._arguments.proxies()

    def absolute(self, path: str) -> str:
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
        pairs = [(self.expand(name, statement), self.expand(value, statement)) for name, value in env.pairs]
        environment = self.config.environment
        environment.update(pairs)
        told = " ".join(f"{name}={value}" for name, value in pairs)
        self._set(
            statement, f"ENV {told}", env=tuple(f"{name}={value}" for name, value in environment.items())
        )

    def _label(self, label: Label) -> None:
        statement = label.statement
        pairs = [(self.expand(name, statement), self.expand(value, statement)) for name, value in label.pairs]
        told = " ".join(f"{name}={value}" for name, value in pairs)
        self._set(statement, f"LABEL {told}", labels={**self.config.labels, **dict(pairs)})

    def _arg(self, arg: Arg) -> None:
        told = self._arguments.declare(arg, self.local, self.config.environment)
        text = " ".join(name if value is None else f"{name}={value}" for name, value in told)
        self._set(arg.statement, f"ARG {text}")

    def _workdir(self, workdir: Workdir) -> None:
        path = self.expand(workdir.path, workdir.statement)
        if not path:
            raise workdir.statement.fault(f"the directory {workdir.path} is empty", "is the variable set?")
        path = self.absolute(path)
        self.config = msgspec.structs.replace(self.config, working_dir=path)
        self.add(Enter, workdir.statement, f"WORKDIR {path}", path=path, user=self.config.user)

    def _user(self, user: User) -> None:
        name = self.expand(user.user, user.statement)
        if not name or any(char.isspace() for char in name):
            raise user.statement.fault(
                f"{name!r} is no user", "write a name or a number, perhaps with :group"
            )
        self._set(user.statement, f"USER {name}", user=name)

    def _expose(self, expose: Expose) -> None:
        statement = expose.statement
        ports: dict[str, dict[str, Any]] = {}
        for word in expose.ports:
            for port in self.expand(word, statement).split():
                ports.update((one, {}) for one in self._ports(port, statement))
        told = " ".join(ports)
        self._set(
            statement,
            f"EXPOSE {told}",
            f"EXPOSE [{told}]",
            exposed_ports={**self.config.exposed_ports, **ports},
        )

    def _ports(self, text: str, statement: Statement) -> list[str]:
        match = re.fullmatch(_PORT, text.lower())
        if match is None and re.fullmatch(_PUBLISHED, text.lower()):
            cause = f"{text} names a port of the host, which is chosen when the container runs"
            self.checks.add("ExposeInvalidFormat", cause, statement)
            match = re.fullmatch(_PORT, text.lower().rpartition(":")[2])
        if match is None:
            hint = "for example 8000, 8000/udp or 8000-8010; host ports are chosen when the container runs"
            raise statement.fault(f"{text} is no port", hint)
        if text != text.lower():
            self.checks.add("ExposeProtoCasing", f"write {text.lower()}", statement)
        first, last = int(match.group(1)), int(match.group(2) or match.group(1))
        if not first <= last <= 65535:
            raise statement.fault(f"{text} is no range of ports", "ports are 0 to 65535")
        protocol = match.group(3) or "tcp"
        return [f"{port}/{protocol}" for port in range(first, last + 1)]

    def _volume(self, volume: Volume) -> None:
        paths = [self.expand(path, volume.statement) for path in volume.paths]
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
        command = (*self.shell(), *cmd.command) if cmd.shell else cmd.command
        self._has_own_cmd = True
        self._set(cmd.statement, cmd.statement.line, f"CMD {_listed(command)}", cmd=command)
        self.doubt_json(cmd.statement, cmd.shell)

    def _entrypoint(self, entrypoint: Entrypoint) -> None:
        command = (*self.shell(), *entrypoint.command) if entrypoint.shell else entrypoint.command
        changes: dict[str, Any] = {"entrypoint": command}
        if not self._has_own_cmd:
            # The base's arguments were meant for the base's program.
            changes["cmd"] = ()
        self._set(
            entrypoint.statement, entrypoint.statement.line, f"ENTRYPOINT {_listed(command)}", **changes
        )
        self.doubt_json(entrypoint.statement, entrypoint.shell)

    def _shell_command(self, shell: Shell) -> None:
        told = " ".join(shell.command)
        self._set(shell.statement, shell.statement.line, f"SHELL [{told}]", shell=shell.command)

    def _stop_signal(self, stop: StopSignal) -> None:
        name = self.expand(stop.signal, stop.statement)
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
        self.add(Configure, maintainer.statement, f"MAINTAINER {maintainer.name}", author=maintainer.name)

    def doubt_json(self, statement: Statement, shell: bool) -> None:
        """Single quotes make a command of the shell form that was meant as a list."""
        if shell and statement.words[0].startswith("[") and statement.words[0].endswith("]"):
            cause = (
                f"{statement.keyword} looks like a list but is not JSON, so the shell gets it as text; JSON"
                " needs double quotes"
            )
            self.checks.add("JSONArgsRecommended", cause, statement)


def _listed(words: tuple[str, ...]) -> str:
    """Words as docker's history shows them: quoted, no commas."""
    return "[" + " ".join(msgspec.json.encode(word).decode() for word in words) + "]"


_STEPS: dict[type, Callable[[Evaluation, Any], None]] = {
    Run: evaluate_run,
    Copy: evaluate_copy,
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
