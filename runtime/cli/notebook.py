"""``sandcell notebook dockerfiles | build | from``."""

import os
import re
import sys
import tempfile
from typing import TYPE_CHECKING

import click

from sandcell.runtime.cli.door import Door
from sandcell.runtime.errors import BadInput, NotFound, SandcellError

if TYPE_CHECKING:
    from sandcell.runtime.cli.notebook_files import ImageCell

_FORCE = click.option("-f", "--force", is_flag=True, help="Replace files that are there.")

_SET = click.option(
    "--set", "values", multiple=True, metavar="NAME=VALUE", help="A variable that first lines ask for."
)


@click.group("notebook")
def notebook_command() -> None:
    """Notebooks and Dockerfiles, each made of the other."""


@notebook_command.command("dockerfiles")
@_FORCE
@_SET
@click.argument("notebook")
@click.argument("folder", default=".", metavar="[DIR]")
def dockerfiles_command(notebook: str, folder: str, values: tuple[str, ...], force: bool) -> None:
    """Write the %%image cells of NOTEBOOK as Dockerfiles into DIR, and build.sh, which builds them."""
    from sandcell.runtime.cli.notebook_files import collect

    for path in collect(_cells(notebook, values), notebook, folder, force=force):
        print(path)


@notebook_command.command("build")
@click.option("-q", "--quiet", is_flag=True, help="Only print the digests.")
@_SET
@click.argument("notebook")
@click.pass_obj
def build_command(door: Door, notebook: str, values: tuple[str, ...], quiet: bool) -> None:
    """Build the images of NOTEBOOK's %%image cells, in order, without a kernel.

    The first that fails ends it, unless the cell is meant to fail (tag raises-exception).
    """
    from sandcell.runtime.cli.failure import complain

    cells = _cells(notebook, values)
    here = os.path.dirname(os.path.abspath(notebook))
    for cell in cells:
        print(f"cell {cell.number}: image {cell.image}", file=sys.stderr, flush=True)
        try:
            _build(door, cell, here, quiet=quiet)
        except SandcellError as error:
            if not cell.fails:
                raise
            complain(error)
            print(f"cell {cell.number} is meant to fail", file=sys.stderr, flush=True)


@notebook_command.command("from")
@_FORCE
@click.option("--name", metavar="NAME[:TAG]", help="Of the image; that of the folder if not given.")
@click.argument("dockerfile")
@click.argument("out", required=False, metavar="[NOTEBOOK]")
def from_command(dockerfile: str, out: str | None, name: str | None, force: bool) -> None:
    """Write a notebook that builds DOCKERFILE: a cell for each stage, with what its instructions do."""
    from sandcell.runtime.cli.notebook_files import write_notebook
    from sandcell.runtime.engine.chapters import chapters
    from sandcell.runtime.oci.reference import Reference

    try:
        with open(dockerfile, encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        raise NotFound("read", dockerfile, "no such file") from None
    except UnicodeDecodeError:
        raise BadInput("read", dockerfile, "it is not UTF-8 text") from None
    folder = os.path.dirname(os.path.abspath(dockerfile))
    if name is None:
        name = re.sub("[^a-z0-9]+", "-", os.path.basename(folder).lower()).strip("-") or "image"
    Reference.parse(name)
    out = out or f"{dockerfile}.ipynb"
    context = os.path.relpath(folder, os.path.dirname(os.path.abspath(out)))
    told = chapters(text, name)
    write_notebook(told, f"{os.path.basename(dockerfile)} of {name}", context, out, force=force)
    print(f"{out}: {len(told)} {'stage' if len(told) == 1 else 'stages'}")


def _cells(notebook: str, values: tuple[str, ...]) -> "list[ImageCell]":
    from sandcell.runtime.cli import build
    from sandcell.runtime.cli.creation import environment
    from sandcell.runtime.cli.notebook_files import image_cells

    options = [one for one in build.build_command.params if isinstance(one, click.Option) and not one.is_flag]
    return image_cells(notebook, [name for one in options for name in one.opts], environment(values))


def _build(door: Door, cell: "ImageCell", here: str, *, quiet: bool) -> None:
    """As ``sandcell build`` does; a cell without a context has an empty one."""
    from sandcell.runtime.cli import build

    with tempfile.TemporaryDirectory(prefix="sandcell-") as folder:
        empty = os.path.join(folder, "empty")
        os.mkdir(empty)
        path = os.path.join(folder, cell.file)
        with open(path, "w", encoding="utf-8") as file:
            file.write(cell.text)
        context = os.path.join(here, cell.context) if cell.context else empty
        words = [*cell.flags, *(["--quiet"] if quiet else []), "-t", cell.image, "-f", path, context]
        with build.build_command.make_context("build", words, obj=door) as made:
            build.build_command.invoke(made)
