"""``%sandcell doctor`` as a picture: the ladder, what is real here, who refused and what each can do."""

from typing import TYPE_CHECKING

from sandcell.magics import paper as p
from sandcell.magics.paper import Card, Html, cell, code, el, row
from sandcell.runtime.engine.doctor import LAYERS, RUNGS, facets, refusers, report
from sandcell.runtime.engine.ladder import Step, ladder
from sandcell.runtime.engine.remedies import AUDIENCES, remedies

if TYPE_CHECKING:
    from sandcell.runtime.linux.host_model import Host

_STATES = {
    "real": (p.GREEN_PAPER, p.GREEN),
    "emulated": (p.AMBER_PAPER, p.AMBER),
    "shared": (p.RED_PAPER, p.RED),
}
_WORDS = {"above": "out of reach", "here": "you are here", "below": "also possible"}


def doctor_card(host: "Host") -> Card:
    """What a container has of its own on this host, what it shares, who refused and what to do."""
    html = p.sheet(
        p.heading("this host", f"rung {host.rung}", p.BLUE),
        p.line(f"Linux {p.visible(host.kernel)} · {p.visible(host.machine)} · {RUNGS[host.rung]}"),
        el("div", "margin:8px 0", *(_rung(step) for step in ladder(host))),
        p.line("What a container has of its own:"),
        p.table(_facets(host)),
        *(_refuser(host, layer) for layer in refusers(host)),
        kind=_alternative(host),
    )
    return Card.of(report(host).splitlines(), html)


def _alternative(host: "Host") -> str:
    """The ladder in words, for people who hear the page."""
    told = [f"{step.rung}: {step.why or _WORDS[step.place]}" for step in ladder(host)]
    return f"A ladder of five rungs, from the top: {'; '.join(told)}"


def _rung(step: Step) -> Html:
    """A rung between its two rails, with a thicker edge where we stand."""
    here = step.place == "here"
    paper, ink = {
        "above": (p.RED_PAPER, p.RED), "here": (p.GREEN_PAPER, p.GREEN), "below": (p.STILL, p.SOFT)
    }[step.place]  # fmt: skip
    bar = f"background-color:{paper};color:{ink};padding:4px 12px;border:{2 if here else 1}px solid {ink}"
    said = step.why or _WORDS[step.place]
    mark = {"above": "✕ ", "here": "➤ ", "below": ""}[step.place]
    name = el("b", "", f"{mark}{step.rung}")
    rung = el("div", bar, name, Html("&ensp;"), el("span", "", p.visible(said, 200)))
    # The rails are what is seen of a wider box behind.
    space = el("div", f"background-color:{p.PAPER};padding:3px 0", rung)
    return el("div", f"background-color:{p.SHEET_EDGE};padding:0 5px;max-width:520px", space)


def _facets(host: "Host") -> list[Html]:
    rows = []
    for facet in facets(host):
        paper, ink = _STATES[facet.state]
        told = [el("div", "", p.visible(facet.reason, 400))] if facet.reason else []
        if facet.fix and facet.state != "real":
            told.append(p.line("to get it: ", code(facet.fix, most=400)))
        rows.append(
            row(
                cell(el("b", "", facet.name), style="width:110px;"),
                cell(p.pill(facet.state, paper, ink), style="width:80px;"),
                cell(*told),
            )
        )
    return rows


def _refuser(host: "Host", layer: str) -> Html:
    """A layer that refused: what it is, what it refused, and what can be done, by whom."""
    tried = [
        p.line(el("b", "", f"{check.name}: "), p.visible(check.detail, 300))
        for check in host.refused
        if check.layer == layer
    ]
    helps = [
        row(cell(AUDIENCES[one.audience], style="width:190px;"), cell(p.visible(one.help, 400)))
        for one in remedies(layer)
    ]
    head = el("span", "", el("b", "", f"refused by {layer}: "), LAYERS.get(layer, ""))
    return p.fold(head, *tried, *([p.table(helps)] if helps else []))
