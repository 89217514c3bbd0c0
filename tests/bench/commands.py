"""Rows: our command line as a new process, beside podman's."""

from contextlib import ExitStack

from tests.bench.record import Bound
from tests.bench.row import Row, Side, Sides, attempt
from tests.bench.world import World, load, version

CONTAINERS = 3


def listing(world: World, stack: ExitStack) -> Sides:
    """``ps --all`` with a few exited containers."""
    for _ in range(CONTAINERS):
        made = world.engine.run(world.image, ("/bin/true",)).container
        stack.callback(world.engine.remove, made, force=True)
    argv = world.sandcell("ps", "--all")

    def theirs() -> Side:
        place = world.newest
        podman, name = load(world, place), version(place, "podman")
        for _ in range(CONTAINERS):
            place.lap(podman, "create", "--network", "none", world.image, "/bin/true")
        stack.callback(place.lap, podman, "rm", "--all", "--force")
        return Side(f"{name} ps --all", lambda: place.lap(podman, "ps", "--all").run, name)

    ours = Side(f"sandcell ps --all, {CONTAINERS} containers", lambda: world.host.lap(*argv).run)
    return Sides(ours, [attempt("podman", theirs)], Bound("ours", 100))


def running(world: World, stack: ExitStack) -> Sides:
    """``run --rm`` of /bin/true, process start included."""
    argv = world.sandcell("run", "--rm", "--network", "none", world.image, "/bin/true")

    def theirs() -> Side:
        place = world.newest
        podman, name = load(world, place), version(place, "podman")
        them = (podman, "run", "--rm", "--network", "none", world.image, "/bin/true")
        return Side(f"{name} run --rm", lambda: place.lap(*them).run, name)

    return Sides(Side("sandcell run --rm", lambda: world.host.lap(*argv).run), [attempt("podman", theirs)])


ROWS = (
    Row("command.ps", listing, rounds=12),
    Row("command.run", running, rounds=8),
)
