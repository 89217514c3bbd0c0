"""What every picture is drawn with: escaped text, inline styles, own opaque paper.

Only what survives an untrusted notebook is used: no script, ``<style>``, SVG or class that matters.
A child that is a plain ``str`` is text from somewhere else and is escaped; only `Html` goes in as it
is. Rows are tables, so that they stay rows where styles are taken away (GitHub).
"""

import html
from collections.abc import Iterable

import msgspec

INK = "#1f2933"
SOFT = "#4b5966"
PAPER = "#ffffff"
EDGE = "#b8c4d0"
SHEET, SHEET_EDGE, BLUE = "#e6f0fb", "#86abd6", "#174f8f"
STILL, STILL_EDGE = "#edeff2", "#bcc4cc"
AMBER_PAPER, AMBER_EDGE, AMBER = "#fff1cc", "#c58a12", "#6b4300"
GLASS = "#fbfdff"
GREEN_PAPER, GREEN = "#dff3e6", "#0f5a34"
RED_PAPER, RED = "#fde4e1", "#96170f"

SANS = "font-family:system-ui,-apple-system,Helvetica,Arial,sans-serif"
MONO = "font-family:ui-monospace,Menlo,Consolas,monospace"

WIDEST = 160
"""Characters of the longest text from outside that is shown in one line."""


class Html(str):
    """Text that is HTML already, made here."""

    __slots__ = ()


class Card(msgspec.Struct, frozen=True):
    """One picture: ``text`` for a terminal, ``html`` for a notebook."""

    text: str
    html: str

    def bundle(self) -> dict[str, str]:
        """What Jupyter takes: a representation by media type."""
        return {"text/plain": self.text, "text/html": self.html}

    @classmethod
    def of(cls, lines: Iterable[str], html: Html) -> "Card":
        """A card whose text is these lines, made visible one by one."""
        return cls("\n".join(visible(line, 1000) for line in lines), html)


def visible(text: str, most: int = WIDEST) -> str:
    """``text`` in one line without anything that is not seen or turns the line around: control
    characters and line breaks become escapes, what is too long is cut."""
    if len(text) > most:
        text = text[: most - 1] + "…"
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "replace").decode() for char in text
    )


def el(name: str, style: str, *children: str, title: str = "") -> Html:
    """An element with an inline style; plain strings among the children are made visible and escaped."""
    attributes = f' style="{style}"' if style else ""
    if title:
        attributes += f' title="{html.escape(visible(title, 240))}"'
    inner = "".join(
        child if isinstance(child, Html) else html.escape(visible(child, len(child))) for child in children
    )
    return Html(f"<{name}{attributes}>{inner}</{name}>")


def sheet(*children: str, kind: str = "") -> Html:
    """The paper a picture is drawn on. ``kind`` names it for people who hear the page."""
    # The class keeps MathJax from reading `$HOME and $PATH` as a formula.
    inner = el(
        "div",
        f"background-color:{PAPER};color:{INK};border:1px solid {EDGE};border-radius:8px;"
        f"padding:14px 16px;margin:4px 0;max-width:720px;font-size:13px;line-height:1.45;{SANS}",
        *children,
        title=kind,
    )
    return Html(f'<div class="tex2jax_ignore mathjax_ignore">{inner}</div>')


def row(*cells: Html, style: str = "") -> Html:
    """One line of a table."""
    return el("tr", f"background-color:transparent;{style}", *cells)


def cell(*children: str, style: str = "", title: str = "") -> Html:
    """A cell of a table; ``style`` comes last and wins."""
    base = (
        "text-align:left;vertical-align:baseline;padding:2px 10px 2px 0;border:none;"
        "background-color:transparent;"
    )
    return el("td", base + style, *children, title=title)


def table(rows: Iterable[Html], style: str = "", ink: str = INK) -> Html:
    """A table that looks the same on every page."""
    base = (
        f"border-collapse:collapse;border:none;margin:0;width:100%;font-size:13px;color:{ink};"
        f"table-layout:auto;{style}"
    )
    return el("table", base, el("tbody", "", *rows))


