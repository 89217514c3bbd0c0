"""The first picture of a lesson: on what kind of host it runs, and what that means for it."""

from sandcell.magics import paper as p
from sandcell.magics.paper import Card, Html, cell, el, row
from sandcell.runtime.linux.host_model import Host

_NOTHING = (
    "No container can run on this host. This lesson still opens: images are looked at for real, and each "
    "cell that would need a container shows its plan and a recording from another host, marked as recorded."
)


def card(number: str, host: Host) -> Card:
    """What this host gives the lesson ``number``: its rung, and every side of a container that is not real
    here, with the reason."""
    title = f"lesson {number} on rung {host.rung}"
    unreal = [facet for facet in host.facets if facet.state != "real"]
    if host.rung == "none":
        told, rows = [_NOTHING, *_why(host)], list[Html]()
    elif unreal:
        told = ["Containers here are real but for what stands below. sandcell doctor says more."]
        rows = [row(cell(el("b", "", one.name)), cell(one.state), cell(one.reason)) for one in unreal]
    else:
        told, rows = ["Containers here are real in every way."], []
    lines = [title, *told]
    if rows:
        lines += p.columns([(f"  {one.name}", one.state, one.reason) for one in unreal])
    html = p.sheet(
        p.heading("this host", title, p.BLUE),
        *(p.line(text) for text in told),
        *([p.fold(el("span", "", f"{len(rows)} not real"), p.table(rows))] if rows else []),
        kind=title,
    )
    return Card.of(lines, html)


def _why(host: Host) -> list[str]:
    obstacle = host.obstacle
    if obstacle is None:
        return ["Rung none was asked for (SANDCELL_RUNG, or rung in config.toml)."]
    found = [f"Refused by {obstacle.layer}: {obstacle.detail}."]
    return [*found, f"What would help: {obstacle.fix}."] if obstacle.fix else found
