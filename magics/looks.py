"""``%image files | diff | waste | du | prune``: images looked at closely, and what can be freed."""

import stat
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sandcell.magics import paper as p
from sandcell.magics.arguments import Request
from sandcell.magics.paper import Card
from sandcell.magics.session import Session
from sandcell.magics.tables import MOST_ROWS, changes_card, list_card, signs
from sandcell.magics.verbs import Action
from sandcell.runtime.errors import InvalidOption

if TYPE_CHECKING:
    from sandcell.runtime.engine.looks import Usage, Waste
    from sandcell.runtime.layer.tree import Change, Entry

_WORDS = {"C": "replaced", "D": "deleted"}


def files(session: Session, request: Request) -> None:
    """``%image files``"""
    name = request.words[0]
    if not request.on("layer"):
        session.show(files_card(name, session.engine.image_files(name)))
        return
    number = request.text("layer")
    if not number.isdecimal():
        raise InvalidOption("%image files", f"--layer {number}", "it is no number", "1 is the lowest")
    found = session.engine.layer_files(name, int(number))
    wasted = sum(found.wasted.values())
    note = f"{p.size(wasted)} of the layers below can no longer be read" if wasted else ""
    session.show(layer_card(name, int(number), found.changes, note))


def diff(session: Session, request: Request) -> None:
    """``%image diff``"""
    old, new = request.words
    session.show(image_diff_card(old, new, session.engine.image_diff(old, new)))


def waste(session: Session, request: Request) -> None:
    """``%image waste``"""
    session.show(waste_card(request.words[0], session.engine.image_waste(request.words[0])))


def du(session: Session, _: Request) -> None:
    """``%image du``"""
    session.show(usage_card(session.engine.usage()))


def prune(session: Session, request: Request) -> None:
    """``%image prune``: nobody can be asked in a cell, so ``-f`` is the answer."""
    doing = request.on("force") and not request.on("dry_run")
    pruned = session.engine.prune(cache=request.on("every"), dry_run=not doing)
    session.show(prune_card(pruned.removed, pruned.size, done=doing))


VERBS: dict[str, Action] = {"files": files, "diff": diff, "waste": waste, "du": du, "prune": prune}
"""What carries out these sub-commands of ``%image``."""


def files_card(name: str, entries: "Sequence[Entry]") -> Card:
    """The files of an image, all layers together."""
    rows = [
        (stat.filemode(_TYPES[e.kind] | e.mode), f"{e.uid}/{e.gid}", p.size(e.size), _named(e))
        for e in entries[:MOST_ROWS]
    ]
    left = f"… and {len(entries) - MOST_ROWS} more" if len(entries) > MOST_ROWS else ""
    bytes = sum(entry.size for entry in entries if not entry.link)
    note = " · ".join(filter(None, [left, f"{len(entries)} files, {p.size(bytes)} unpacked"]))
    return list_card(
        f"files of {name}", "it is empty", p.BLUE, ("MODE", "OWNER", "SIZE", "PATH"), rows, note, "none"
    )


def layer_card(name: str, number: int, changes: "Sequence[Change]", note: str = "") -> Card:
    """What one layer of an image changes in the layers below."""
    about = f"against the layers below{'; ' + note if note else ''}"
    return changes_card("layer", f"{number} of {name}", about, changes, signs(changes), p.BLUE)


def image_diff_card(old: str, new: str, changes: "Sequence[Change]") -> Card:
    """How two images differ."""
    told = signs(changes) if changes else "equal"
    about = f"what {p.visible(new, 80)} has more, otherwise or no more than {p.visible(old, 80)}"
    return changes_card("difference", f"{old} → {new}", about, changes, told, p.BLUE)


def waste_card(name: str, waste: "Waste") -> Card:
    """The bytes of an image that nobody can read."""
    rows = [
        (p.size(one.size), _WORDS[one.change], f"layer {one.number}", f"/{one.path}") for one in waste.files
    ]
    share = f"{100 * waste.efficiency:.1f} % efficient"
    note = f"{share}: {p.size(waste.wasted)} of {p.size(waste.total)} wasted"
    heads = ("SIZE", "WHAT", "BY", "PATH")
    return list_card(f"waste in {name}", "every byte can be read", p.BLUE, heads, rows, note, "none")


def usage_card(usage: "Usage") -> Card:
    """Who takes how many bytes, and what prune would free."""
    rows = [
        (", ".join(u.names), p.size(u.size), p.size(u.shared), p.size(u.unique), f"{u.containers}")
        for u in usage.images
    ]
    note = (
        f"{p.size(usage.blobs)} in blobs, {p.size(usage.unpacked)} unpacked; "
        f"%image prune would free {p.size(usage.prunable.size)}"
    )
    heads = ("NAME", "SIZE", "SHARED", "UNIQUE", "CONTAINERS")
    return list_card("disk use of images", "no images", p.BLUE, heads, rows, note, "none")


def prune_card(removed: Sequence[str], size: int, *, done: bool) -> Card:
    """What was deleted, or would be."""
    rows = [("deleted" if done else "would go", name) for name in removed]
    freed = f"{p.size(size)} {'freed' if done else 'would be freed: %image prune -f'}"
    return list_card("prune", "everything is in use", p.BLUE, ("WHAT", "OBJECT"), rows, freed, "none")


_TYPES = {
    "file": stat.S_IFREG, "hardlink": stat.S_IFREG, "dir": stat.S_IFDIR, "symlink": stat.S_IFLNK,
    "char": stat.S_IFCHR, "block": stat.S_IFBLK, "fifo": stat.S_IFIFO,
}  # fmt: skip


def _named(entry: "Entry") -> str:
    link = f" → {entry.link}" if entry.kind == "symlink" else ""
    return f"/{entry.path}{'/' if entry.kind == 'dir' else ''}{link}"
