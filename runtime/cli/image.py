"""``sandcell image …``: docker's words for images, and what looks at them closely."""

import stat
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from sandcell.runtime.cli.archives import import_command, load_command, save_command
from sandcell.runtime.cli.build import build_command
from sandcell.runtime.cli.changes import inspect_command
from sandcell.runtime.cli.door import Door
from sandcell.runtime.cli.human import short, size, stamp
from sandcell.runtime.cli.images import history_command, images_command, rmi_command, tag_command
from sandcell.runtime.cli.names import IMAGE
from sandcell.runtime.cli.registry import pull_command, push_command
from sandcell.runtime.cli.table import as_json, format_option, show

if TYPE_CHECKING:
    from sandcell.runtime.layer.tree import Change, Entry

_LETTERS = {
    "file": "-", "dir": "d", "symlink": "l", "hardlink": "-", "char": "c", "block": "b", "fifo": "p",
}  # fmt: skip
_WASTE = (("SIZE", "Size"), ("LAYER", "Layer"), ("CHANGE", "Change"), ("PATH", "Path"))
_USE = (
    ("IMAGE", "Names"),
    ("IMAGE ID", "ID"),
    ("SIZE", "Size"),
    ("SHARED SIZE", "SharedSize"),
    ("UNIQUE SIZE", "UniqueSize"),
    ("CONTAINERS", "Containers"),
)
_WORDS = {"C": "replaced", "D": "deleted"}


@click.group("image")
def image_command() -> None:
    """Images: what they hold, share and waste, and all that is done to them."""


@image_command.command("files")
@click.option("--layer", type=click.IntRange(1), metavar="NUMBER", help="Only this layer; 1 is the lowest.")
@format_option
@click.argument("image", type=IMAGE)
@click.pass_obj
def files_command(door: Door, image: str, layer: int | None, form: str) -> None:
    """List the files of IMAGE, or what one of its layers adds (A), changes (C) and deletes (D)."""
    if layer is None:
        for entry in door.engine.image_files(image):
            print(as_json(_row(entry)) if form == "json" else _line(entry))
        return
    for change in door.engine.layer_files(image, layer).changes:
        if form == "json":
            print(as_json({"Kind": change.kind, **_row(change.entry)}))
        else:
            print(f"{change.kind} {_line(change.entry)}")


@image_command.command("diff")
@format_option
@click.argument("old", type=IMAGE)
@click.argument("new", type=IMAGE)
@click.pass_obj
def diff_command(door: Door, old: str, new: str, form: str) -> None:
    """Show files that the image NEW has more (A), otherwise (C) or no more (D) than OLD."""
    for change in door.engine.image_diff(old, new):
        print(as_json(_changed(change)) if form == "json" else f"{change.kind} {_path(change.entry)}")


@image_command.command("waste")
@format_option
@click.argument("image", type=IMAGE)
@click.pass_obj
def waste_command(door: Door, image: str, form: str) -> None:
    """Show files of IMAGE that an upper layer replaced or deleted: they are stored and sent, and
    nobody can read them. The efficiency is the share of the bytes that can be read."""
    waste = door.engine.image_waste(image)
    rows = [
        {
            "Change": _WORDS[one.change],
            "Layer": one.number,
            "Path": f"/{_told(one.path)}",
            "Size": size(one.size),
        }
        for one in waste.files
    ]
    show(rows, _WASTE, form)
    if form == "table":
        share = f"{100 * waste.efficiency:.1f} %"
        print(f"\nEfficiency {share}: {size(waste.wasted)} of {size(waste.total)} wasted")


@image_command.command("du")
@format_option
@click.pass_obj
def du_command(door: Door, form: str) -> None:
    """Show how many bytes each image takes, shared with others and alone."""
    usage = door.engine.usage()
    rows = [
        {
            "Containers": one.containers,
            "Digest": one.digest,
            "ID": short(one.digest),
            "Names": ", ".join(one.names),
            "SharedSize": size(one.shared),
            "Size": size(one.size),
            "UniqueSize": size(one.unique),
        }
        for one in usage.images
    ]
    show(rows, _USE, form)
    if form == "table":
        print(f"\n{size(usage.blobs)} in blobs, {size(usage.unpacked)} unpacked for containers")
        print(f"{size(usage.prunable.size)} can be freed by: sandcell prune")


@click.command("prune")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("-n", "--dry-run", is_flag=True, help="Only show what would go.")
@click.option("-a", "--all", "every", is_flag=True, help="Also what build steps made, for the next build.")
@click.pass_obj
def prune_command(door: Door, force: bool, dry_run: bool, every: bool) -> int:
    """Remove blobs and unpacked layers that no image and no container needs, and what an
    interrupted command left. Containers and named images stay."""
    if dry_run or not force:
        would = door.engine.prune(cache=every, dry_run=True)
        _tell(would.removed, "would go")
        if dry_run:
            print(f"Total reclaimable space: {size(would.size)}")
            return 0
        print(f"This will free {size(would.size)}. Go on? [y/N] ", end="", flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            print("nothing was removed")
            return 1
    pruned = door.engine.prune(cache=every)
    if force:
        _tell(pruned.removed, "deleted")
    print(f"Total reclaimed space: {size(pruned.size)}")
    return 0


def _tell(removed: Sequence[str], word: str) -> None:
    for name in removed:
        print(f"{word}: {name}")


def _line(entry: "Entry") -> str:
    """As ``tar -tv`` shows a file."""
    letters = stat.filemode(entry.mode)[1:]
    owner = f"{entry.uid}/{entry.gid}"
    bytes = f"{entry.device[0]},{entry.device[1]}" if entry.kind in ("char", "block") else str(entry.size)
    time = stamp(entry.mtime, "minutes").replace("T", " ").rstrip("Z")
    link = f" -> {_told(entry.link)}" if entry.kind == "symlink" else ""
    shared = f" link to /{_told(entry.link)}" if entry.link and not link else ""
    return f"{_LETTERS[entry.kind]}{letters} {owner:<9} {bytes:>10} {time} {_path(entry)}{link}{shared}"


def _path(entry: "Entry") -> str:
    return f"/{_told(entry.path)}{'/' if entry.kind == 'dir' else ''}"


def _told(path: str) -> str:
    """A name of a file for a terminal: no sign in it does anything."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in path)


def _row(entry: "Entry") -> dict[str, object]:
    return {
        "Path": f"/{_told(entry.path)}",
        "Type": entry.kind,
        "Mode": f"{entry.mode:04o}",
        "Uid": entry.uid,
        "Gid": entry.gid,
        "Size": entry.size,
        "Link": _told(entry.link),
        "Modified": stamp(entry.mtime),
    }


def _changed(change: "Change") -> dict[str, object]:
    return {"Kind": change.kind, **_row(change.entry)}


for _name, _command in {
    "build": build_command,
    "history": history_command,
    "import": import_command,
    "inspect": inspect_command,
    "load": load_command,
    "ls": images_command,
    "prune": prune_command,
    "pull": pull_command,
    "push": push_command,
    "rm": rmi_command,
    "save": save_command,
    "tag": tag_command,
}.items():
    image_command.add_command(_command, _name)
