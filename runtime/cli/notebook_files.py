"""Notebooks as files: the ``%%image`` cells of one, and one that tells a Dockerfile stage by stage."""

import os
import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from sandcell.runtime.errors import BadInput, Conflict, NotFound

if TYPE_CHECKING:
    from sandcell.runtime.engine.chapters import Chapter

_MAGIC = re.compile(r"%%image[ \t]+([^\n]*)\n?(.*)", re.DOTALL)
_LITERAL = re.compile(r"('[^']*')")
_ASKED = re.compile(r"\{([A-Za-z_]\w*)\}|\$([A-Za-z_]\w*)")
_HELD = "\ue000{}\ue001"  # stands for a value until the words are told apart: a value never splits
_LONGEST = 60


class ImageCell(msgspec.Struct, frozen=True, kw_only=True):
    """One ``%%image`` cell. ``number``: of the cell, from 1. ``flags``: those that ``sandcell build`` takes
    as well. ``context``: the directory named, relative to the notebook's. ``fails``: it is meant to."""

    number: int
    image: str
    text: str
    flags: tuple[str, ...] = ()
    context: str = ""
    fails: bool = False

    @property
    def file(self) -> str:
        """A name for its Dockerfile."""
        return f"{self.number:02}-{re.sub('[^A-Za-z0-9._-]+', '-', self.image)}.Dockerfile"


def image_cells(path: str, valued: Iterable[str], values: Mapping[str, str] = {}) -> list[ImageCell]:
    """The cells of a notebook that build an image, in order; not those with ``--explain``.

    ``valued``: the flags that have a value. ``values``: of the variables that first lines ask for.
    ``NotFound``, or ``BadInput`` where the file is no notebook or a cell's first line cannot be read
    without a kernel.
    """
    found = []
    for number, cell in enumerate(_read(path)["cells"], 1):
        match = _MAGIC.match(cell["source"].lstrip("\n")) if cell["cell_type"] == "code" else None
        if match is None:
            continue
        fails = "raises-exception" in cell["metadata"].get("tags", ())
        words = _words(number, match[1], values)
        one = _read_words(number, words, match[2], frozenset(valued), fails=fails)
        if one is not None:
            found.append(one)
    return found


def collect(cells: list[ImageCell], notebook: str, folder: str, *, force: bool) -> list[Path]:
    """Write each cell as a Dockerfile into ``folder``, which is made, and ``build.sh``, which builds them in
    order. ``Conflict`` where a file is there that says something else, unless ``force``; nothing is
    written then."""
    place = Path(folder)
    here = os.path.dirname(os.path.abspath(notebook))
    script = ["#!/bin/sh", "set -e", 'cd "$(dirname "$0")"']
    files: dict[str, str] = {}
    for cell in cells:
        files[cell.file] = cell.text
        words = ["sandcell", "build", "-t", cell.image, *cell.flags]
        if cell.context:
            words += ["-f", cell.file, os.path.relpath(os.path.join(here, cell.context), place.absolute())]
        line = shlex.join(words) + ("" if cell.context else f" - < {shlex.quote(cell.file)}")
        script.append(line + (" || true  # it is meant to fail" if cell.fails else ""))
    files["build.sh"] = "\n".join(script) + "\n"
    for name, text in files.items():
        path = place / name
        if not force and path.exists() and path.read_text(encoding="utf-8") != text:
            raise Conflict("write", str(path), "it is there and says something else", "--force replaces it")
    place.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (place / name).write_text(text, encoding="utf-8")
    (place / "build.sh").chmod(0o755)
    return [place / name for name in files]


def write_notebook(
    chapters: "tuple[Chapter, ...]", title: str, context: str, out: str, *, force: bool
) -> None:
    """Write a notebook to ``out``: for each stage what it does, and the cell that builds it. ``context``: the
    build context as seen from the notebook. ``Conflict`` where the file is there, unless ``force``."""
    import nbformat

    v4: Any = nbformat.v4  # it has no types
    cells = [
        v4.new_markdown_cell(_opening(chapters, title), id="begin"),
        v4.new_code_cell("%load_ext sandcell", id="load"),
    ]
    for number, chapter in enumerate(chapters, 1):
        cells.append(v4.new_markdown_cell(_telling(chapter, number, len(chapters)), id=f"about-{number}"))
        flags = f" --context {shlex.quote(context)}" if chapter.context else ""
        text = f"%%image {chapter.image}{flags}\n{chapter.text}"
        cells.append(v4.new_code_cell(text.rstrip("\n"), id=f"stage-{number}"))
    last = chapters[-1]
    verb = f"%container run --rm {last.image}" if last.runs else f"%image history {last.image}"
    cells.append(v4.new_code_cell(verb, id="end"))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.validate(notebook)
    try:
        with open(out, "w" if force else "x", encoding="utf-8") as file:
            file.write(v4.writes(notebook) + "\n")
    except FileExistsError:
        raise Conflict("write", out, "it is there already", "--force replaces it") from None


