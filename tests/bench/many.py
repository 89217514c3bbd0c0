"""Rows: fifty containers that sleep, in time and memory, and eight that are started at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from tests.bench.bundle import Bundle
from tests.bench.enter import SLEEP
from tests.bench.record import Bound
from tests.bench.row import Row, Side, Sides, attempt
from tests.bench.start import COMMAND, recipe
from tests.bench.world import World, elapsed, load, version

FIFTY = 50
IN_FLIGHT = 8
EACH = 4  # starts of every one in flight


def sleeping(world: World, stack: ExitStack) -> Sides:
    """From the first call to the fiftieth container that runs. They are removed, not measured."""
    engine = world.engine

    def ours() -> float:
        with elapsed() as took:
            made = [
                engine.start(engine.create(world.image, SLEEP, world.options, starts=True))
                for _ in range(FIFTY)
            ]
        for container in made:
            engine.remove(container, force=True)
        return took.milliseconds

    def podman() -> Side:
        place = world.newest
        program, name = load(world, place), version(place, "podman")
        argv = (program, "run", "-d", "--network", "none", world.image, *SLEEP)

        def sample() -> float:
            took = sum(place.lap(*argv).run for _ in range(FIFTY))
            place.lap(program, "rm", "--all", "--force", "--time", "0")
            return took

        return Side(f"{FIFTY} × {name} run -d", sample, name, Bound("ratio", 0.15))

    def crun() -> Side:
        name = version(world.newest, "crun")
        bundle = Bundle(world, world.newest, "crun", recipe(world, SLEEP))
        bundle.stand()

        def sample() -> float:
            with elapsed() as took:
                made = [bundle.start() for _ in range(FIFTY)]
            for one in made:
                bundle.delete(one)
            return took.milliseconds

        return Side(f"{FIFTY} × {name} run --detach, on one overlay that stands", sample, name)

    what = f"{FIFTY} × engine.start"
    return Sides(Side(what, ours), [attempt("podman", podman), attempt("crun", crun)])


def memory(world: World, stack: ExitStack) -> Sides:
    """Proportional memory of what watches one sleeping container, its own process left out."""
    engine = world.engine

    def ours() -> float:
        made = [
            engine.start(engine.create(world.image, SLEEP, world.options, starts=True)) for _ in range(FIFTY)
        ]
        watching = [_parent(made_one.pid) for made_one in made if made_one.pid]
        total = sum(map(_pss, watching))
        for container in made:
            engine.remove(container, force=True)
        return total / FIFTY

    def podman() -> Side:
        place = world.newest
        program, name = load(world, place), version(place, "podman")
        argv = (program, "run", "-d", "--network", "none", world.image, *SLEEP)

        def sample() -> float:
            for _ in range(FIFTY):
                place.lap(*argv)
            said = place.lap(program, "ps", "--format", "{{.Pid}}", output=True).output
            total = sum(_pss(_parent(int(line))) for line in said.splitlines() if line.isdigit())
            place.lap(program, "rm", "--all", "--force", "--time", "0")
            return total / FIFTY

        return Side("conmon", sample, f"conmon of {name}")

    return Sides(Side("the monitor", ours), [attempt("podman", podman)], Bound("ours", 2.0))


def _parent(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("PPid:"))


def _pss(pid: int) -> float:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) / 1024


def in_flight(world: World, stack: ExitStack) -> Sides:
    """Milliseconds for each of many starts of /bin/true when eight clients at once want them."""
    pool = stack.enter_context(ThreadPoolExecutor(IN_FLIGHT))
    engine = world.engine

    def side(start: Callable[[int], object]) -> Callable[[], float]:
        def one(number: int) -> None:
            for _ in range(EACH):
                start(number)

        def sample() -> float:
            with elapsed() as took:
                list(pool.map(one, range(IN_FLIGHT)))
            return took.milliseconds / (IN_FLIGHT * EACH)

        return sample

    def crun() -> Side:
        name = version(world.newest, "crun")
        places = [stack.enter_context(world.newest_once_more()) for _ in range(IN_FLIGHT)]
        bundles = [Bundle(world, place, "crun", recipe(world)) for place in places]
        what = f"{name}: overlay mount + run + unmount"
        return Side(what, side(lambda number: bundles[number].run()), name, Bound("ratio", 0.667))

    ours = side(lambda _: engine.run(world.image, COMMAND, world.options))
    return Sides(Side(f"engine.run, {IN_FLIGHT} in flight", ours), [attempt("crun", crun)])


ROWS = (
    Row("many.in_flight", in_flight, rounds=6, gaps=(0.0,)),
    Row("many.sleeping", sleeping, rounds=3, gaps=(0.0,)),
    Row("many.memory", memory, rounds=1, unit="MB", gaps=(0.0,)),
)