def code(text: str, ink: str = INK, most: int = WIDEST) -> Html:
    """Text from outside in a fixed pitch, in one line."""
    # Jupyter's themes colour code, pre and table themselves, and its sanitiser drops `inherit`: each
    # of them says its own ink.
    style = f"{MONO};font-size:12px;color:{ink};background-color:transparent;padding:0;border:none"
    return el("code", style, visible(text, most), title=text if len(text) > most else "")


def listing(lines: Iterable[Html]) -> Html:
    """Many short lines in a fixed pitch; far lighter than a table."""
    return el(
        "pre",
        f"{MONO};font-size:12px;line-height:1.5;color:{INK};background-color:transparent;border:none;"
        "margin:4px 0;padding:0;white-space:pre-wrap;word-break:break-all",
        Html("\n".join(lines)),
    )


def pill(text: str, paper: str, ink: str) -> Html:
    """A small label."""
    return el(
        "span",
        f"display:inline-block;background-color:{paper};color:{ink};border:1px solid {ink};border-radius:9px;"
        "padding:0 8px;font-size:11px;line-height:17px;white-space:nowrap",
        text,
    )


def heading(kind: str, name: str, ink: str, *marks: Html) -> Html:
    """The first line of a card: what it is, its name, and labels at the right."""
    left = cell(
        el("span", f"color:{ink};font-size:11px;font-weight:bold;letter-spacing:1px", kind.upper()),
        Html("&nbsp;&nbsp;"),
        el("span", f"font-size:16px;font-weight:bold;color:{INK}", visible(name)),
        style="padding:0;",
    )
    return table([row(left, cell(*_spaced(marks), style="text-align:right;padding:0;white-space:nowrap;"))])


def line(*children: str, style: str = "") -> Html:
    """One quiet line of small text."""
    return el("div", f"color:{SOFT};font-size:12px;margin:1px 0;{style}", *children)


def link(text: str, path: str) -> Html:
    """A link to another page of the same server, in a tab of its own."""
    place = html.escape(path)
    style = f"color:{BLUE};text-decoration:underline;margin-right:10px"
    return Html(f'<a href="{place}" target="_blank" rel="noopener" style="{style}">{html.escape(text)}</a>')


def bar(share: float, wide: int = 180) -> Html:
    """How much of something is there, from 0 to 1; the words beside it say the same."""
    full = round(max(0.0, min(1.0, share)) * 100)
    inner = el("div", f"width:{full}%;height:7px;background-color:{SHEET_EDGE};border-radius:3px")
    return el(
        "div", f"width:{wide}px;max-width:100%;height:7px;background-color:{STILL};border-radius:3px", inner
    )


def fold(summary: Html, *children: str) -> Html:
    """Something that opens when its summary is clicked; no script needed."""
    opener = el("summary", "cursor:pointer", summary)
    return el("details", "margin:0", opener, *children)


def size(count: int) -> str:
    """Bytes with three figures and a decimal unit, as docker writes them: ``0 B``, ``64.2 MB``."""
    number = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if number < 999.5:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"


def duration(seconds: float) -> str:
    """A span for people: ``8 ms``, ``1.2 s``, ``3 min 20 s``."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def short(digest: str, length: int = 12) -> str:
    """The first figures of a digest or an id."""
    return digest.rpartition(":")[2][:length]


def columns(rows: Iterable[Iterable[str]]) -> list[str]:
    """Rows as lines of aligned text columns."""
    lines = [[visible(text, 100) for text in each] for each in rows]
    widths = [max(len(text) for text in column) for column in zip(*lines, strict=True)]
    return [
        "  ".join(text.ljust(width) for text, width in zip(each, widths, strict=True)).rstrip()
        for each in lines
    ]


def _spaced(parts: Iterable[Html]) -> list[Html]:
    out: list[Html] = []
    for part in parts:
        out += [Html("&nbsp;"), part] if out else [part]
    return out
