"""Lists as pictures: images, containers, an image's history, changed files, what the host allows."""

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from sandcell.magics import paper as p
from sandcell.magics.cards import instruction, state_of
from sandcell.magics.paper import Card, Html, cell, code, el, row

if TYPE_CHECKING:
    from sandcell.magics.settings import Sandcell
    from sandcell.runtime.engine.lessons import Lesson
    from sandcell.runtime.engine.looking import ProcessEntry, Stats
    from sandcell.runtime.engine.places import Places
    from sandcell.runtime.engine.values import Container, HistoryEntry, ImageEntry
    from sandcell.runtime.layer.tree import Change

MOST_ROWS = 200
"""Rows of the longest list that is shown."""

BUDGET = 30_000
"""Bytes that the rows of one picture may take."""

_SIGNS = {
    "A": ("+", p.GREEN, "added"),
    "C": ("~", p.AMBER, "changed"),
    "D": ("-", p.RED, "deleted"),
}
_UNITS = (
    (365 * 86400, "year"),
    (30 * 86400, "month"),
    (86400, "day"),
    (3600, "hour"),
    (60, "minute"),
    (1, "second"),
)


class Diff(msgspec.Struct, frozen=True):
    """What changed in the writable layer of a container, as ``%container diff`` shows it."""

    container: str
    changes: "tuple[Change, ...]"

    def __str__(self) -> str:
        return "\n".join(str(change) for change in self.changes)


def images_card(entries: Sequence["ImageEntry"], now: float | None = None) -> Card:
    """The images of the store."""
    rows = [
        (
            e.name or "(no name)",
            p.short(e.digest),
            f"{e.layers}",
            p.size(e.size),
            ago(_instant(e.created), now),
        )
        for e in entries
    ]
    return list_card(
        "images", "read-only templates", p.BLUE, ("NAME", "DIGEST", "LAYERS", "SIZE", "CREATED"), rows
    )


def containers_card(
    containers: Sequence["Container"],
    now: float | None = None,
    note: str = "",
    spoiled: Sequence[str] = (),
) -> Card:
    """Containers; ``note`` says what is left out. ``spoiled``: ids of those whose record cannot be read."""
    rows = [
        (one.name, one.image, state_of(one)[0], " ".join(one.command)[:60], ago(one.created, now))
        for one in containers
    ]
    rows += [(id[:12], "", "corrupted", "", "") for id in spoiled]
    if spoiled:
        note = f"The record of a corrupted one cannot be read; %container rm -f {spoiled[0][:12]} removes it."
    heads = ("NAME", "IMAGE", "STATE", "COMMAND", "CREATED")
    return list_card("containers", "running instances of images", p.AMBER, heads, rows, note)


def settings_card(places: "Places", told: tuple[str, Mapping[str, Any]], settings: "Sandcell") -> Card:
    """What is set, and what sets it."""
    path, values = told
    rows = [("store", places.home, "SANDCELL_HOME"), ("run state", places.run, "SANDCELL_RUN")]
    rows += [(name, _setting(value), path) for name, value in values.items()]
    for name in sorted(settings.trait_names(config=True)):
        value = getattr(settings, name)
        rows.append(
            (name.replace("_", " "), str(value) if value != "" else "as usual", f"%config Sandcell.{name}")
        )
    note = "" if path else "no config.toml"
    return list_card("settings", "", p.BLUE, ("WHAT", "VALUE", "SET BY"), rows, note)


def _setting(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_setting(one)}" for key, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def lessons_card(
    folder: str, copied: "Sequence[tuple[Lesson, bool]]", standings: Mapping[str, str] | None = None
) -> Card:
    """The lessons in ``folder``, how far the learner is (by name), and which were copied just now."""
    known = standings or {}
    rows = [
        (
            lesson.title,
            known.get(lesson.name, ""),
            f"{folder}/{lesson.name}.ipynb",
            "copied" if new else "kept: your work",
        )
        for lesson, new in copied
    ]
    note = "Open one from JupyterLab's file browser."
    return list_card("lessons", "they are in the source", p.BLUE, ("LESSON", "YOU", "PATH", ""), rows, note)


def processes_card(name: str, processes: "Sequence[ProcessEntry]") -> Card:
    """The processes of a container by both of their numbers."""
    rows = [
        (
            f"{one.inside}",
            f"{one.pid}",
            f"{one.user}",
            f"{one.cpu:.2f} s",
            p.size(one.memory),
            one.command[:80],
        )
        for one in processes
    ]
    heads = ("PID INSIDE", "PID OUTSIDE", "USER", "CPU", "MEMORY", "COMMAND")
    return list_card(f"processes of {name}", "one process, two numbers", p.AMBER, heads, rows)


def stats_card(found: "Sequence[Stats]") -> Card:
    """What containers have used until now."""
    rows = [
        (
            one.name,
            f"{one.cpu:.2f} s",
            p.size(one.memory),
            p.size(one.memory_limit) if one.memory_limit is not None else "no limit",
            f"{one.pids}",
        )
        for one in found
    ]
    heads = ("NAME", "CPU", "MEMORY", "LIMIT", "PROCESSES")
    return list_card("use of this machine", "since each was started", p.AMBER, heads, rows)


def history_card(name: str, entries: Sequence["HistoryEntry"], now: float | None = None) -> Card:
    """What made an image, newest first; instructions without a layer changed the settings only."""
    rows = [
        (
            ago(_instant(e.created), now),
            instruction(e.created_by, e.comment),
            "settings only" if e.empty_layer else p.size(e.size),
        )
        for e in entries
    ]
    return list_card(f"history of {name}", "newest first", p.BLUE, ("CREATED", "INSTRUCTION", "SIZE"), rows)


