"""The prose of the project: Markdown files and the notebooks' Markdown cells, read by a real parser."""

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

CHECKOUT = Path(__file__).resolve().parents[1]
_READ = MarkdownIt("commonmark").enable("table")


def pages() -> Iterator[tuple[Path, str]]:
    """(file, Markdown) of everything people read."""
    for path in sorted((*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").rglob("*.md"))):
        yield path, path.read_text()
    for path in sorted((CHECKOUT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text())["cells"]
        yield path, "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def inline(text: str) -> Iterator[Token]:
    """All pieces of running text, in order: words, code, links, pictures."""
    for block in _READ.parse(text):
        yield from block.children or ()


def words(text: str) -> str:
    """What is neither code nor address."""
    return "\n".join(one.content for one in inline(text) if one.type in ("text", "image"))


def anchors(text: str) -> set[str]:
    """The names by which headings can be linked to, as GitHub makes them."""
    blocks = _READ.parse(text)
    found = set()
    for opening, block in pairwise(blocks):
        if opening.type == "heading_open":
            title = "".join(
                one.content for one in block.children or () if one.type in ("text", "code_inline")
            )
            found.add(re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-"))
    return found


def sentences(text: str) -> Iterator[str]:
    """Sentences of the paragraphs, without code."""
    blocks = _READ.parse(text)
    for opening, block in pairwise(blocks):
        if opening.type == "paragraph_open":
            shown = [one for one in block.children or () if one.type in ("text", "code_inline", "softbreak")]
            plain = "".join(one.content or " " for one in shown)
            yield from re.split(r"(?<=[.!?:;])\s+", plain)
