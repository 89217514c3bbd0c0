"""The parts of the pages that the code tells itself: verbs, flags, magics, drawings.

A line ``<!-- generated: NAME -->`` in a page stands for what ``PARTS[NAME]`` gives, as Markdown, each time
the site is made. So the reference cannot be older than the code.
"""

import re
from collections.abc import Iterator
from typing import Any

import click
import drawings

from sandcell import runtime
from sandcell.magics.arguments import Grammar
from sandcell.magics.grammar import CELLS, VERBS
from sandcell.runtime import errors
from sandcell.runtime.cli.group import commands
from sandcell.runtime.oci_cli import arguments as runtime_line

_PLACE = re.compile(r"^<!-- generated: ([\w-]+) -->$", re.MULTILINE)
_FIXED = "```text\n{}\n```\n"


def complete(_app: Any, _name: str, source: list[str]) -> None:
    """Sphinx's ``source-read``: put the parts in their places. A name that there is not ends the build."""
    source[0] = _PLACE.sub(lambda found: PARTS[found.group(1)](), source[0])


def tidy(_app: Any, _kind: str, _name: str, _value: object, _options: Any, lines: list[str]) -> None:
    """Docstrings are written to be read as they are: a name in backticks, and no other markup."""
    lines[:] = [re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", line).replace("*", r"\*") for line in lines]


# ------------------------------------------------------------ reference


def verbs() -> Iterator[tuple[str, click.Command]]:
    """Every command that can be typed after ``sandcell``, groups before what is in them."""
    yield from _below(commands, "sandcell")


def _below(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from _below(command, f"{path} {name}")


def command_line() -> str:
    """Each command with the help that ``--help`` prints."""
    return "\n".join(f"### {path}\n\n{_FIXED.format(_help(path, command))}" for path, command in verbs())


def _help(path: str, command: click.Command) -> str:
    context = click.Context(command, info_name=path, terminal_width=100, max_content_width=100)
    return command.get_help(context)


def magics() -> str:
    """Each cell magic and each sub-command of a line magic, with its help."""
    parts = [_magic(grammar) for grammar in CELLS.values()]
    for name, found in VERBS.items():
        parts.append(f"## %{name}\n")
        parts += [_magic(grammar, "###") for grammar in found.values()]
    return "\n".join(parts)


def _magic(grammar: Grammar, level: str = "##") -> str:
    return f"{level} {grammar.name}\n\n{_FIXED.format(grammar.help())}"


def oci_runtime() -> str:
    """The commands of ``sandcell-oci`` and their options."""
    lines = [f"- before the command: {_options(runtime_line.GLOBAL)}"]
    lines += [
        f"- `{name}`: {_options(options) or 'no options'}" for name, options in runtime_line.COMMANDS.items()
    ]
    return "\n".join(lines) + "\n"


def _options(options: dict[str, bool]) -> str:
    return ", ".join(f"`--{name}{' VALUE' if value else ''}`" for name, value in options.items())


def python() -> str:
    """What the door of the runtime lets out, by Sphinx's autodoc."""
    parts = []
    # What everything begins with comes first.
    for name in sorted(runtime.__all__, key=lambda name: name != "Engine"):
        value = getattr(runtime, name)
        if issubclass(value, Exception):
            continue
        parts += [f"## {name}\n", _autoclass(f"{value.__module__}.{value.__qualname__}")]
    return "\n".join(parts)


def _autoclass(name: str) -> str:
    return f"```{{eval-rst}}\n.. autoclass:: {name}\n   :members:\n   :inherited-members:\n```\n"


def error_tree() -> str:
    """The errors, drawn as a tree by the module that has them."""
    assert errors.__doc__ is not None
    tree = errors.__doc__.split("::\n\n")[1].split("\n\nAn error")[0]
    return _FIXED.format("\n".join(line[4:] for line in tree.splitlines()))


PARTS = {
    **{f"drawing-{name}": draw for name, draw in drawings.DRAWINGS.items()},
    "command-line": command_line,
    "errors": error_tree,
    "magics": magics,
    "oci-runtime": oci_runtime,
    "python": python,
}
"""What a page may ask for."""
