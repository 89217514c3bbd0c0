"""The two pictures everything turns on: an image is a stack of read-only sheets, a container is a
glass box that stands on such a stack and has a thin writable layer of its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from sandcell.magics import paper as p
from sandcell.magics.paper import Card, Html, cell, code, el, row

if TYPE_CHECKING:
    from sandcell.runtime.engine.values import Container
    from sandcell.runtime.layer.tree import Change
    from sandcell.runtime.oci.image import Image, Layer

MOST_SHEETS = 16
"""Layers drawn one by one; of a higher stack the middle is told in one line."""


class Sheet(msgspec.Struct, frozen=True):
    """One layer as it is drawn: its number from the bottom, the instruction, its bytes, and how many
    images stand on it (1: this one alone)."""

    number: int
    text: str
    size: int
    shared: int = 1


def image_card(
    image: "Image", name: str = "", notes: Sequence[Html] = (), shared: Mapping[str, int] | None = None
) -> Card:
    """The picture of an image. ``notes`` are put below the stack; ``shared`` tells by chain id how many
    images stand on a layer (see `shares_of`)."""
    title = name or reference(image) or "without a name"
    sheets = sheets_of(image, shared)
    total = sum(one.size for one in sheets)
    facts = f"{len(sheets)} {'layer' if len(sheets) == 1 else 'layers'}, {p.size(total)}"
    settings = settings_of(image)
    text = [f"image {p.visible(title)}  {p.short(image.digest)}  {facts}, read-only"]
    if sheets:
        rows = [
            (
                f"  {one.number}",
                p.size(one.size),
                one.text,
                f"shared by {one.shared}" if one.shared > 1 else "",
            )
            for one in reversed(shortened(sheets))
        ]
        text += p.columns(rows)
    text += [f"  {key}: {p.visible(value)}" for key, value in settings]
    html = p.sheet(
        p.heading("image", title, p.BLUE, p.pill("read-only", p.SHEET, p.BLUE)),
        p.line(
            code(f"{image.digest.partition(':')[0]}:{p.short(image.digest)}"),
            f" · {facts} · {image.platform.architecture}",
            style="margin-bottom:8px;",
        ),
        stack(sheets),
        settings_table(settings),
        *notes,
        kind=f"Image {title}: {facts}, read-only",
    )
    return Card.of(text, html)


def container_card(
    container: "Container",
    image: "Image | None" = None,
    changes: "Sequence[Change] | None" = None,
    ports: Sequence[tuple[int, str]] = (),
) -> Card:
    """The picture of a container; the stack below it is drawn when its ``image`` is given, what its
    writable layer holds when ``changes`` are. ``ports``: of its web servers, with the paths of links."""
    state, (mark_paper, mark_ink) = state_of(container)
    tally = tally_of(changes) if changes is not None else ""
    unreal = [facet for facet in container.facets if facet.state != "real"]
    text = [f"container {p.visible(container.name)}  {state}  of image {p.visible(container.image)}"]
    text.append(f"  writable layer: {tally or 'its own'}")
    text.append(f"  image {p.visible(container.image)} below, read-only, {p.short(container.image_digest)}")
    text.append(f"  rung {container.rung}, {facets_text(container)}")
    text += [f"    {facet.name} is {facet.state}: {p.visible(facet.reason)}" for facet in unreal]
    text += [f"  port {port}: {path}" for port, path in ports]
    command = " ".join(container.command)
    inside = [el("div", "padding:8px 12px 6px 12px", *_process(container, command))]
    writable = el(
        "div",
        f"background-color:{p.AMBER_PAPER};color:{p.AMBER};border-top:1px solid {p.AMBER_EDGE};"
        "padding:3px 12px;font-size:12px;border-radius:0 0 6px 6px",
        p.table(
            [
                row(
                    cell(el("b", "", "writable layer"), " · this container's own", style="padding:0;"),
                    cell(tally or "", style="padding:0;text-align:right;white-space:nowrap;"),
                )
            ],
            "font-size:12px;",
            p.AMBER,
        ),
    )
    glass = el(
        "div",
        f"background-color:{p.GLASS};border:2px solid {p.AMBER_EDGE};border-radius:8px;margin:0 14px",
        *inside,
        writable,
    )
    below = el(
        "div",
        f"color:{p.SOFT};font-size:12px;margin:3px 0 0 0",
        "stands on image ",
        el("b", "", p.visible(container.image)),
        f" · read-only, shared, never changes · {p.short(container.image_digest)}",
    )
    html = p.sheet(
        p.heading("container", container.name, p.AMBER, p.pill(state, mark_paper, mark_ink)),
        el("div", "height:8px"),
        glass,
        stack(sheets_of(image), still=True) if image is not None else "",
        below,
        *([p.line("web server: ", *(p.link(f"port {port}", path) for port, path in ports))] if ports else []),
        p.line("rung ", el("b", "", container.rung), f" · {facets_text(container)}"),
        *(
            p.line("· ", el("b", "", facet.name), f" is {facet.state}: {p.visible(facet.reason, 240)}")
            for facet in unreal
        ),
        kind=f"Container {container.name} of image {container.image}, {state}",
    )
    return Card.of(text, html)


def layer_card(layer: "Layer") -> Card:
    """The picture of one layer."""
    one = sheet_of(layer)
    kind = f"layer {p.short(layer.descriptor.digest)}  {p.size(one.size)}  {p.visible(one.text)}"
    html = p.sheet(
        p.heading("layer", p.short(layer.descriptor.digest), p.BLUE, p.pill("read-only", p.SHEET, p.BLUE)),
        el("div", "height:8px"),
        stack([one]),
        settings_table([("unpacks to", layer.diff_id), ("with all below", layer.chain_id)]),
        kind=kind,
    )
    return Card.of([kind], html)


def stack(sheets: Sequence[Sheet], *, still: bool = False) -> Html:
    """Sheets lying on each other, the first of ``sheets`` lowest; ``still``: greyed, as what a
    container stands on. The bar shows each one's share of the largest."""
    if not sheets:
        return p.line("no layers: nothing but settings")
    largest = max(one.size for one in sheets) or 1
    paper, edge, ink = (p.STILL, p.STILL_EDGE, p.SOFT) if still else (p.SHEET, p.SHEET_EDGE, p.BLUE)
    rows = [_sheet(one, largest, paper, edge, ink) for one in reversed(shortened(sheets))]
    return el("div", "", *rows)


