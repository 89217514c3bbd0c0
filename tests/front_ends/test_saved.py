"""Cards in a saved notebook: exported by nbconvert, and reopened without trust, kernel or network."""

import json
from typing import Any

import bleach
import nbconvert
import nbformat
import pytest

from sandcell import Engine
from sandcell.magics.live import STILL
from tests.jupyter_lab import Lab, complaints, press, run_all, until
from tests.magics.test_pictures import Page, plain

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.notebook, pytest.mark.timeout(240)]

CARDS = dict(plain())

# What of a card is its own, whatever surrounds it.
LOOKS = """() => [...document.querySelectorAll(".jp-RenderedHTML > div")].map((card) =>
    [card, ...card.querySelectorAll("*")].map((element) => {
        const style = getComputedStyle(element);
        const parts = [style.backgroundColor, style.borderTopColor, style.borderLeftWidth, style.fontWeight];
        return [element.tagName, style.display, ...parts].join(" ");
    }))"""

# https://github.com/gjtorikian/html-pipeline: the elements that GitHub keeps and that cards are made of.
# It keeps no styles.
KEPT = {"div", "span", "b", "code", "pre", "table", "tbody", "tr", "td", "details", "summary", "img"}


def saved() -> Any:
    """A notebook with each card as the output of a cell."""
    v4 = nbformat.v4
    cells = []
    for name, card in CARDS.items():
        data = {"text/plain": card.text, "text/html": card.html}
        cells.append(v4.new_code_cell(f"# {name}", outputs=[v4.new_output("display_data", data)]))
    return v4.new_notebook(cells=cells)


def looks(page: Any) -> list[list[str]]:
    found: list[list[str]] = page.evaluate(LOOKS)
    return found


def test_cards_look_the_same_exported_and_reopened_without_trust(lab: Lab, page: Any) -> None:
    told = complaints(page)
    notebook = saved()
    exported, _ = nbconvert.HTMLExporter().from_notebook_node(notebook)
    page.context.set_offline(True)
    page.set_content(exported, wait_until="domcontentloaded")
    trusted = looks(page)
    assert len(trusted) == len(CARDS)
    assert len({look for card in trusted for look in card}) > 20, "cards have looks of their own"

    page.context.set_offline(False)
    del told[:]  # the template of nbconvert would have liked a network
    document = json.loads(nbformat.writes(notebook))
    # A kernel that cannot be had again, as when it is dead.
    document["metadata"] = {"kernelspec": {"name": "gone", "display_name": "Gone"}}
    (lab.folder / "saved.ipynb").write_text(json.dumps(document))
    page.set_viewport_size({"width": 1000, "height": 12_000})  # what is not seen is not drawn
    page.goto(lab.notebook("saved.ipynb"))
    until(lambda: len(looks(page)), len(CARDS), "the cards in JupyterLab")
    assert looks(page) == trusted
    assert told == []


@pytest.mark.kernel
def test_where_the_inspector_was_a_saved_notebook_has_cards(lab: Lab, page: Any) -> None:
    """Hidden beside the live widget; there when the kernel is gone, and without Jupyter and a network."""
    still = f'[title="{STILL}"]'
    with Engine(lab.home, lab.run) as engine:
        engine.build("FROM host:tiny\nENV A=b\n", name="kept")
        told = complaints(page)
        page.goto(lab.write("kept.ipynb", "%load_ext sandcell\n%sandcell"))
        run_all(page, lab)
        page.wait_for_selector(".sc-plate:has-text('kept')", timeout=60_000)
        page.wait_for_selector(still, state="attached")
        assert not page.is_visible(still)
        press(page, "File", "Save Notebook")
        place = lab.folder / "kept.ipynb"
        until(lambda: "kept:latest" in place.read_text(), True, "the saved notebook")
        assert told == []

        notebook = nbformat.read(place, 4)  # type: ignore[no-untyped-call]
        exported, _ = nbconvert.HTMLExporter().from_notebook_node(notebook)  # type: ignore[no-untyped-call]
        page.context.set_offline(True)
        page.set_content(exported, wait_until="domcontentloaded")
        assert "kept:latest" in page.inner_text(still)
        page.context.set_offline(False)

        document = json.loads(place.read_text())
        document["metadata"] = {"kernelspec": {"name": "gone", "display_name": "Gone"}}
        (lab.folder / "dead.ipynb").write_text(json.dumps(document))
        page.goto(lab.notebook("dead.ipynb"))
        page.wait_for_selector(f"{still}:has-text('kept:latest')", timeout=60_000)
        engine.remove_image("kept")


def test_without_styles_words_do_not_run_together(page: Any) -> None:
    for name, card in CARDS.items():
        page.set_content(bleach.clean(card.html, tags=KEPT, attributes={}, strip=True))
        page.evaluate("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
        read = set(page.inner_text("body").split())
        words = {word for text, _, _ in Page.of(card).inks for word in text.split()}
        assert words - read == set(), name
