"""Rows: what one event costs the inspector with a hundred containers and fifty images."""

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


ROWS = (
    Row("inspector.look", looking, gaps=(0.0,)),
    Row("inspector.draw", drawing, gaps=(0.0,)),
)