def sheet_of(layer: "Layer") -> Sheet:
    """What is drawn of a layer by itself; its number in some stack is not known."""
    return Sheet(0, _told(layer), layer.descriptor.size)


def sheets_of(image: "Image", shared: Mapping[str, int] | None = None) -> tuple[Sheet, ...]:
    """What is drawn of an image's layers, lowest first."""
    return tuple(
        Sheet(number, _told(layer), layer.descriptor.size, (shared or {}).get(layer.chain_id, 1))
        for number, layer in enumerate(image.layers, 1)
    )


def shares_of(images: "Iterable[Image]") -> dict[str, int]:
    """By chain id, how many of these different images have that layer on the same layers below."""
    found: dict[str, int] = {}
    for image in {image.digest: image for image in images}.values():
        for layer in image.layers:
            found[layer.chain_id] = found.get(layer.chain_id, 0) + 1
    return found


def settings_of(image: "Image") -> list[tuple[str, str]]:
    """What the image says of how to start, in the words of a Dockerfile."""
    config = image.config.config
    found = [
        ("ENTRYPOINT", _command(config.entrypoint)),
        ("CMD", _command(config.cmd)),
        ("WORKDIR", config.working_dir),
        ("USER", config.user),
        ("ENV", " ".join(entry for entry in config.env if not entry.startswith("PATH="))),
        ("EXPOSE", " ".join(config.exposed_ports)),
        ("VOLUME", " ".join(config.volumes)),
        ("LABEL", " ".join(f"{key}={value}" for key, value in config.labels.items())),
    ]
    return [(key, value) for key, value in found if value]


def settings_table(settings: Sequence[tuple[str, str]]) -> Html:
    """Names and values, two columns."""
    if not settings:
        return Html("")
    rows = [
        row(cell(key, style=f"color:{p.SOFT};font-size:11px;width:90px;"), cell(code(value)))
        for key, value in settings
    ]
    return el("div", "margin-top:8px", p.table(rows, "font-size:12px;"))


def state_of(container: "Container") -> tuple[str, tuple[str, str]]:
    """The state in words, and the paper and ink of its label."""
    if container.state == "running":
        return "running", (p.GREEN_PAPER, p.GREEN)
    if container.state != "exited":
        return container.state, (p.STILL, p.SOFT)
    if container.exit_status is None:
        return "exited, status unknown", (p.RED_PAPER, p.RED)
    colours = (p.RED_PAPER, p.RED) if container.exit_status else (p.STILL, p.SOFT)
    return f"exited ({container.exit_status}){', out of memory' if container.oom else ''}", colours


