"""A notebook full of hostile names and output, live and exported; a card's link to a container's page."""

import json
from collections.abc import Iterator
from typing import Any

import nbconvert
import nbformat
import pytest

from sandcell import Engine, Options
from tests.jupyter_lab import Lab, complaints, press, run_all, until
from tests.server.web_server import PORT, PROGRAM, listens

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.notebook, pytest.mark.kernel,
              pytest.mark.timeout(240)]  # fmt: skip

SCRIPT = "<img src=x onerror=window.hacked=1><script>window.hacked=1</script>"
NAME = "<img src=x onerror=window.hacked=1>\"'&.ipynb"
# As a terminal takes it: colours, the window's title, a link, the clipboard, a sequence that never ends.
OUTPUT = (
    r"\033[31mred\033[0m \033]0;owned\007 \033]8;;javascript:window.hacked=1\007link\033]8;;\007"
    r" \033]52;c;b3duZWQ=\007 \033[1;5H \233 \033]2;never"
)
IMAGE = f"""%%image hostile
FROM host
LABEL x="{SCRIPT}" y="</pre></code>{SCRIPT}"
ENV A="{SCRIPT}"
RUN printf '%s\\n' '{SCRIPT}' '{OUTPUT}'; mkdir '/{SCRIPT.replace("/", "")}'; echo '{SCRIPT}' > /index.html
"""
CELL = f"""%%container hostile --name hostile
printf '%s\\n' '{SCRIPT}'
printf '{OUTPUT}\\n'
printf '{OUTPUT}{SCRIPT}\\n' >&2
echo '<svg xmlns="http://www.w3.org/2000/svg" onload="window.hacked=1"/>' > '/{SCRIPT.replace("/", "")}.svg'
"""
LOOKS = (
    "%container ls --all", "%container diff hostile", "%container inspect hostile", "%container logs hostile",
    "%image history hostile", "%image files hostile --layer 2", "%image inspect hostile",
    "from sandcell import Engine\nengine = Engine()\nengine.container('hostile')", "engine.image('hostile')",
)  # fmt: skip

# What of an output could act: elements that load or run something, and links that are none of the web's.
ACTIVE = """() => {
  const acts = "script, iframe, object, embed, [onerror], [onload], [onclick], img:not([src^=data])";
  return [...document.querySelectorAll(".jp-OutputArea-output *")]
    .filter((one) => one.matches(acts) || String(one.href ?? "").startsWith("javascript:"))
    .map((one) => one.outerHTML);
}"""


@pytest.fixture
def engine(lab: Lab) -> Iterator[Engine]:
    with Engine(lab.home, lab.run) as engine:
        yield engine
        for one in engine.containers(all=True):
            engine.remove(one, force=True)


def test_names_and_output_stay_text(lab: Lab, engine: Engine, page: Any) -> None:
    told = complaints(page)
    lab.write(NAME, "%load_ext sandcell", IMAGE, CELL, *LOOKS, "print('all ' + 'done')")
    page.set_viewport_size({"width": 1000, "height": 9000})  # what is not seen is not drawn
    page.goto(lab.base + "/lab/tree/" + page.evaluate("encodeURIComponent", NAME) + "?token=t&reset")
    run_all(page, lab)
    page.wait_for_selector(".jp-OutputArea-output:has-text('all done')", timeout=90_000)
    text = page.inner_text(".jp-Notebook")
    assert "red" in text
    assert "never" in text
    assert text.count("<script>") > 12, "the cards show what is there"
    assert page.evaluate(ACTIVE) == []
    assert page.evaluate("window.hacked") is None
    assert "owned" not in page.title()

    press(page, "File", "Save Notebook")
    place = lab.folder / NAME
    until(lambda: "all done" in place.read_text(), True, "the saved notebook")
    outputs = [out for cell in json.loads(place.read_text())["cells"] for out in cell["outputs"]]
    assert "error" not in {out["output_type"] for out in outputs}
    exported, _ = nbconvert.HTMLExporter().from_notebook_node(nbformat.read(place, 4))
    assert told == []
    page.set_content(exported, wait_until="domcontentloaded")
    assert "never" in page.inner_text("body")
    assert page.evaluate(ACTIVE) == []
    assert page.evaluate("window.hacked") is None
    engine.remove_image("hostile", force=True)


def test_the_link_of_a_card_leads_to_the_containers_page(lab: Lab, engine: Engine, page: Any) -> None:
    engine.build(f"FROM host\nEXPOSE {PORT}\n", name="web")
    engine.start(engine.create("web", ("python3", "-c", PROGRAM), Options(name="served")))
    until(lambda: listens(engine, "served"), True, "its server")
    card = "from sandcell import Engine\nwith Engine() as engine: card = engine.container('served')\ncard"
    page.goto(lab.write("link.ipynb", "%load_ext sandcell\n%container ls", card))
    run_all(page, lab)
    with page.expect_popup(timeout=60_000) as opened:
        page.click(f"a:has-text('port {PORT}')", timeout=60_000)
    shown = opened.value
    shown.wait_for_function("Object.keys(JSON.parse(document.title || '{}')).length >= 7", timeout=60_000)
    found = json.loads(shown.title())
    assert (found["data"], found["socket"]) == ("data", "hello")
    assert {found[key] for key in ("cookie", "storage", "api", "contents")} == {"refused"}
    assert page.context.cookies(), "there are some that could have been passed on"

    def passed(headers: dict[str, str]) -> set[str]:
        return {name.lower() for name in headers} & {"cookie", "authorization", "referer", "x-xsrftoken"}

    # What the server in the container was sent: by a page's script, by a socket, and with an address.
    _, headers = shown.evaluate("fetch('look').then((answer) => answer.json())")
    assert passed(headers) == set()
    head, echo = shown.evaluate("""() => new Promise((done) => {
        const heard = [], socket = new WebSocket(location.href.replace("http", "ws") + "socket");
        socket.onmessage = ({ data }) => {
            heard.push(data);
            if (data === "hello") socket.send("abc");
            if (heard.length === 3) done([JSON.parse(heard[0]), heard[2]]);
        };
    })""")
    assert passed(head) == set()
    assert echo == "cba"
    shown.goto(f"{lab.base}/sandcell/port/served/{PORT}/look?a=b&token=t")
    path, headers = json.loads(shown.inner_text("body"))
    assert path == "/look?a=b"
    assert passed(headers) == set()
    engine.remove("served", force=True)
    engine.remove_image("web")
