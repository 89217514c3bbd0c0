"""Pictures: readable, small, and safe whatever the names in them are."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandcell.magics import cards, looks, quiet, tables
from sandcell.magics.doctor import doctor_card
from sandcell.magics.paper import Card, Html, code, duration, el, size, visible
from sandcell.magics.progress import Progress, Step
from sandcell.runtime.engine.looks import ImageUse, Usage, Waste, Wasted
from sandcell.runtime.engine.values import Container, HistoryEntry, ImageEntry, Result
from sandcell.runtime.layer.tree import Change
from sandcell.runtime.linux.host_model import Facet
from sandcell.runtime.oci.config import RunConfig
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.store.prune import Pruned
from tests.magics.fake_engine import HOST, change, image

HOSTILE = "</td><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\x1b[31m\n\r\u202e\x00\udcff$x$"

IMAGE = image(
    ("FROM host", 61_000_000),
    ("RUN make", 1_800),
    config=RunConfig(cmd=("sh",), env=("PATH=/bin", "A=1"), working_dir="/app"),
)
DIGEST = Digest.of(b"x")


def container(**changes: object) -> Container:
    fields: dict[str, object] = {
        "id": "3f" * 32,
        "name": "web",
        "image": "hello:latest",
        "image_digest": DIGEST,
        "command": ("sh", "-c", "sleep 9"),
        "created": 0.0,
        "state": "running",
        "pid": 4711,
    }
    return Container(**{**fields, **changes})  # type: ignore[arg-type]


def hostile() -> Iterator[tuple[str, Card]]:
    """Every picture with everything in it that comes from outside turned nasty."""
    steps = [(HOSTILE + str(number), number) for number in range(127)]
    config = RunConfig(
        cmd=(HOSTILE,) * 50,
        entrypoint=(HOSTILE,),
        env=(HOSTILE,) * 99,
        working_dir=HOSTILE,
        user=HOSTILE,
        labels={HOSTILE + str(n): HOSTILE for n in range(99)},
        volumes={HOSTILE: {}},
    )
    nasty = image(*steps, config=config)
    odd = container(
        name=HOSTILE,
        image=HOSTILE,
        command=(HOSTILE,) * 99,
        rung="chroot",
        facets=tuple(Facet(HOSTILE, "shared", HOSTILE, HOSTILE) for _ in range(8)),
    )
    changes = tuple(change("A", HOSTILE + str(number), 5) for number in range(5000))
    progress = Progress(HOSTILE)
    progress.steps = [Step(HOSTILE) for _ in range(127)]
    for step in progress.steps[:100]:
        step.state, step.size = "done", 5
    progress.steps[100].state = "failed"
    progress.steps[100].output += (HOSTILE.encode("utf-8", "replace") + b"\n") * 500
    entry = ImageEntry(name=HOSTILE, digest=DIGEST, created=HOSTILE, size=1, layers=1)
    past = HistoryEntry(
        created="", created_by=HOSTILE, size=1, digest=None, empty_layer=False, comment=HOSTILE
    )
    result = Result(
        status=1,
        stdout=HOSTILE.encode("utf-8", "replace") * 5000,
        stderr=b"\xff" * 5000,
        duration=1.0,
        container=odd,
    )
    host = msgspec.structs.replace(HOST, facets=odd.facets, kernel=HOSTILE)
    outcome = quiet.Outcome(container=HOSTILE, status=1, duration=0.1, changes=changes, notes=(HOSTILE,))
    yield "image", cards.image_card(nasty, HOSTILE, [progress.note()])
    yield "container", cards.container_card(odd, nasty, changes)
    yield "layer", cards.layer_card(nasty.layers[0])
    yield "progress", progress.card("failed")
    yield "images", tables.images_card([entry] * 500)
    yield "containers", tables.containers_card([odd] * 500, note=HOSTILE)
    yield "history", tables.history_card(HOSTILE, [past] * 500)
    yield "diff", tables.diff_card(tables.Diff(HOSTILE, changes))
    yield "doctor", doctor_card(host)
    yield from looked_at(HOSTILE, changes, HOSTILE)
    yield "plan", tables.plan_card(HOSTILE, [HOSTILE] * 500)
    yield "quiet", quiet.quiet_card(outcome)
    yield "result", quiet.result_card(result)


def looked_at(name: str, changes: tuple[Change, ...], path: str) -> Iterator[tuple[str, Card]]:
    """The pictures of an image looked at closely."""
    entries = [each.entry for each in changes] * 3
    wasted = Waste((Wasted(path, 5, 2, "D"), Wasted(path, 3, 1, "C")), 8, 100)
    use = ImageUse((name, name), DIGEST, 10, 4, 6, 1)
    yield "files", looks.files_card(name, entries)
    yield "layer files", looks.layer_card(name, 1, changes, "5 B wasted")
    yield "image diff", looks.image_diff_card(name, name, changes)
    yield "waste", looks.waste_card(name, wasted)
    yield "usage", looks.usage_card(Usage((use,), 10, 20, Pruned((str(DIGEST),), 7)))
    yield "prune", looks.prune_card([str(DIGEST)] * 3, 7, done=False)


def plain() -> Iterator[tuple[str, Card]]:
    """Every picture as it usually is."""
    odd = container(
        state="exited", exit_status=1, facets=(Facet("network", "shared", "no pasta"),), rung="rootless"
    )
    changes = (change("A", "a", 5), change("C", "b"), change("D", "c"))
    progress = Progress("hello")
    progress.steps = [Step("FROM host"), Step("RUN x"), Step("RUN y"), Step("CMD z")]
    for step, state in zip(progress.steps, ("cached", "done", "running", "waiting"), strict=True):
        step.state = state
    progress.steps[2].output += b"working\n"
    yield "image", cards.image_card(IMAGE, "hello:latest", [progress.note()])
    yield "container", cards.container_card(container(), IMAGE, changes)
    yield "exited", cards.container_card(odd, IMAGE, ())
    yield "layer", cards.layer_card(IMAGE.layers[0])
    yield "progress", progress.card()
    yield (
        "images",
        tables.images_card(
            [ImageEntry(name="a:1", digest=DIGEST, created="2025-01-01T00:00:00Z", size=5, layers=1)]
        ),
    )
    yield "none", tables.images_card([])
    yield "containers", tables.containers_card([container(), odd])
    yield "diff", tables.diff_card(tables.Diff("web", changes))
    yield "doctor", doctor_card(HOST)
    yield from looked_at("hello", changes, "a/b")
    yield "plan", tables.plan_card("x", ["one", "two"])
    yield "quiet", quiet.quiet_card(quiet.Outcome(container="web", status=0, duration=0.1, changes=changes))
    yield "bad", quiet.quiet_card(quiet.Outcome(container="web", status=3, duration=0.1, changes=()))
    yield (
        "result",
        quiet.result_card(Result(status=0, stdout=b"hi\n", stderr=b"", duration=0.1, container=odd)),
    )


class Page(HTMLParser):
    """Reads a picture: its tags, attributes and texts, each text with its ink and paper."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.properties: set[str] = set()
        self.inks: list[tuple[str, str, str]] = []
        self._stack = [("div", "#808080", page)]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        _, ink, paper = self._stack[-1]
        style = dict(attrs).get("style") or ""
        assert "inherit" not in style, "Jupyter's sanitiser drops it"
        if tag in ("table", "code", "pre"):
            # Jupyter's themes give these an ink of the theme, whatever stands around them.
            ink = "#eeeeee"
        for declaration in filter(None, style.split(";")):
            name, _, value = declaration.partition(":")
            self.properties.add(name.strip())
            if name == "color":
                ink = value
            if name == "background-color" and value != "transparent":
                paper = value
        self._stack.append((tag, ink, paper))

    def handle_endtag(self, tag: str) -> None:
        assert self._stack[-1][0] == tag, "elements must nest"
        self._stack.pop()

    def handle_data(self, data: str) -> None:
        if data.strip():
            _, ink, paper = self._stack[-1]
            self.inks.append((data, ink, paper))

    @classmethod
    def of(cls, card: Card, page: str = "#ffffff") -> "Page":
        parsed = cls(page)
        parsed.feed(card.html)
        parsed.close()
        assert len(parsed._stack) == 1, "every element must be closed"
        return parsed


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("page", ["#ffffff", "#111111"])
@pytest.mark.parametrize(("name", "card"), list(plain()))
def test_every_text_is_readable_on_white_and_dark_pages(name: str, card: Card, page: str) -> None:
    inks = Page.of(card, page).inks
    assert inks
    for text, ink, paper in inks:
        assert contrast(ink, paper) >= 4.5, (name, text, ink, paper)


