"""What a check says: what was observed, and what that means for the prediction."""

from sandcell.magics import paper as p
from sandcell.magics.paper import Card, cell, el, row

_MARKS = {
    "right": (p.GREEN_PAPER, p.GREEN),
    "not as predicted": (p.AMBER_PAPER, p.AMBER),
    "recorded": (p.AMBER_PAPER, p.AMBER),
}


def card(lines: list[str], mark: str = "") -> Card:
    """The first of ``lines`` is what was seen; ``mark``: a word beside it, one of three, or none."""
    first, *rest = lines
    head = [cell(el("b", "", first), style="padding:0;")]
    if mark:
        head.append(cell(p.pill(mark, *_MARKS[mark]), style="text-align:right;padding:0;"))
    html = p.sheet(p.table([row(*head)]), *(el("div", "margin:3px 0 0 0", text) for text in rest), kind=first)
    return Card.of(lines, html)