def tally_of(changes: "Sequence[Change]") -> str:
    """How many files were added, changed and deleted, in words."""
    kinds = [change.kind for change in changes]
    words = (("A", "added"), ("C", "changed"), ("D", "deleted"))
    told = [f"{kinds.count(kind)} {word}" for kind, word in words if kind in kinds]
    return ", ".join(told) or "nothing changed"


def instruction(created_by: str, comment: str = "") -> str:
    """An entry of an image's history as somebody would write the instruction: docker's history has
    ``RUN /bin/sh -c …``, older ones ``/bin/sh -c #(nop) …``."""
    if "/run/sandcell/" in created_by:
        # What a container's cell left behind: the command is ours and says nothing.
        return f"commit: {comment}" if comment else "commit of a container"
    told = (created_by or comment).removeprefix("/bin/sh -c #(nop) ").lstrip()
    return told.replace("RUN /bin/sh -c ", "RUN ", 1) if told.startswith("RUN ") else told


def reference(image: "Image") -> str:
    """The name the image was asked by, where its descriptor tells."""
    return (image.descriptor.annotations or {}).get("org.opencontainers.image.ref.name", "")


def _told(layer: "Layer") -> str:
    if layer.history is None:
        return "(its history is not told)"
    return instruction(layer.history.created_by, layer.history.comment)


def _sheet(one: Sheet, largest: int, paper: str, edge: str, ink: str) -> Html:
    share = max(1, round(100 * one.size / largest)) if one.size else 0
    bar = el(
        "div",
        "width:90px;height:7px;background-color:#ffffff;border-radius:3px;display:inline-block",
        el("div", f"width:{share}%;height:7px;background-color:{edge};border-radius:3px"),
    )
    number = str(one.number) if one.number else ""
    # Twice the edge, and a word: shared sheets are told without colours too.
    left = f"border-left:5px double {edge};" if one.shared > 1 else ""
    mark = (
        [
            Html("&nbsp; "),
            el(
                "span",
                f"color:{ink};font-size:11px;white-space:nowrap",
                f"shared by {one.shared}",
                title=f"{one.shared} images stand on this layer; it is stored once",
            ),
        ]
        if one.shared > 1
        else []
    )
    return el(
        "div",
        f"background-color:{paper};border:1px solid {edge};border-bottom-width:2px;border-radius:4px;{left}"
        "padding:4px 10px;margin-bottom:2px",
        p.table(
            [
                row(
                    cell(number, style=f"color:{ink};font-size:11px;width:22px;padding:0;"),
                    cell(code(one.text), *mark, style="padding:0 10px 0 0;word-break:break-word;"),
                    cell(bar, style="padding:0;width:94px;"),
                    cell(
                        p.size(one.size),
                        style=f"color:{ink};font-size:12px;padding:0;width:70px;text-align:right;white-space:nowrap;",
                    ),
                )
            ]
        ),
    )


def shortened(sheets: Sequence[Sheet]) -> list[Sheet]:
    """All of a usual stack; of a very high one both ends and a line for the middle."""
    if len(sheets) <= MOST_SHEETS:
        return list(sheets)
    half = MOST_SHEETS // 2
    middle = sheets[half:-half]
    told = Sheet(0, f"… {len(middle)} more layers …", sum(one.size for one in middle))
    return [*sheets[:half], told, *sheets[-half:]]


def _process(container: "Container", command: str) -> list[Html]:
    shown = code("$ " + command if command else "(nothing to run)")
    if container.state == "running" and container.pid:
        told = f"pid 1 inside · pid {container.pid} on this machine"
    elif container.state == "exited":
        told = "its process has ended; its files stay until the container is removed"
    else:
        told = "not started yet"
    if container.rung in ("chroot", "none"):
        told = told.replace("pid 1 inside · ", "")
    return [el("div", "", shown), p.line(told)]


def facets_text(container: "Container") -> str:
    """Which sides of it are not real on this host, in words."""
    unreal = [facet.name for facet in container.facets if facet.state != "real"]
    return "not real here: " + ", ".join(unreal) if unreal else "everything is real"


def _command(words: Sequence[str]) -> str:
    import json

    return json.dumps(list(words), ensure_ascii=False) if words else ""
