"""The ``sandcell`` command: docker's words and flags in a terminal.

A command must feel instant, so nothing is imported before it is needed: this file loads no third
party module, the group knows its verbs by name only, and each verb's file is read when somebody
types it.
"""

import gc
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, Never

if TYPE_CHECKING:
    from sandcell.runtime.engine import Engine

__all__ = ["main"]

COMPLETION = "_SANDCELL_COMPLETE"
"""The variable in which a shell asks for completion (click's protocol)."""

_STARTING = ("exec", "restart", "run", "start")  # verbs that make a process


def main(arguments: Sequence[str] | None = None, *, engine: "Engine | None" = None) -> int:
    """Carry out one command line and return its exit status.

    ``arguments``: the words after ``sandcell``, those of the process if left out. ``engine``: the
    engine to use, which stays open; if left out one is made when a verb first needs it and closed
    at the end.

    The status is the command's own for ``run``, ``exec`` and ``wait``-like verbs; 125, 126 and
    127 mean what docker-run(1) says; 130 after Ctrl-C; 1 for any other failure. Nothing is raised:
    a failure is told on standard error as ``sandcell: operation object: cause``.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if engine is None and _starts(words) and COMPLETION not in os.environ:
        from sandcell.runtime.container import boot

        boot.ahead()
    _load_lightly()
    from click.exceptions import Exit

    from sandcell.runtime.cli.door import Door
    from sandcell.runtime.cli.group import commands

    door = Door(engine)
    try:
        if COMPLETION in os.environ:
            commands.main(words, prog_name="sandcell", complete_var=COMPLETION, obj=door)
        # Not commands.main(): it tells some failures in its own way, and a closed pipe not at all.
        with commands.make_context("sandcell", words, obj=door) as context:
            status = commands.invoke(context)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except Exit as done:  # after --help and the like
        return done.exit_code
    except BaseException as error:
        from sandcell.runtime.cli.failure import tell

        return tell(error, door.verb)
    finally:
        door.close()


def _starts(words: list[str]) -> bool:
    return (words[:1] != [] and words[0] in _STARTING) or words[:2] == ["kernel", "run"]


def entry() -> Never:
    """``main`` as a program: afterwards there is nothing that Python would have to tidy up, which
    takes as long as many a verb."""
    gc.set_threshold(50_000)  # importing makes much that lives on
    status = main()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        pass  # whoever read has gone
    os._exit(status)


def _load_lightly() -> None:
    """Import msgspec and click without what they name and hardly use: ``typing_extensions``, which
    msgspec can do without, and ``inspect`` (with Python's parser and its tables), of which click needs
    a trimmed line. Together they take longer than either library."""
    if "typing_extensions" not in sys.modules:
        sys.modules["typing_extensions"] = None  # type: ignore[assignment]
        import msgspec  # noqa: F401

        del sys.modules["typing_extensions"]
    if "inspect" not in sys.modules and "click" not in sys.modules:
        sys.modules["inspect"] = _Inspect("inspect")
        import click  # noqa: F401

        del sys.modules["inspect"]


class _Inspect(ModuleType):
    """What click sees as ``inspect``: the module itself, loaded at the first question that needs it."""

    @staticmethod
    def cleandoc(doc: str) -> str:
        """As inspect.cleandoc; a text of one line needs no module."""
        if "\n" not in doc:
            return doc.lstrip()
        import inspect

        return inspect.cleandoc(doc)

    def __getattr__(self, name: str) -> Any:
        import inspect

        return getattr(inspect, name)
