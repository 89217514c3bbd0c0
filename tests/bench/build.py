"""Rows: a Dockerfile of ten steps, all cached and all executed, beside buildah and podman."""

from contextlib import ExitStack
from pathlib import Path

from tests.bench.place import Unavailable
from tests.bench.record import Bound
from tests.bench.row import Row, Side, Sides, attempt
from tests.bench.world import World, elapsed, load, version

STEPS = """\
ENV LESSON=1
WORKDIR /srv
COPY one.txt two.txt ./
RUN echo 1 > a
RUN echo 2 > b
RUN echo 3 > c
COPY data data
RUN cat data/file > d
LABEL lesson=1
CMD ["/bin/true"]
"""
NAME = "localhost/sandcell-bench:ten"


def dockerfile(world: World) -> str:
    """Ten steps on the measured image."""
    return f"FROM {world.image}\n{STEPS}"


def context(world: World) -> str:
    """The build's files: two small ones and a directory with one of a megabyte. Made once."""
    folder = Path(world.disk, "context")
    if not folder.exists():
        (folder / "data").mkdir(parents=True)
        (folder / "one.txt").write_text("one\n")
        (folder / "two.txt").write_text("two\n")
        (folder / "data/file").write_bytes(bytes(1 << 20))
        (folder / "Dockerfile").write_text(dockerfile(world))
    return str(folder)


def ours(world: World, *, cached: bool) -> Side:
    """``engine.build`` in a process that has built before."""
    from sandcell.runtime.events import Event, StepFinished

    engine, folder, text = world.engine, context(world), dockerfile(world)
    engine.build(text, name=NAME, context=folder)
    executed: list[str] = []

    def notice(event: Event) -> None:
        if isinstance(event, StepFinished) and not event.cached:
            executed.append(str(event.number))

    def sample() -> float:
        executed.clear()
        with elapsed() as took:
            engine.build(text, name=NAME, context=folder, no_cache=not cached, on_event=notice)
        if cached and executed:
            raise RuntimeError(f"steps {', '.join(executed)} were not cached")
        return took.milliseconds

    return Side(f"engine.build, 10 steps, {_state(cached)}", sample)


def our_command(world: World) -> Side:
    """``sandcell build``, all steps cached."""
    argv = world.sandcell("build", "--tag", NAME, context(world))
    return Side("sandcell build, a new process, 10 steps cached", lambda: world.host.lap(*argv).run)


def theirs(world: World, program: str, *, cached: bool, bound: Bound | None = None) -> Side:
    """``buildah build`` or ``podman build`` of the same Dockerfile. Raises Unavailable."""
    where = world.newest
    load(world, where)
    name = version(where, program)
    cache = "--layers" if cached else "--no-cache"
    argv = (where.find(program), "build", cache, "--network", "none", "--tag", NAME, context(world))
    if cached:
        where.lap(*argv)
        if where.lap(*argv, output=True).output.count("Using cache") < STEPS.count("\n"):
            raise Unavailable(f"{name} does not find its own steps in its cache")
    return Side(f"{name} build {cache}, {_state(cached)}", lambda: where.lap(*argv).run, name, bound)


def _state(cached: bool) -> str:
    return "all cached" if cached else "all executed"


def against_buildah(world: World, stack: ExitStack) -> Sides:
    """A rebuild that finds every step in the cache."""
    peers = [
        attempt("buildah", theirs, world, "buildah", cached=True, bound=Bound("ratio", 0.05)),
        attempt("podman", theirs, world, "podman", cached=True),
    ]
    return Sides(ours(world, cached=True), peers)


def command_against_buildah(world: World, stack: ExitStack) -> Sides:
    """The same by our command line, as buildah does it."""
    peer = attempt("buildah", theirs, world, "buildah", cached=True)
    return Sides(our_command(world), [peer])


def cold(world: World, stack: ExitStack) -> Sides:
    """Every step executed; the base image is there."""
    peers = [
        attempt("buildah", theirs, world, "buildah", cached=False, bound=Bound("ratio", 0.3)),
        attempt("podman", theirs, world, "podman", cached=False),
    ]
    return Sides(ours(world, cached=False), peers)


ROWS = (
    Row("build.cached", against_buildah, rounds=10),
    Row("build.command", command_against_buildah, rounds=6, gaps=(0.0,)),
    Row("build.cold", cold, rounds=3, gaps=(0.0,)),
)
