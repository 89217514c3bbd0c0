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


def form_option(*words: str, help: str, short: str = "") -> Callable[[_Function], _Function]:
    """Add ``--format``, ``short`` too: one of the ``words``, the first without it, or a template of
    ``cli.template``."""

    def check(_: click.Context, __: click.Parameter, value: str) -> str:
        if value not in words:
            from sandcell.runtime.cli.template import compiled

            compiled(value)
        return value

    metavar = "|".join((*words, "TEMPLATE"))
    names = filter(None, (short, "--format", "form"))
    return click.option(*names, default=words[0], metavar=metavar, callback=check, help=help)


def rows_option(function: _Function) -> _Function:
    """``format_option`` of verbs that print by ``show``: a template is taken, too."""
    help = "A table, one JSON object a line, or a line for each as '{{.ID}} {{.Names}}'."
    return form_option("table", "json", help=help)(function)


def show(rows: Iterable[Mapping[str, Any]], columns: Sequence[tuple[str, str]], form: str) -> None:
    """Print ``rows``. ``columns``: (heading, key of the row); ``json`` prints the whole row, a template of
    ``rows_option`` what it says, ``table TEMPLATE`` with headings."""
    if form == "json":
        for row in rows:
            print(as_json(row))
        return
    if form != "table":
        _templated(rows, {key: heading for heading, key in columns}, form)
        return
    print(table([heading for heading, _ in columns], [[str(row[key]) for _, key in columns] for row in rows]))


def _templated(rows: Iterable[Mapping[str, Any]], headings: Mapping[str, str], form: str) -> None:
    from sandcell.runtime.cli.template import compiled, fields

    render = compiled(form)
    lines = [render(row).split("\t") for row in rows]
    if form.startswith("table "):
        names = [headings.get(name, name.upper()) for name in fields(form)]
        if lines and len(names) != len(lines[0]):
            lines = [["\t".join(line)] for line in lines]
            names = [" ".join(names)]
        print(table(names, lines))
        return
    for line in lines:
        print("\t".join(line))


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
