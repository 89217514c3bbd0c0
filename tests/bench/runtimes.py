"""Rows: ``sandcell-oci`` as a podman or a containerd calls it, beside runc and crun on the same bundle."""

import shutil
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.bench.bundle import Bundle, Recipe, dated
from tests.bench.place import Place
from tests.bench.record import Bound
from tests.bench.row import Absent, Row, Side, Sides, attempt
from tests.bench.start import recipe
from tests.bench.world import World, version

Measure = Callable[[Bundle], Callable[[], float]]


def ours(world: World, what: str, measure: Measure) -> Side:
    """Our console script, as it is installed beside this interpreter."""
    beside = str(Path(sys.executable).parent / "sandcell-oci")
    program = beside if Path(beside).exists() else shutil.which("sandcell-oci") or beside
    return Side(what, measure(stood(Bundle(world, world.installed, program, recipe(world)))))


def stood(bundle: Bundle) -> Bundle:
    """The bundle with its root mounted: who drives a runtime has done that before."""
    bundle.stand()
    return bundle


def theirs(world: World, place: Place, program: str, measure: Measure, bound: Bound | None) -> Side | Absent:
    """A peer of ``place`` on a bundle of its own; one of this machine's release gets an older document."""

    def side() -> Side:
        config, lowers = recipe(world)
        document = dated(config) if place is world.installed or program == "runc" else config
        bundle = stood(Bundle(world, place, program, Recipe(document, lowers)))
        name = version(place, program)
        return Side(name, measure(bundle), name, bound)

    return attempt(f"{'installed ' if place is world.installed else ''}{program}", side)


def lifecycle(world: World, stack: ExitStack) -> Sides:
    """create, start and delete of /bin/true: three processes of the runtime."""

    def measure(bundle: Bundle) -> Callable[[], float]:
        return bundle.live

    bound = Bound("ratio", 1.5)
    peers = [
        theirs(world, place, program, measure, bound if program == "runc" else None)
        for place in (world.newest, world.installed)
        for program in ("runc", "crun")
    ]
    return Sides(ours(world, "create + start + delete", measure), peers)


def running(world: World, stack: ExitStack) -> Sides:
    """``run`` of /bin/true, start to exit of the runtime."""

    def measure(bundle: Bundle) -> Callable[[], float]:
        return lambda: bundle.run_standing().run

    peers = [theirs(world, world.newest, program, measure, None) for program in ("crun", "runc")]
    return Sides(ours(world, "run", measure), peers)


ROWS = (
    Row("oci.lifecycle", lifecycle, rounds=15),
    Row("oci.run", running, rounds=15),
)