@pytest.mark.parametrize(("name", "card"), [*plain(), *hostile()])
def test_only_what_survives_an_untrusted_notebook_is_used(name: str, card: Card) -> None:
    page = Page.of(card)
    assert page.tags <= {
        "div", "span", "b", "code", "pre", "table", "tbody", "tr", "td", "details", "summary", "img",
    }  # fmt: skip
    assert page.attributes <= {"style", "title", "class"}
    assert page.properties <= {
        "background-color", "border", "border-left", "border-radius", "border-top",
        "border-bottom-width", "border-collapse",
        "color", "cursor", "display", "font-family", "font-size", "font-weight", "height", "letter-spacing",
        "line-height", "margin", "margin-bottom", "margin-top", "max-width", "padding", "table-layout",
        "text-align", "vertical-align", "white-space", "width", "word-break",
    }  # fmt: skip


@pytest.mark.parametrize(("name", "card"), list(hostile()))
def test_hostile_names_stay_text_and_pictures_stay_small(name: str, card: Card) -> None:
    assert len(card.html.encode()) <= 40_000
    assert "<script" not in card.html
    assert "<img" not in card.html
    for shown in (card.html, card.text):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e\ud800-\udfff]", shown)
    assert len(card.text.splitlines()) <= 1100


@given(st.text())
@settings(max_examples=200)
def test_any_text_is_escaped(text: str) -> None:
    drawn = code(text)
    assert drawn.count("<") == 2
    drawn.encode()


