"""A pull and a push as a notebook shows them."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from sandcell.magics.paper import Card
from sandcell.magics.transfers import Transfers
from sandcell.runtime.events import ImageEvent, TransferEvent


def event(done: int, state: str = "moving", *, action: str = "pull", number: int = 0) -> TransferEvent:
    digest = f"sha256:{number:064x}"
    return TransferEvent(action=action, name="a", digest=digest, done=done, total=50 << 20, state=state)


def test_a_card_tells_how_much_of_each_layer_is_here() -> None:
    drawn: list[Card] = []
    now = [0.0]
    watch = Transfers("pulling", "<b>evil</b>", drawn.append, lambda: now[0])
    watch(event(1 << 20))
    assert drawn == []  # a quick one shows nothing but its end
    now[0] = 1.0
    watch(ImageEvent(action="pull", name="a", digest=""))
    watch(event(25 << 20))
    watch(event(26 << 20))
    (card,) = drawn
    assert "50 %" in card.text and "50 %" in card.html and "<b>evil" not in card.html
    now[0] = 2.0
    watch(event(50 << 20, "done", number=1))
    assert "width:52%" in drawn[-1].html, "a bar for the layer"
    assert "width:76%" in drawn[-1].html, "and one for all of it"
    assert "1 of 2 parts complete" in drawn[-1].html
    assert "here, " in drawn[-1].text and len(drawn[-1].text.splitlines()) == 3


def test_many_layers_from_many_threads() -> None:
    drawn: list[Card] = []
    ticks = iter(range(100_000))
    watch = Transfers("pushing", "a", drawn.append, lambda: float(next(ticks)))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: watch(event(50 << 20, "exists", action="push", number=n)), range(100)))
    watch.finish("pushed")
    assert drawn[-1].text.startswith("pushed a")
    assert "and 76 more" in drawn[-1].text and len(drawn[-1].html) < 40_000


def test_without_html_a_line_for_each_layer(capsys: pytest.CaptureFixture[str]) -> None:
    watch = Transfers("pushing", "a", None)
    watch(event(1))
    watch(event(50 << 20, "done", action="push"))
    assert capsys.readouterr().out.count("\n") == 1
