"""The page /sandcell in a real browser: many things, large trees, keys, and hostile names."""

import tarfile
from pathlib import Path
from typing import Any

import pytest

from sandcell import Engine, Options
from tests.inspector.test_in_lab import box, pill
from tests.jupyter_lab import Lab, complaints, until
from tests.registry.serving import own, serving
from tests.server.web_server import PORT, PROGRAM, listens

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.kernel, pytest.mark.timeout(240)]

SCRIPT = "<img src=x onerror=window.hacked=1><script>window.hacked=1</script>"


def opened(page: Any, lab: Lab) -> list[str]:
    told = complaints(page)
    page.goto(f"{lab.base}/sandcell?token=t")
    page.wait_for_selector(".sc-status[data-live=true]", timeout=30_000)
    return told


def test_a_hundred_containers_keep_focus_and_place(lab: Lab, engine: Engine, page: Any) -> None:
    engine.build("FROM scratch\nENV A=b\n", name="empty")
    engine.build("FROM host:tiny\n", name="small")
    for number in range(100):
        engine.create("small", ("sleep", "9"), Options(name=f"one-{number:03}"))
    for number in range(50):
        engine.tag("small", f"name{number:02}")
        engine.build(f"FROM host:tiny\nENV A={number}\n", name=f"image{number:02}")
    told = opened(page, lab)
    page.wait_for_selector(box("one-099"))
    until(lambda: page.locator(".sc-plate").count() >= 50, True, "all images")
    side = page.locator(".sc-containers")
    page.locator(box("one-050")).focus()
    page.keyboard.press("ArrowRight")
    place = side.evaluate("side => side.scrollTop = 400")
    # Every element is the same one afterwards: nothing was drawn anew.
    page.evaluate("document.querySelectorAll('.sc-glass').forEach(one => { one.mark = 1; })")
    engine.create("small", ("sleep", "9"), Options(name="newest"))
    page.wait_for_selector(box("newest"))
    engine.remove("one-000")
    page.wait_for_selector(box("one-000"), state="detached")
    assert page.evaluate("document.activeElement.querySelector('.sc-name').textContent") == "one-051"
    assert abs(side.evaluate("side => side.scrollTop") - place) < 200, "only by the box that went"
    assert page.evaluate("[...document.querySelectorAll('.sc-glass')].filter(one => !one.mark).length") == 1
    page.keyboard.press("/")
    page.keyboard.type("one-07")
    until(lambda: page.locator(".sc-glass").count(), 10, "what was searched")
    page.keyboard.press("Escape")
    until(lambda: page.locator(".sc-glass").count(), 100, "all again")
    assert told == []
    for number in range(50):
        engine.remove_image(f"name{number:02}")
        engine.remove_image(f"image{number:02}")


def test_fifty_thousand_files_cost_as_much_as_the_screen_shows(lab: Lab, engine: Engine, page: Any) -> None:
    program = "import os; os.mkdir('/many'); [open(f'/many/f{n:05}', 'w').close() for n in range(50000)]"
    engine.build(f'FROM host\nRUN ["python3", "-c", "{program}"]\nRUN rm /many/f00007\n', name="many")
    told = opened(page, lab)
    page.click('.sc-sheet:has-text("os.mkdir")')
    page.wait_for_selector('.sc-row:has-text("many/")', timeout=60_000)
    page.locator(".sc-tree").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector('.sc-row:has-text("f00000")')
    page.keyboard.press("End")
    page.wait_for_selector('.sc-row.sc-active:has-text("f49999")')
    page.locator(".sc-tree").evaluate("tree => { tree.scrollTop = 25000 * 22; }")
    page.wait_for_selector('.sc-row:has-text("f25001")')
    assert page.locator(".sc-row").count() < 60
    page.fill(".sc-files .sc-search", "f31415")
    page.wait_for_selector('.sc-row:has-text("many/f31415")')
    page.click('.sc-sheet:has-text("rm /many")')
    page.wait_for_selector('.sc-totals:has-text("1 deleted")')
    assert told == []


def test_an_image_by_both_lenses_and_a_search_that_says_what_it_found(
    lab: Lab, engine: Engine, page: Any
) -> None:
    image = engine.build("FROM host:tiny\nRUN echo first > /one\nRUN rm /one; echo x > /two\n", name="lenses")
    engine.create("lenses", ("sleep", "1000"), Options(name="deed"))
    made = engine.create("lenses", ("echo", "hallo"), Options(name="other"))
    told = opened(page, lab)
    page.click(".sc-plate:has-text('lenses')")
    page.click("[data-tab=image-files]")
    page.wait_for_selector('.sc-row[data-change=none]:has-text("two")')
    assert page.locator('.sc-row:has-text("one")').count() == 0, "a layer below has it, nobody sees it"
    page.click('.sc-row:has-text("two")')
    page.wait_for_selector(".sc-text-of:text-is('x')")
    page.click("[data-tab=blobs]")
    page.wait_for_selector(f"tr:has-text('manifest'):has-text('{image.digest.hex[:12]}')")
    page.click("[data-tab=about]")
    page.click(".sc-lens:has-text('from the host')")
    page.wait_for_selector(f".sc-lenses[data-lens=host] td:text-is('{image.digest}')")

    page.keyboard.press("/")
    page.keyboard.type("deed")
    until(lambda: page.locator(".sc-glass").count(), 1, "no digits of an id by chance")
    assert page.locator(".sc-why").count() == 0
    page.fill(".sc-top .sc-search", "hallo")
    page.wait_for_selector(box("other") + ":has-text('found by its command')")
    page.fill(".sc-top .sc-search", made.id[:8])
    page.wait_for_selector(box("other") + ":has-text('found by its id')")
    assert page.locator(".sc-glass").count() == 1
    assert told == []
    engine.remove("deed")
    engine.remove("other")
    engine.remove_image("lenses")