def diff_card(diff: Diff) -> Card:
    """The files that changed in a container's writable layer."""
    about = "since it was created from its image; the image has not changed"
    return changes_card("changes", diff.container, about, diff.changes, signs(diff.changes), p.AMBER)


def changes_card(kind: str, name: str, about: str, changes: Sequence["Change"], told: str, ink: str) -> Card:
    """Files that were added, changed and deleted; ``told``: how many, in a word."""
    title = f"{kind} in {name}" if kind == "changes" else f"{kind} {name}"
    paper = p.AMBER_PAPER if ink == p.AMBER else p.SHEET
    shown, left = _rows(changes)
    text = [f"{title}: {told}", *(f"{_SIGNS[c.kind][0]} {_path(c)}" for c in changes[:MOST_ROWS])]
    if len(changes) > MOST_ROWS:
        text.append(f"… and {len(changes) - MOST_ROWS} more")
    html = p.sheet(
        p.heading(kind, name, ink, p.pill(told, paper, ink)),
        p.line(about),
        *(shown or [p.line("nothing")]),
        *left,
        kind=title,
    )
    return Card.of(text, html)


def plan_card(title: str, lines: Sequence[str], note: str = "nothing was done") -> Card:
    """Steps that would be taken, in order."""
    shown = _within(el("span", "", p.visible(text, 240)) for text in lines)
    more = [p.line(f"… and {len(lines) - len(shown)} more")] if len(shown) < len(lines) else []
    html = p.sheet(
        p.heading("plan", title, p.BLUE, p.pill(note, p.STILL, p.SOFT)),
        p.listing(shown),
        *more,
        kind=f"Plan: {title}",
    )
    return Card.of([f"plan: {title} ({note})", *lines], html)


def fold_of_changes(summary: Html, changes: Sequence["Change"]) -> Html:
    """``summary``, opening to the changed files."""
    shown, left = _rows(changes)
    return p.fold(summary, *shown, *left)


def signs(changes: Sequence["Change"]) -> str:
    """``+added ~changed -deleted``, as numbers."""
    kinds: list[str] = [change.kind for change in changes]
    return " ".join(f"{sign}{kinds.count(kind)}" for kind, (sign, _, _) in _SIGNS.items())


def ago(then: float | None, now: float | None = None) -> str:
    """How long since ``then``, in one unit: ``5 minutes ago``."""
    if then is None:
        return ""
    seconds = int((time.time() if now is None else now) - then)
    if seconds < 5:
        return "just now"
    for length, unit in _UNITS:
        if seconds >= length:
            number = seconds // length
            return f"{number} {unit}{'' if number == 1 else 's'} ago"
    return "just now"


def list_card(
    title: str,
    about: str,
    ink: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    note: str = "",
    empty: str = "none yet",
) -> Card:
    """A table under a title; ``about`` is told where there are no rows, ``note`` below them."""
    shown = rows[:MOST_ROWS]
    left = f"… and {len(rows) - len(shown)} more" if len(rows) > len(shown) else ""
    body = p.columns([heads, *shown]) if rows else [f"no {title}"]
    head = row(*(cell(text, style=f"color:{p.SOFT};font-size:11px;") for text in heads))
    drawn = _within(
        row(
            *(_named(name, text) for name, text in zip(heads, one, strict=True)),
            style=f"border-top:1px solid {p.EDGE};",
        )
        for one in shown
    )
    if len(drawn) < len(shown):
        left = f"… and {len(rows) - len(drawn)} more"
    html = p.sheet(
        el(
            "div", f"color:{ink};font-size:11px;font-weight:bold;letter-spacing:1px", p.visible(title).upper()
        ),
        p.table([head, *drawn]) if rows else p.line(f"{empty}: {about}"),
        *([p.line(left)] if left else []),
        *([p.line(note)] if note else []),
        kind=title,
    )
    return Card.of([*body, *filter(None, [left, note])], html)


def _named(head: str, text: str) -> Html:
    """A cell of a list, drawn as its column asks for."""
    if head == "NAME":
        return cell(el("b", "", p.visible(text, 80)), style="white-space:nowrap;")
    if head in ("COMMAND", "INSTRUCTION", "PATH", "OBJECT"):
        return cell(code(text, most=100), style="word-break:break-word;")
    return cell(p.visible(text, 60), style="font-size:12px;white-space:nowrap;")


def _rows(changes: Sequence["Change"]) -> tuple[list[Html], list[Html]]:
    """A listing of changed files, as many as there is room for, and the line that tells of the rest."""
    shown = _within(_change(change) for change in changes[:MOST_ROWS])
    left = len(changes) - len(shown)
    return [p.listing(shown)] if shown else [], [p.line(f"… and {left} more")] if left else []


def _change(change: "Change") -> Html:
    sign, ink, _ = _SIGNS[change.kind]
    size = f"  {p.size(change.entry.size)}" if change.entry.kind == "file" and change.kind != "D" else ""
    return el("span", f"color:{ink}", f"{sign} {_path(change)}{size}")


def _path(change: "Change") -> str:
    return "/" + p.visible(change.path, 200) + ("/" if change.entry.kind == "dir" else "")


def _within(rows: Iterable[Html]) -> list[Html]:
    """The first rows that fit the budget."""
    kept: list[Html] = []
    used = 0
    for one in rows:
        used += len(one.encode())
        if used > BUDGET:
            break
        kept.append(one)
    return kept


def _instant(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None
