"""Rows as people and as programs want them: a table of columns, or one JSON object a line."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import click
import msgspec

_Function = TypeVar("_Function", bound=Callable[..., Any])


def format_option(function: _Function) -> _Function:
    """Add docker's ``--format``, of which we know ``table`` and ``json``."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help="A table, or one JSON object a line.",
    )(function)


def show(rows: Iterable[Mapping[str, Any]], columns: Sequence[tuple[str, str]], form: str) -> None:
    """Print ``rows``. ``columns``: (heading, key of the row); ``json`` prints the whole row."""
    if form == "json":
        for row in rows:
            print(as_json(row))
        return
    print(table([heading for heading, _ in columns], [[str(row[key]) for _, key in columns] for row in rows]))


def as_json(value: Any) -> str:
    """``value`` as JSON on one line; kinds of text such as digests are text."""
    return msgspec.json.encode(value, enc_hook=str).decode()


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Left-aligned columns with three spaces between them, as docker prints them."""
    lines = [headings, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
