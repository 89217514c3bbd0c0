"""Settings of an image changed by single instructions: ``commit --change``. docker-commit(1)."""

from collections.abc import Iterable

from sandcell.runtime.build import dockerfile
from sandcell.runtime.build.checks import Checks
from sandcell.runtime.build.dockerfile import Statement
from sandcell.runtime.build.evaluate import Evaluation, Origin
from sandcell.runtime.build.grammar import read_one
from sandcell.runtime.build.variables import Arguments
from sandcell.runtime.errors import InvalidOption
from sandcell.runtime.oci.config import RunConfig
from sandcell.runtime.oci.platform import Platform

ALLOWED = (
    "CMD",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "HEALTHCHECK",
    "LABEL",
    "ONBUILD",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
)


def amended(config: RunConfig, changes: Iterable[str]) -> RunConfig:
    """``config`` after the instructions ``changes``, in order. ``InvalidOption`` for one that is not
    ``ALLOWED``, ``DockerfileError`` for one that makes no sense."""
    machine = Platform.here()
    arguments = Arguments({}, machine, machine, "\\", Checks())
    evaluation = Evaluation(0, config, arguments, _nowhere)
    for text in changes:
        for statement in dockerfile.parse(text).statements:
            if statement.keyword not in ALLOWED:
                cause = f"{statement.keyword} makes no setting of an image"
                raise InvalidOption("use", f"--change {text!r}", cause, f"use {', '.join(ALLOWED)}")
            evaluation.carry(read_one(statement))
    return evaluation.config


def _nowhere(name: str, statement: Statement, *_: object) -> Origin:
    raise AssertionError(f"{statement.keyword} reads from {name}")  # none that is allowed does
