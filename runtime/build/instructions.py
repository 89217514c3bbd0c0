"""The instructions of a Dockerfile as records, their words still without any variable replaced.

One class a keyword (COPY and ADD share one). ``grammar`` makes them of statements.
"""

from typing import TypeAlias

import msgspec

from sandcell.runtime.build.dockerfile import HereDocument, Statement


class From(msgspec.Struct, frozen=True, kw_only=True):
    """``FROM [--platform=P] image [AS stage]``; ``stage`` in lower case, empty without a name."""

    statement: Statement
    image: str
    stage: str = ""
    platform: str = ""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """``RUN [--network=N] [--mount=M …] command``. ``shell``: ``command`` is one text for the image's
    shell. ``mounts``: as written; ``sources``: what their ``from`` names."""

    statement: Statement
    command: tuple[str, ...]
    shell: bool
    network: str = "default"
    mounts: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """``COPY`` or ``ADD``. ``documents``: here-documents among the sources, by their place in
    ``sources``; ``stage``: ``--from``; ``fetches``: it is ADD, so sources may be addresses; ``unpack``:
    ``--unpack`` as given. The rest are the flags of that name."""

    statement: Statement
    sources: tuple[str, ...]
    destination: str
    documents: dict[int, HereDocument] = {}
    owner: str = ""
    mode: str = ""
    stage: str = ""
    link: bool = False
    parents: bool = False
    exclude: tuple[str, ...] = ()
    fetches: bool = False
    unpack: bool | None = None
    keep_git_dir: bool = False
    checksum: str = ""


class Env(msgspec.Struct, frozen=True, kw_only=True):
    """``ENV name=value …``"""

    statement: Statement
    pairs: tuple[tuple[str, str], ...]


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """``LABEL name=value …``"""

    statement: Statement
    pairs: tuple[tuple[str, str], ...]


class Arg(msgspec.Struct, frozen=True, kw_only=True):
    """``ARG name[=default] …``; ``None`` is no default."""

    statement: Statement
    arguments: tuple[tuple[str, str | None], ...]


class Workdir(msgspec.Struct, frozen=True, kw_only=True):
    """``WORKDIR path``"""

    statement: Statement
    path: str


class User(msgspec.Struct, frozen=True, kw_only=True):
    """``USER name[:group]``, names or numbers"""

    statement: Statement
    user: str


class Expose(msgspec.Struct, frozen=True, kw_only=True):
    """``EXPOSE port[-port][/protocol] …``"""

    statement: Statement
    ports: tuple[str, ...]


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """``VOLUME path …``"""

    statement: Statement
    paths: tuple[str, ...]


class Cmd(msgspec.Struct, frozen=True, kw_only=True):
    """``CMD``: shell form, one text, or exec form, a program and its arguments."""

    statement: Statement
    command: tuple[str, ...]
    shell: bool


class Entrypoint(msgspec.Struct, frozen=True, kw_only=True):
    """``ENTRYPOINT``, in the two forms of CMD."""

    statement: Statement
    command: tuple[str, ...]
    shell: bool


class Shell(msgspec.Struct, frozen=True, kw_only=True):
    """``SHELL ["program", "argument"]``"""

    statement: Statement
    command: tuple[str, ...]


class StopSignal(msgspec.Struct, frozen=True, kw_only=True):
    """``STOPSIGNAL name-or-number``"""

    statement: Statement
    signal: str


class Healthcheck(msgspec.Struct, frozen=True, kw_only=True):
    """``HEALTHCHECK``. ``test`` as docker stores it: first word NONE, CMD or CMD-SHELL.
    Durations in nanoseconds, 0 where not given."""

    statement: Statement
    test: tuple[str, ...]
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class OnBuild(msgspec.Struct, frozen=True, kw_only=True):
    """``ONBUILD instruction``: ``text`` is kept in the image and carried out by who builds on it."""

    statement: Statement
    text: str


class Maintainer(msgspec.Struct, frozen=True, kw_only=True):
    """``MAINTAINER name``, the old way to say ``author``."""

    statement: Statement
    name: str


Instruction: TypeAlias = (
    From
    | Run
    | Copy
    | Env
    | Label
    | Arg
    | Workdir
    | User
    | Expose
    | Volume
    | Cmd
    | Entrypoint
    | Shell
    | StopSignal
    | Healthcheck
    | OnBuild
    | Maintainer
)
