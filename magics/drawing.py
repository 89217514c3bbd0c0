"""The same pictures as PNG, for what shows neither HTML nor tables: a PDF, a slide, a mail.

Drawn by Pillow on the paper of the cards. Texts are made visible as there; what is too long is cut.
"""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sandcell.magics import paper as p
from sandcell.magics.cards import Sheet, facets_text, reference, sheet_of, sheets_of, shortened, state_of

if TYPE_CHECKING:
    from sandcell.runtime.engine.values import Container
    from sandcell.runtime.oci.image import Image, Layer

WIDE = 720
_EDGE = 16
_SHEET = 26
_GLASS = 84


class _Pen:
    """A sheet of paper and what is written with on it; ``y`` is where the next thing goes."""

    def __init__(self, high: int) -> None:
        from PIL import Image, ImageDraw, ImageFont

        self.picture = Image.new("RGB", (WIDE, high), p.PAPER)
        self.draw = ImageDraw.Draw(self.picture)
        self.font: Any = ImageFont.load_default
        self.y = _EDGE

    def text(self, x: int, y: int, text: str, ink: str = p.INK, size: int = 13, right: int = 0) -> None:
        """One line, cut where ``right`` (or the paper) ends; a negative ``x`` counts from there."""
        font = self.font(size)
        shown, room = p.visible(text), (right or WIDE - _EDGE) - abs(x)
        if x >= 0 and self.draw.textlength(shown, font) > room:
            while shown and self.draw.textlength(shown + "…", font) > room:
                shown = shown[:-1]
            shown += "…"
        place = x if x >= 0 else right - self.draw.textlength(shown, font)
        self.draw.text((place, y), shown, ink, font)

    def heading(self, kind: str, name: str, ink: str, mark: str) -> None:
        """What it is, its name, and a word at the right."""
        self.text(_EDGE, self.y + 4, kind.upper(), ink, 11)
        self.text(_EDGE + 84, self.y, name, size=17, right=WIDE - 190)
        self.text(-1, self.y + 3, mark, ink, 12, WIDE - _EDGE)
        self.y += 32

    def sheets(self, sheets: Sequence[Sheet], paper: str, edge: str, ink: str) -> None:
        """A stack of layers, the newest on top."""
        largest = max((one.size for one in sheets), default=0) or 1
        for one in reversed(sheets):
            top, bottom = self.y, self.y + _SHEET - 3
            self.draw.rounded_rectangle((_EDGE, top, WIDE - _EDGE, bottom), 4, paper, edge)
            if one.shared > 1:
                self.draw.rectangle((_EDGE + 3, top + 2, _EDGE + 5, bottom - 2), edge)
                self.text(-1, top + 5, f"shared by {one.shared}", ink, 11, WIDE - 190)
            self.text(_EDGE + 12, top + 4, str(one.number or ""), ink, 12)
            self.text(_EDGE + 34, top + 4, one.text, right=WIDE - (270 if one.shared > 1 else 190))
            width = round(90 * one.size / largest)
            self.draw.rounded_rectangle((WIDE - 180, top + 8, WIDE - 90, top + 15), 3, p.PAPER)
            if width > 1:
                self.draw.rounded_rectangle((WIDE - 180, top + 8, WIDE - 180 + width, top + 15), 3, edge)
            self.text(-1, top + 4, p.size(one.size), ink, 12, WIDE - _EDGE - 8)
            self.y += _SHEET

    def png(self) -> bytes:
        """The picture, with no more colours than it has."""
        out = io.BytesIO()
        self.picture.quantize(64).save(out, "PNG", optimize=True)
        return out.getvalue()


def image_png(image: "Image", name: str = "", shared: dict[str, int] | None = None) -> bytes:
    """An image: the stack of its layers."""
    sheets = shortened(sheets_of(image, shared))
    pen = _Pen(2 * _EDGE + 52 + _SHEET * len(sheets))
    pen.heading("image", name or reference(image) or "without a name", p.BLUE, "read-only")
    facts = f"{p.short(image.digest)} · {len(image.layers)} layers · {image.platform.architecture}"
    pen.text(_EDGE, pen.y - 4, facts, p.SOFT, 12)
    pen.y += 18
    pen.sheets(sheets, p.SHEET, p.SHEET_EDGE, p.BLUE)
    return pen.png()


def layer_png(layer: "Layer") -> bytes:
    """One sheet."""
    pen = _Pen(2 * _EDGE + 34 + _SHEET)
    pen.heading("layer", p.short(layer.descriptor.digest), p.BLUE, "read-only")
    pen.sheets([sheet_of(layer)], p.SHEET, p.SHEET_EDGE, p.BLUE)
    return pen.png()


def container_png(container: "Container", image: "Image | None" = None, tally: str = "") -> bytes:
    """A container: its glass with the writable layer, on the stack of its ``image``."""
    sheets = shortened(sheets_of(image)) if image is not None else []
    pen = _Pen(2 * _EDGE + 74 + _GLASS + _SHEET * len(sheets))
    state, (paper, ink) = state_of(container)
    pen.heading("container", container.name, p.AMBER, "")
    width = round(pen.draw.textlength(state, pen.font(12))) + 20
    pen.draw.rounded_rectangle((WIDE - _EDGE - width, _EDGE, WIDE - _EDGE, _EDGE + 22), 10, paper, ink)
    pen.text(-1, _EDGE + 3, state, ink, 12, WIDE - _EDGE - 10)
    left, right, top = _EDGE + 14, WIDE - _EDGE - 14, pen.y
    floor = top + _GLASS - 24
    pen.draw.rounded_rectangle((left, top, right, top + _GLASS), 8, p.GLASS, p.AMBER_EDGE, 2)
    pen.draw.rectangle((left + 2, floor, right - 2, top + _GLASS - 2), p.AMBER_PAPER)
    pen.draw.line((left, floor, right, floor), p.AMBER_EDGE)
    pen.text(left + 12, top + 9, "$ " + " ".join(container.command), size=13, right=right - 8)
    where = (
        f"pid 1 inside · pid {container.pid} on this machine" if container.pid else "no process runs in it"
    )
    pen.text(left + 12, top + 31, where, p.SOFT, 12)
    pen.text(left + 12, floor + 4, f"writable layer  {tally}", p.AMBER, 12)
    pen.y = top + _GLASS
    pen.sheets(sheets, p.STILL, p.STILL_EDGE, p.SOFT)
    told = f"stands on image {container.image} · read-only, shared, never changes"
    pen.text(_EDGE, pen.y + 4, told, p.SOFT, 12)
    pen.text(_EDGE, pen.y + 22, f"rung {container.rung} · {facets_text(container)}", p.SOFT, 12)
    return pen.png()
