"""``sandcell save | load | import | export``."""

import sys
from typing import BinaryIO, Literal

import click

from sandcell.runtime.cli.door import Door
from sandcell.runtime.cli.names import CONTAINER, IMAGE
from sandcell.runtime.errors import BadInput


@click.command("save")
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="File to write, else standard output.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["oci-archive", "oci-dir", "docker-archive"]),
    default="oci-archive",
    show_default=True,
)
@click.option(
    "--compression",
    type=click.Choice(["none", "gzip", "zstd"]),
    default="none",
    show_default=True,
    help="Of the whole archive; layers are mostly compressed already.",
)
@click.argument("images", nargs=-1, required=True, type=IMAGE)
@click.pass_obj
def save_command(
    door: Door,
    images: tuple[str, ...],
    output: str | None,
    form: Literal["oci-archive", "oci-dir", "docker-archive"],
    compression: Literal["none", "gzip", "zstd"],
) -> None:
    """Write IMAGES to one tar file, or to a directory, that other tools can load."""
    door.engine.save(images, output or _standard_output("save"), form=form, compression=compression)


@click.command("load")
@click.option("-i", "--input", "path", type=click.Path(), help="File or OCI layout, else standard input.")
@click.option("--name", metavar="NAME[:TAG]", help="What to call a single image.")
@click.option("-q", "--quiet", is_flag=True, help="Only print digests.")
@click.pass_obj
def load_command(door: Door, path: str | None, name: str | None, quiet: bool) -> None:
    """Take the images of an OCI layout, an OCI archive or a docker archive, compressed or not."""
    for one in door.engine.load(path or _standard_input("load"), name=name):
        print(one.image.digest if quiet else f"Loaded image: {one.name}")


@click.command("import")
@click.option(
    "-c", "--change", "changes", multiple=True, metavar="LINE", help="A Dockerfile's line: 'CMD sh'."
)
@click.option("-m", "--message", default="", help="A note in the history.")
@click.option("--platform", default="", metavar="OS/ARCH", help="What it is for, else this machine.")
@click.argument("source", metavar="FILE|URL|-")
@click.argument("name", required=False)
@click.pass_obj
def import_command(
    door: Door, source: str, name: str | None, changes: tuple[str, ...], message: str, platform: str
) -> None:
    """Make an image of the tar of a root file system, compressed or not."""
    place = _standard_input("import") if source == "-" else source
    image = door.engine.import_image(place, name=name, changes=changes, message=message, platform=platform)
    print(image.digest)


@click.command("export")
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="File to write, else standard output.")
@click.argument("container", type=CONTAINER)
@click.pass_obj
def export_command(door: Door, container: str, output: str | None) -> None:
    """Write all files of CONTAINER as a tar."""
    door.engine.export(container, output or _standard_output("export"))


def _standard_output(verb: str) -> BinaryIO:
    if sys.stdout.isatty():
        raise BadInput(verb, "", "a terminal cannot show an archive", "use -o FILE, or redirect it")
    return sys.stdout.buffer


def _standard_input(verb: str) -> BinaryIO:
    if sys.stdin.isatty():
        raise BadInput(verb, "", "there is nothing on standard input", "name a file, or redirect one")
    return sys.stdin.buffer
