"""``sandcell images | rmi | tag | history``."""

import time

import click

from sandcell.runtime.cli.door import Door
from sandcell.runtime.cli.each import each
from sandcell.runtime.cli.human import ago, ellipsis, instant, short, size
from sandcell.runtime.cli.names import IMAGE
from sandcell.runtime.cli.table import rows_option, show
from sandcell.runtime.errors import NotFound

_IMAGES = (
    ("REPOSITORY", "Repository"),
    ("TAG", "Tag"),
    ("IMAGE ID", "ID"),
    ("CREATED", "CreatedSince"),
    ("SIZE", "Size"),
)
_HISTORY = (
    ("LAYER", "Layer"),
    ("CREATED", "CreatedSince"),
    ("CREATED BY", "CreatedBy"),
    ("SIZE", "Size"),
    ("COMMENT", "Comment"),
)


@click.command("images")
@click.option("-q", "--quiet", is_flag=True, help="Only ids.")
@click.option("--digests", is_flag=True, help="A column with the whole digest.")
@click.option("--no-trunc", is_flag=True, help="Whole ids.")
@click.option(
    "-f",
    "--filter",
    "filters",
    multiple=True,
    metavar="KEY=VALUE",
    help="Only some: label=KEY[=VALUE], reference=PATTERN, before=IMAGE, since=IMAGE, dangling=true.",
)
@rows_option
@click.argument("name", required=False, type=IMAGE)
@click.pass_obj
def images_command(
    door: Door,
    name: str | None,
    quiet: bool,
    digests: bool,
    no_trunc: bool,
    filters: tuple[str, ...],
    form: str,
) -> None:
    """List images, or those called NAME with any tag."""
    now = time.time()
    rows = []
    for entry in door.engine.images(filters):
        # One pulled by digest has no tag.
        repository, sign, _ = entry.name.partition("@")
        tag = "<none>"
        if not entry.name:
            repository = "<none>"
        elif not sign:
            repository, _, tag = entry.name.rpartition(":")
        if name is not None and name not in (repository, entry.name):
            continue
        rows.append(
            {
                "CreatedAt": entry.created,
                "CreatedSince": ago(instant(entry.created), now),
                "Digest": entry.digest,
                "ID": entry.digest if no_trunc else short(entry.digest),
                "Repository": repository,
                "Size": size(entry.size),
                "Tag": tag,
            }
        )
    if quiet:
        for row in rows:
            print(row["ID"])
        return
    columns = (*_IMAGES[:2], ("DIGEST", "Digest"), *_IMAGES[2:]) if digests else _IMAGES
    show(rows, columns, form)


@click.command("rmi")
@click.option("-f", "--force", is_flag=True, help="Though a stopped container was made of it.")
@click.argument("images", nargs=-1, required=True, type=IMAGE)
@click.pass_obj
def rmi_command(door: Door, images: tuple[str, ...], force: bool) -> int:
    """Remove the names IMAGES; what no other name or container needs is deleted."""

    def remove(name: str) -> str:
        removed = door.engine.remove_image(name, force=force)
        lines = [f"Untagged: {removed_name}" for removed_name in removed.untagged]
        return "\n".join([*lines, *(f"Deleted: {digest}" for digest in removed.deleted)])

    return each(door, images, remove, (NotFound,) if force else ())


@click.command("tag")
@click.argument("source", type=IMAGE)
@click.argument("target")
@click.pass_obj
def tag_command(door: Door, source: str, target: str) -> None:
    """Let the name TARGET mean the image SOURCE too."""
    door.engine.tag(source, target)


@click.command("history")
@click.option("-q", "--quiet", is_flag=True, help="Only the layers' digests.")
@click.option("--no-trunc", is_flag=True, help="Whole digests and commands.")
@rows_option
@click.argument("image", type=IMAGE)
@click.pass_obj
def history_command(door: Door, image: str, quiet: bool, no_trunc: bool, form: str) -> None:
    """Show the steps that made IMAGE, newest first.

    LAYER is the digest of the files a step added; a step that only changed the configuration has
    none.
    """
    now = time.time()
    rows = []
    for entry in door.engine.history(image):
        digest = entry.digest or ""
        layer = (digest if no_trunc else short(digest)) or "<none>"
        text = " ".join(entry.created_by.split())
        rows.append(
            {
                "Comment": entry.comment,
                "CreatedAt": entry.created,
                "CreatedBy": text if no_trunc else ellipsis(text, 45),
                "CreatedSince": ago(instant(entry.created), now),
                "Layer": layer,
                "Size": size(entry.size),
            }
        )
    if quiet:
        for row in rows:
            print(row["Layer"])
        return
    show(rows, _HISTORY, form)
