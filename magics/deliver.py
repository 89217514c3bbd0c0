"""How the text of a cell becomes a file and a command in the container.

The cell is the read-only file ``cell`` of the directory the runtime gives each run
(``/run/sandcell``; for a run inside a container that exists, ``{dir}``). Which program runs it:
``--with``, else its ``#!`` line as execve(2) reads it, else the image's SHELL, else ``/bin/sh``.
Python cells go through ``prelude.py``, which runs them as ``__main__`` with the working directory
on the path and tracebacks that show the cell's lines.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from sandcell.runtime.errors import InvalidOption

ROOM = "/run/sandcell"
"""Where a new container finds the cell."""

ROOM_INSIDE = "{dir}"
"""The same for a run inside a container; the engine puts the real path in its place."""

_PYTHON = re.compile(r"(python|pypy)[0-9.]*")
_SHELL = re.compile(r"(ba|da|a|k|z|mk|ya)?sh[0-9.]*")


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """``command`` and ``files`` to start the cell with; ``language`` is ``python``, ``shell`` or
    ``other``."""

    command: tuple[str, ...]
    files: Mapping[str, bytes]
    language: str


def deliver(
    body: str, *, interpreter: str = "", shell: Sequence[str] = (), strict: bool = False, room: str = ROOM
) -> Delivery:
    """Decide how ``body`` is run.

    ``interpreter``: the value of ``--with``. ``shell``: the image's SHELL (image-spec keeps
    docker's form, ``["/bin/sh", "-c"]``). ``strict``: stop at the first failing command. Raises
    `InvalidOption` for ``strict`` on what is not a shell, and for an empty interpreter.
    """
    words = _words(body, interpreter, shell)
    language = _language(words)
    files = {"cell": body.encode("utf-8", "surrogatepass")}
    if strict:
        if language != "shell":
            raise InvalidOption(
                "%%container", "--strict", f"{words[0]} is not a shell", "leave --strict away"
            )
        words = [*words, "-e"]
    program = "cell"
    if language == "python":
        files["prelude"] = _prelude()
        program = "prelude"
    return Delivery(command=(*words, f"{room}/{program}"), files=files, language=language)


def _words(body: str, interpreter: str, shell: Sequence[str]) -> list[str]:
    """The program and its arguments that the cell's path is added to."""
    if interpreter:
        words = shlex.split(interpreter)
        if not words:
            raise InvalidOption("%%container", "--with", "names no program", "write --with python3")
        return words
    if body.startswith("#!"):
        # execve(2): the program, then all the rest of the line as one argument.
        program, _, argument = body[2:].split("\n", 1)[0].strip().partition(" ")
        if program:
            return [program, argument.strip()] if argument.strip() else [program]
    if shell:
        return list(shell[:-1]) if len(shell) > 1 and shell[-1] == "-c" else list(shell)
    return ["/bin/sh"]


def _language(words: Sequence[str]) -> str:
    """What the program speaks, seen through ``env`` and ``env -S``."""
    parts = list(words)
    if parts[0].rpartition("/")[2] == "env":
        parts = [part for part in " ".join(parts[1:]).split() if part not in ("-S", "-i") and "=" not in part]
        parts = [part.removeprefix("-S") for part in parts] or ["env"]
    name = parts[0].rpartition("/")[2]
    if _PYTHON.fullmatch(name):
        return "other" if {"-m", "-c"} & set(parts[1:]) else "python"
    return "shell" if _SHELL.fullmatch(name) else "other"


def _prelude() -> bytes:
    return Path(__file__).with_name("prelude.py").read_bytes()
