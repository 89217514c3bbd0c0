"""The pictures as PNG: readable by anything, small, and of what is told."""

import io
from typing import Any

import pytest
from PIL import Image as Picture

from sandcell.magics import cards, paper
from sandcell.magics.drawing import WIDE, container_png, image_png, layer_png
from tests.magics.fake_engine import image
from tests.magics.test_pictures import HOSTILE, IMAGE, container


def opened(data: bytes) -> Any:
    picture = Picture.open(io.BytesIO(data))
    picture.load()
    return picture.convert("RGB")


def colours(picture: Any) -> set[str]:
    return {"#{:02x}{:02x}{:02x}".format(*colour) for _, colour in picture.getcolors(1 << 20)}


def near(picture: Any, colour: str) -> bool:
    wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return any(
        sum(abs(int(one[at : at + 2], 16) - part) for at, part in zip((1, 3, 5), wanted, strict=True)) < 12
        for one in colours(picture)
    )


def test_an_image_is_blue_sheets_and_a_container_is_glass_with_amber() -> None:
    one, other = opened(image_png(IMAGE, "hello")), opened(container_png(container(), IMAGE, "1 added"))
    assert one.width == other.width == WIDE
    assert near(one, paper.SHEET)
    assert not near(one, paper.AMBER_PAPER)
    assert near(other, paper.AMBER_PAPER)
    assert near(other, paper.STILL)
    sheet = opened(layer_png(IMAGE.layers[0]))
    assert near(sheet, paper.SHEET)
    assert sheet.height < one.height


@pytest.mark.parametrize("layers", [0, 1, 127])
def test_pictures_stay_small_and_have_the_height_of_their_stack(layers: int) -> None:
    data = image_png(image(*((HOSTILE + str(number), number) for number in range(layers))), HOSTILE)
    assert len(data) < 30_000
    assert opened(data).height < 700


def test_shared_layers_are_marked() -> None:
    other = image(("FROM host", 61_000_000), ("RUN other", 5))
    base = image(("FROM host", 61_000_000))
    shares = cards.shares_of([base, other, other])
    assert sorted(shares.values()) == [1, 2]
    assert image_png(other, "x", shares) != image_png(other, "x")
    card = cards.image_card(other, "x", shared=shares)
    assert "shared by 2" in card.text
    assert card.html.count("shared by 2") == 1
