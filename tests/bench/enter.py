"""Rows: /bin/true in a container that runs already, beside crun exec and podman exec."""

from contextlib import ExitStack

from tests.bench.bundle import Bundle
from tests.bench.row import Row, Side, Sides, attempt
from tests.bench.start import COMMAND, recipe
from tests.bench.world import World, elapsed, load, version

SLEEP = ("/bin/sleep", "3600")


def against_all(world: World, stack: ExitStack) -> Sides:
    """Start to exit of the entered process."""
    engine = world.engine
    container = engine.start(engine.create(world.image, SLEEP, world.options))
    stack.callback(engine.remove, container, force=True)

    def sample() -> float:
        with elapsed() as took:
            status = engine.exec(container, COMMAND).status
        if status != 0:
            raise RuntimeError(f"our exec exited with {status}")
        return took.milliseconds

    def crun() -> Side:
        bundle = Bundle(world, world.newest, "crun", recipe(world, SLEEP))
        name = version(world.newest, "crun")
        bundle.stand()
        running = bundle.start()
        stack.callback(bundle.delete, running)
        return Side(f"{name} exec", lambda: bundle.enter(running, *COMMAND).run, name)

    def podman() -> Side:
        place = world.newest
        program, name = load(world, place), version(place, "podman")
        argv = (program, "run", "-d", "--network", "none", world.image, *SLEEP)
        made = place.lap(*argv, output=True).output.split()[-1]
        stack.callback(place.lap, program, "rm", "--force", "--time", "0", made)
        return Side(f"{name} exec", lambda: place.lap(program, "exec", made, *COMMAND).run, name)

    return Sides(Side("engine.exec", sample), [attempt("crun", crun), attempt("podman", podman)])


ROWS = (Row("exec", against_all, rounds=20),)