def test_plain_strings_are_escaped_and_html_is_not() -> None:
    assert el("b", "", "<i>", Html("<i>")) == "<b>&lt;i&gt;<i></b>"
    assert el("b", "", title='"<') == '<b title="&quot;&lt;"></b>'


def test_visible() -> None:
    assert visible("a\nb\x1b\u202e") == "a\\nb\\x1b\\u202e"
    assert visible("x" * 300) == "x" * 159 + "…"
    assert visible("ä 漢 🙂") == "ä 漢 🙂"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (64_249_999, "64.2 MB"),
        (999_600_000, "1 GB"),
        (5 * 10**12, "5 TB"),
    ],
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0123, "12 ms"),
        (0.9996, "1.0 s"),
        (12.34, "12.3 s"),
        (59.96, "1 min 0 s"),
        (200, "3 min 20 s"),
        (7260, "2 h 1 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_an_image_card_tells_what_it_is_without_styles() -> None:
    card = cards.image_card(IMAGE, "hello:latest")
    assert card.text.splitlines()[0].startswith("image hello:latest")
    assert "read-only" in card.text
    assert "2  1.8 kB  RUN make" in card.text
    assert card.text.index("RUN make") < card.text.index("FROM host"), "the newest layer lies on top"
    assert 'CMD: ["sh"]' in card.text
    assert "PATH=" not in card.text


def test_a_container_card_shows_both_pids_and_what_is_not_real() -> None:
    card = cards.container_card(container(), IMAGE, (change("A", "a"),))
    assert "pid 1 inside · pid 4711 on this machine" in card.html
    assert "1 added" in card.text
    assert "everything is real" in card.text
    told = cards.container_card(container(rung="rootless", facets=(Facet("network", "shared", "no pasta"),)))
    assert "rung rootless, not real here: network" in told.text
    assert "network is shared: no pasta" in told.text


def test_at_most_two_hundred_files_are_listed() -> None:
    changes = tuple(change("A", f"f{number}") for number in range(300))
    card = tables.diff_card(tables.Diff("web", changes))
    assert card.html.count("+ /f") == 200
    assert "… and 100 more" in card.html
    assert "… and 100 more" in card.text


def test_a_high_stack_shows_both_ends() -> None:
    card = cards.image_card(image(*((f"RUN {number}", 1) for number in range(127))), "x")
    assert "RUN 0" in card.text
    assert "RUN 126" in card.text
    assert "… 111 more layers …" in card.text