def _opening(chapters: "tuple[Chapter, ...]", title: str) -> str:
    many = len(chapters)
    stages = "one stage" if many == 1 else f"{many} stages, each of which is an image of its own here"
    return f"# {title}\n\nA Dockerfile of {stages}. The last cell that builds makes `{chapters[-1].image}`."


def _telling(chapter: "Chapter", number: int, of: int) -> str:
    name = f": {chapter.stage}" if chapter.stage else ""
    lines = [f"## Stage {number} of {of}{name}", ""]
    base = "begins with nothing" if chapter.base == "scratch" else f"stands on `{chapter.base}`"
    takes = " and ".join(f"`{one}`" for one in chapter.takes)
    lines.append(f"It {base}" + (f" and takes files of {takes}." if takes else "."))
    if chapter.steps:
        lines += ["", "| instruction | what it does |", "|---|---|"]
        lines += [f"| {_code(step)} | {meaning} |" for step, meaning in chapter.steps]
    return "\n".join(lines)


def _code(step: str) -> str:
    short = step if len(step) <= _LONGEST else step[: _LONGEST - 1] + "…"
    fence = "``" if "`" in short else "`"
    pad = " " if "`" in short else ""
    return f"{fence}{pad}{short}{pad}{fence}".replace("|", "\\|")


def _read(path: str) -> Any:
    import nbformat

    reader: Any = nbformat  # it has no types
    try:
        return reader.read(path, as_version=4)
    except FileNotFoundError:
        raise NotFound("read notebook", path, "no such file") from None
    except OSError as error:
        raise BadInput("read notebook", path, error.strerror or "it failed") from None
    except Exception as error:  # nbformat raises whatever its readers meet
        cause = str(error).strip().partition("\n")[0]
        raise BadInput(
            "read notebook", path, f"it is no notebook ({cause or type(error).__name__})"
        ) from None


def _words(number: int, line: str, values: Mapping[str, str]) -> list[str]:
    """The words of a cell's first line, as the magic takes them, but that only ``values`` are known."""
    held: dict[str, str] = {}

    def hold(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in values:
            hint = f"give it: --set {name}=VALUE"
            raise BadInput("read", f"cell {number}", f"its first line asks for the variable {name}", hint)
        mark = _HELD.format(len(held))
        held[mark] = values[name]
        return mark

    parts = _LITERAL.split(line)
    parts[::2] = [_ASKED.sub(hold, part) for part in parts[::2]]
    if re.search(r"[{$]", "".join(parts[::2])):
        hint = "write the value itself, or literal { and $ between single quotes"
        raise BadInput("read", f"cell {number}", "its first line takes a value of the kernel", hint)
    try:
        words = shlex.split("".join(parts))
    except ValueError as error:
        raise BadInput("read", f"cell {number}", f"{error} in: {line}") from None
    return [re.sub(_HELD.format("[0-9]+"), lambda match: held[match[0]], word) for word in words]


def _read_words(
    number: int, words: list[str], text: str, valued: frozenset[str], *, fails: bool
) -> ImageCell | None:
    flags: list[str] = []
    names: list[str] = []
    context = ""
    while words:
        word = words.pop(0)
        flag, equals, value = word.partition("=")
        if not word.startswith("-"):
            names.append(word)
            continue
        if flag == "--explain":
            return None
        own = flag in ("--context", "--as")
        if not equals and (own or flag in valued):
            if not words:
                raise BadInput("read", f"cell {number}", f"{flag} needs a value")
            value = words.pop(0)
            word = f"{flag}={value}"
        if flag == "--context":
            context = value
        elif not own:
            flags.append(word)
    if len(names) != 1:
        raise BadInput("read", f"cell {number}", "it needs one name for the image", "%%image NAME")
    return ImageCell(
        number=number, image=names[0], text=text, flags=tuple(flags), context=context, fails=fails
    )