def test_a_hostile_image_runs_no_script_of_jupyters(lab: Lab, engine: Engine, page: Any) -> None:
    names = f"open({SCRIPT.replace('/', '')!r}, 'w').close(); open('/page.html', 'w').write({SCRIPT!r})"
    engine.build(
        f"FROM host\nLABEL x=\"{SCRIPT}\"\nENV A=\"{SCRIPT}\"\n", name="hostile"
    )  # fmt: skip
    command = ("python3", "-u", "-c", f"{names}; print({SCRIPT!r}); {PROGRAM}", SCRIPT)
    made = engine.create("hostile", command, Options(name="hostile", labels={"x": SCRIPT}))
    engine.start(made)
    told = opened(page, lab)
    page.click(".sc-plate:has-text('hostile')")
    for tab in ("about", "image-files", "blobs", "history"):
        page.click(f"[data-tab={tab}]")
    page.click(box("hostile"))
    for tab in ("files", "log", "processes", "network", "mounts", "overview"):
        page.click(f"[data-tab={tab}]")
    page.click("[data-tab=log]")
    page.wait_for_selector(".sc-log:has-text('<script>')")
    page.click("[data-tab=files]")
    page.click('.sc-row:has-text("page.html")')
    page.wait_for_selector(".sc-text-of:has-text('<script>')")
    assert page.evaluate("window.hacked") is None
    assert page.locator(".sc script, .sc img").count() == 0
    assert told == []
    page.goto(f"{lab.base}/sandcell/api/containers/hostile/file?path=/page.html&token=t")
    assert page.evaluate("window.hacked") is None
    assert "<script>" in page.inner_text("body")


def test_images_and_files_come_and_go(lab: Lab, engine: Engine, page: Any, tmp_path: Path) -> None:
    """To a registry and back, out of a container as a file, and away when nobody needs them."""
    engine.build("FROM host:tiny\nRUN echo sent > /sent\n", name="sent")
    engine.create("sent", ("true",), Options(name="ended"))
    engine.start(engine.create("sent", ("sh", "-c", "echo made > /made; sleep 1000"), Options(name="maker")))
    told = opened(page, lab)
    with serving(own(tmp_path / "registry")) as server:
        name = f"{server.name}/sent:1"
        page.click(".sc-plate:has-text('sent')")
        page.click(".sc-detail .sc-push")
        page.fill(".sc-dialog input", name)
        page.keyboard.press("Enter")
        until(lambda: name in {one.name for one in engine.images()}, True, "the name")
        page.wait_for_selector(".sc-push[aria-busy=false]")
        assert page.inner_text(".sc-problem") == ""
        assert engine.registry_tags(name) == ("1",)

        page.click(".sc-containers .sc-prune")
        assert "ended" in page.inner_text(".sc-dialog")
        assert "maker" not in page.inner_text(".sc-dialog")
        page.click(".sc-dialog .sc-danger")
        page.wait_for_selector(box("ended"), state="detached")

        page.click(box("maker"))
        page.click("[data-tab=files]")
        page.click('.sc-row:has-text("made")')
        with page.expect_download() as caught:
            page.click(".sc-fetch")
        with tarfile.open(caught.value.path()) as tar:
            assert tar.extractfile("made").read() == b"made\n"  # type: ignore[union-attr]
        with page.expect_download() as caught:
            page.click(".sc-detail .sc-export")
        with tarfile.open(caught.value.path()) as tar:
            assert {"made", "sent"} <= {one.removeprefix("./") for one in tar.getnames()}

        engine.remove("maker", force=True)
        for one in ("sent", name):
            engine.remove_image(one)
        page.wait_for_selector(".sc-plate:has-text('sent')", state="detached")
        for asked, seen in (
            (f"{server.name}/none:1", ".sc-dialog:has-text('none')"),
            (name, ".sc-plate:has-text('sent')"),
        ):
            page.click(".sc-images .sc-pull")
            page.fill(".sc-dialog input", asked)
            page.keyboard.press("Enter")
            page.wait_for_selector(seen)
            page.keyboard.press("Escape")
    page.click(".sc-images .sc-prune")
    page.click(".sc-dialog .sc-danger")
    page.wait_for_selector(".sc-dialog:has-text('freed'), .sc-dialog:has-text('in use')")
    assert name in {one.name for one in engine.images()}
    engine.remove_image(name)
    assert [one for one in told if "404" not in one] == [], (
        "the browser itself complains of what was not found"
    )


def test_a_containers_page_is_shown_and_reaches_nothing(lab: Lab, engine: Engine, page: Any) -> None:
    engine.start(engine.create("host", ("python3", "-c", PROGRAM), Options(name="web")))
    opened(page, lab)
    page.click(box("web"))
    page.wait_for_selector(pill("running"))
    until(lambda: listens(engine, "web"), True, "its server")
    cookies = page.context.cookies()
    page.goto(f"{lab.base}/sandcell/port/web/{PORT}/")
    page.wait_for_function("Object.keys(JSON.parse(document.title || '{}')).length >= 7", timeout=30_000)
    told = page.evaluate("JSON.parse(document.title)")
    assert told == {
        "origin": "null",
        "cookie": "refused",
        "storage": "refused",
        "api": "refused",
        "contents": "refused",
        "data": "data",
        "socket": "hello",
    }
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(1, 2, 3)"
    page.click("button")
    page.wait_for_selector("body:has-text('posted a=b')")
    assert {one["name"] for one in page.context.cookies()} == {one["name"] for one in cookies}
