"""Rows: what one event costs the inspector with a hundred containers and fifty images, how long a press of
Stop takes, and a turn of the wheel over fifty thousand files."""

from contextlib import ExitStack
from typing import Any

from tests.bench.record import Bound
from tests.bench.row import Row, Side, Sides
from tests.bench.world import World, elapsed

CONTAINERS = 100
IMAGES = 50

_DRAW = """patch => {
  const began = performance.now();
  inspector.state.hear(patch);
  inspector.render();
  document.body.offsetHeight;  // the layout too
  return performance.now() - began;
}"""


def _crowd(world: World, stack: ExitStack) -> list[str]:
    """A store with that many of both; the ids of the containers."""
    from sandcell import Options

    for number in range(IMAGES):
        name = f"bench-image-{number}"
        world.engine.build(f"FROM {world.image}\nENV N={number}\n", name=name)
        stack.callback(world.engine.remove_image, name, force=True)
    made = [world.engine.create(world.image, ("/bin/true",), Options()) for _ in range(CONTAINERS)]
    for one in made:
        stack.callback(world.engine.remove, one, force=True)
    return [one.id for one in made]


def looking(world: World, stack: ExitStack) -> Sides:
    """From the news that one container changed to the patch that is sent."""
    from sandcell.magics.inspector.feed import Picture

    ids = _crowd(world, stack)
    picture = Picture(world.engine)
    picture.everything()

    def sample() -> float:
        with elapsed() as took:
            picture.some(ids[:1], names=False)
        return took.milliseconds

    what = f"look at 1 of {CONTAINERS} containers, {IMAGES} images"
    return Sides(Side(what, sample), [], Bound("ours", 5))


def drawing(world: World, stack: ExitStack) -> Sides:
    """From the patch to the page as it is laid out, in a real browser."""
    from sandcell.magics.inspector.feed import Picture
    from sandcell.magics.inspector.widget import bundle, styles
    from tests.jupyter_lab import browsing

    ids = _crowd(world, stack)
    picture = Picture(world.engine)
    picture.everything()
    page: Any = stack.enter_context(browsing()).new_page(viewport={"width": 1250, "height": 1000})
    page.set_content("<main></main>")
    page.add_style_tag(content=styles())
    program = bundle("inspector.js") + "\nwindow.inspector = new Inspector(document.querySelector('main'));"
    page.add_script_tag(content=program)
    page.evaluate("state => { inspector.state.hear({state}); inspector.render(); }", picture.state)
    turns = 0

    def sample() -> float:
        nonlocal turns
        turns += 1
        one = picture.state["containers"][ids[turns % CONTAINERS]]
        changed = {**one, "state": "running" if turns % 2 else "paused", "pid": turns}
        return float(page.evaluate(_DRAW, {"patch": {"containers": {one["id"]: changed}}}))

    what = f"draw a change of 1 of {CONTAINERS} containers, {IMAGES} images"
    return Sides(Side(what, sample), [], Bound("ours", 16))


def stopping(world: World, stack: ExitStack) -> Sides:
    """From the question that the button asks to the news that it has exited, in another thread's ears: what
    a person waits for, without the browser. A cell's process: a shell that does not hear SIGTERM as pid 1."""
    from threading import Event

    from sandcell import Options
    from sandcell.magics.inspector.feed import Feed, Message
    from sandcell.magics.inspector.questions import answer

    feed = Feed(world.engine)
    stack.callback(feed.close)

    def sample(command: tuple[str, ...], patience: float) -> float:
        one = world.engine.start(world.engine.create(world.image, command, Options()))
        ended = Event()

        def hear(message: Message) -> None:
            heard = message.get("patch", {}).get("containers", {}).get(one.id)
            if heard and heard["state"] == "exited":
                ended.set()

        feed.subscribe(hear)
        with elapsed() as took:
            answer(world.engine, "stop", {"id": one.id, "timeout": patience})
            ended.wait(10)
        feed.unsubscribe(hear)
        world.engine.remove(one, force=True)
        return took.milliseconds

    deaf = ("/bin/sh", "-c", "sleep 1000; true")
    hears = ("/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.01; done")
    peer = Side("one that ends on SIGTERM", lambda: sample(hears, 0.25), "hears")
    return Sides(
        Side("Stop of a cell deaf to SIGTERM", lambda: sample(deaf, 0.25)), [peer], Bound("ours", 1000)
    )


_FOLDER = """async () => {
  const total = 50000;
  const sums = { counts: [total, 0, 0], size: total, wasted: 0 };
  const about = { change: "A", kind: "file", mode: 420, size: 1 };
  const file = (number) => ({ path: `d/f${number}`, name: `f${number}`, ...about });
  const folder = { path: "d", name: "d", change: "", kind: "dir", open: true, ...sums };
  const files = (offset, limit) =>
    Array.from({ length: Math.min(limit, total - offset) }, (_, at) => file(offset + at));
  const ask = async ({ path, offset, limit }) =>
    path ? { total, offset, rows: files(offset, limit), ...sums }
      : { total: 1, offset: 0, rows: [folder], ...sums };
  window.tree = new Tree("files", ask, () => {}, () => {});
  document.querySelector("main").append(tree.element);
  tree.element.style.height = "260px";
  await tree.reload();
  await tree.toggle(folder, true);
}"""
_TURN = """async (number) => {
  tree.element.scrollTop = 22 * number;
  const began = performance.now();
  tree.draw();
  document.body.offsetHeight;  // the layout too
  const took = performance.now() - began;
  await new Promise(requestAnimationFrame);  // what is not there yet is asked for meanwhile
  return took;
}"""


def scrolling(world: World, stack: ExitStack) -> Sides:
    """One frame of a tree of fifty thousand files somewhere else than the last one, in a real browser."""
    from sandcell.magics.inspector.widget import bundle, styles
    from tests.jupyter_lab import browsing

    page: Any = stack.enter_context(browsing()).new_page(viewport={"width": 1250, "height": 1000})
    page.set_content('<main class="sc"></main>')
    page.add_style_tag(content=styles())
    page.add_script_tag(content=bundle("tree.js") + "\nwindow.Tree = Tree;")
    page.evaluate(_FOLDER)
    place = 0

    def sample() -> float:
        nonlocal place
        place = (place + 7919) % 49_000
        return float(page.evaluate(_TURN, place))

    return Sides(Side("a frame of a tree of 50,000 files", sample), [], Bound("ours", 16))


ROWS = (
    Row("inspector.look", looking, gaps=(0.0,)),
    Row("inspector.draw", drawing, gaps=(0.0,)),
    Row("inspector.tree", scrolling, gaps=(0.0,)),
    Row("inspector.stop", stopping, rounds=10, gaps=(0.0,)),
)
