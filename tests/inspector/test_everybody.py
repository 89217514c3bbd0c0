"""The inspector for everybody: by keys alone, by ear, at any size, in any colours, without movement.

With ``SANDCELL_LOOKED_AT=FOLDER`` what was looked at is kept there as pictures.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandcell import Engine, Options
from tests.inspector.measures import cut, faint, heard, seen_as
from tests.inspector.test_in_lab import box, pill
from tests.inspector.test_page import opened
from tests.jupyter_lab import Lab, until

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.kernel, pytest.mark.timeout(240)]

IMAGE = "FROM host:tiny\nRUN mkdir /app && echo hello > /app/note\nEXPOSE 8000\nCMD sleep 1000\n"
LOOKED_AT = os.environ.get("SANDCELL_LOOKED_AT")


@pytest.fixture
def store(lab: Lab, engine: Engine) -> Iterator[Engine]:
    """Two images of one base and a container in each state."""
    engine.build(IMAGE, name="hello")
    engine.build("FROM hello\nRUN rm /app/note; echo more > /app/other\n", name="hello:2")
    engine.start(engine.create("hello", None, Options(name="web", memory=64 << 20)))
    engine.start(
        engine.create("hello:2", ("sh", "-c", "rm /app/other; echo x > /y; exit 3"), Options(name="failed"))
    )
    engine.wait("failed")
    engine.start(engine.create("hello", None, Options(name="resting")))
    engine.pause("resting")
    engine.create("hello:2", ("true",), Options(name="new"))
    yield engine
    for name in ("hello:2", "hello"):
        engine.remove_image(name, force=True)


def keep(page: Any, name: str, *, whole: bool = True) -> None:
    if LOOKED_AT:
        page.screenshot(path=str(Path(LOOKED_AT) / f"{name}.png"), full_page=whole)


def focused(page: Any) -> str:
    """What has the focus, in words."""
    text: str = page.evaluate(
        "(({activeElement: one}) => one.getAttribute('aria-label') ?? one.textContent)(document)"
    )
    return text


def tab_to(page: Any, words: str, key: str = "Tab") -> None:
    """Press Tab until something has the focus that is called so."""
    seen = []
    for _ in range(40):
        page.keyboard.press(key)
        seen.append(focused(page))
        if words in seen[-1]:
            return
    raise AssertionError(f"no {words!r} among {seen}")


def test_by_keys_alone(lab: Lab, store: Engine, page: Any) -> None:
    told = opened(page, lab)
    page.wait_for_selector(box("web"))
    tab_to(page, "search images")
    tab_to(page, "image ")
    tab_to(page, "container ")
    for _ in range(12):
        if focused(page).startswith("container web"):
            break
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_selector(pill("running"))
    tab_to(page, "Stop")
    page.keyboard.press("Enter")
    page.wait_for_selector(pill("exited"), timeout=30_000)
    assert page.evaluate("document.activeElement.closest('.sc-actions') !== null"), "beside what went"
    tab_to(page, "Delete")
    page.keyboard.press("Enter")
    page.wait_for_selector(".sc-dialog[open]")
    page.keyboard.press("Escape")
    assert "Delete" in focused(page), "the focus goes back to where it was"
    tab_to(page, "Overview")
    page.keyboard.press("ArrowRight")
    assert focused(page) == "Files changed"
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".sc-log")
    tab_to(page, "look at nothing", "Shift+Tab")
    page.keyboard.press("Enter")
    assert focused(page).startswith("container web")

    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Home")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    page.wait_for_selector(".sc-detail[data-kind=layer]")
    tab_to(page, "find a file")
    tab_to(page, "files of the layer")
    page.keyboard.press("End")
    page.wait_for_selector(".sc-row.sc-active")
    # The same tests as a person with eyes makes: the thing with the focus has a ring.
    ring = "(({activeElement: one}) => getComputedStyle(one).outlineStyle)(document)"
    tab_to(page, "search images", "Shift+Tab")
    assert page.evaluate(ring) == "solid"
    assert told == []


def test_every_control_has_a_name_and_every_text_can_be_read(lab: Lab, store: Engine, page: Any) -> None:
    told = opened(page, lab)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        # Colours change gradually, and what is measured is where they end.
        page.evaluate("Promise.allSettled(document.getAnimations().map((one) => one.finished))")
        seen: set[str] = set()

        def look(name: str, scheme: str = scheme, seen: set[str] = seen) -> None:
            assert faint(page) == [], f"{scheme}: {name}"
            found = heard(page)
            assert [role for role, name in found if not name.strip()] == [], name
            seen.update(role for role, _ in found)

        page.click(box("web"))
        for tab in ("overview", "files", "log", "processes", "network", "mounts"):
            page.click(f"[data-tab={tab}]")
            look(tab)
        page.click(".sc-lens:has-text('from the host')")
        page.click("[data-tab=overview]")
        until(lambda: page.locator(".sc-lenses[data-lens=host]").count(), 1, "the other lens")
        look("the host's lens")
        keep(page, f"page-{scheme}")
        page.click(".sc-remove")
        page.wait_for_selector(".sc-dialog[open]")
        look("a question")
        page.keyboard.press("Escape")
        page.click(".sc-limits")  # it asks for those there are before it opens
        page.wait_for_selector(".sc-dialog[open]")
        look("a form")
        keep(page, f"form-{scheme}")
        page.keyboard.press("Escape")
        page.click(box("failed"))
        page.click("[data-tab=files]")
        page.wait_for_selector('.sc-row:has-text("y")')
        look("files")
        keep(page, f"files-{scheme}")
        page.click(".sc-plate:has-text('hello:2')")
        for tab in ("about", "image-files", "blobs", "history"):
            page.click(f"[data-tab={tab}]")
            look(tab)
        keep(page, f"image-{scheme}")
        page.click('.sc-sheet:has-text("rm /app/note")')
        page.wait_for_selector('.sc-row:has-text("app")')
        look("a layer")
        keep(page, f"layer-{scheme}")
        assert {"button", "tab", "radio", "searchbox", "tree", "treeitem", "dialog", "toolbar"} <= seen
        page.click(".sc-lens:has-text('from inside')")
    assert told == []


@pytest.mark.parametrize("zoom", [2, 4])
def test_enlarged(lab: Lab, store: Engine, page: Any, zoom: int) -> None:
    """A window of 1280 by 1024 whose page is enlarged is one of so much fewer pixels: nothing is cut off, and
    only what is two-dimensional by nature scrolls sideways (WCAG 2.2, 1.4.10)."""
    page.set_viewport_size({"width": 1280 // zoom, "height": 1024 // zoom})
    opened(page, lab)
    page.click(box("web"))
    keep(page, f"zoom{zoom}-window", whole=False)
    wide = "document.scrollingElement.scrollWidth - innerWidth"
    for tab in ("overview", "files", "log", "processes", "network", "mounts"):
        page.click(f"[data-tab={tab}]")
        assert page.evaluate(wide) <= 0, tab
        assert cut(page) == [], tab
        keep(page, f"zoom{zoom}-{tab}")
    page.click(".sc-limits")
    page.wait_for_selector(".sc-dialog[open]")
    assert cut(page, ".sc-dialog") == []
    keep(page, f"zoom{zoom}-form")


def test_with_other_colours_and_without_movement(lab: Lab, store: Engine, page: Any) -> None:
    opened(page, lab)
    page.click(box("web"))
    page.wait_for_selector(pill("running"))
    # No state is told by a colour alone.
    for name, words in {
        "web": "running",
        "failed": "exited (3)",
        "resting": "paused",
        "new": "created",
    }.items():
        assert page.inner_text(f"{box(name)} .sc-pill") == words
    signs = "one => getComputedStyle(one, '::before').content"
    assert (
        len({page.locator(f"{box(name)} .sc-pill").evaluate(signs) for name in ("web", "failed", "resting")})
        == 3
    )
    for deficiency in ("deuteranopia", "protanopia", "achromatopsia"):
        seen_as(page, deficiency)
        keep(page, deficiency)
    seen_as(page, "none")

    moving = """() => [...document.querySelectorAll(".sc *")].filter((one) => {
        const { transitionDuration, animationName } = getComputedStyle(one);
        return animationName !== "none" || transitionDuration.split(", ").some((time) => parseFloat(time));
    }).length"""
    assert page.evaluate(moving) > 0
    page.emulate_media(reduced_motion="reduce")
    assert page.evaluate(moving) == 0

    page.emulate_media(forced_colors="active")
    keep(page, "forced-colours")
    # What is chosen, and each box, has an edge that such colours keep.
    edge = "one => getComputedStyle(one).borderTopStyle + getComputedStyle(one).outlineStyle"
    assert page.locator(box("web")).evaluate(edge) == "solidsolid"
    assert page.locator(box("failed")).evaluate(edge).startswith("dashed")
    keep(page, "forced-colours")
