"""The flags of ``run`` and ``create`` that few need, of the table that the notebook reads, too."""

from typing import Any

import click

from sandcell.runtime.container.run_flags import FLAGS as TABLE
from sandcell.runtime.container.run_flags import MORE, REFUSED, RunFlag, fields, lines, pairs
from sandcell.runtime.errors import InvalidOption


def _click(flag: RunFlag) -> Any:
    told = f"{flag.help[0].upper()}{flag.help[1:]}."
    if not flag.value:
        return click.option(*flag.names, is_flag=True, help=told)
    return click.option(*flag.names, multiple=flag.many, metavar=flag.value, help=told)


FLAGS = (
    *(_click(flag) for flag in (*TABLE, *MORE)),
    *(click.option(name, is_flag=not value, hidden=True) for name, value, _, _ in REFUSED),
    click.option("--no-healthcheck", is_flag=True, hidden=True),
)


def more_options(flags: dict[str, Any]) -> dict[str, Any]:
    """The values of ``FLAGS`` as fields of the engine's options. ``InvalidOption`` for docker's flags
    that cannot be had."""
    for name, value, cause, hint in REFUSED:
        given = flags[name.lstrip("-").replace("-", "_")]
        if given and given != "no":
            raise InvalidOption("use", f"{name} {given}" if value else name, cause, hint)
    found = fields({flag.key: _texts(flags[flag.key]) for flag in TABLE})
    labels = tuple(line for path in flags["label_file"] for line in lines("--label-file", path))
    return {**found, "labels": pairs(labels)}


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, tuple):
        return value
    return () if value in (None, False) else (str(value),)
