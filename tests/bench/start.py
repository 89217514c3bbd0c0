"""Rows: start to exit of /bin/true in a container, beside crun, runc, podman, bubblewrap and a process."""

from contextlib import ExitStack
from typing import Any

import msgspec

from tests.bench.bundle import Bundle, Recipe, dated
from tests.bench.place import Place, Unavailable
from tests.bench.record import Bound
from tests.bench.row import Row, Side, Sides, attempt
from tests.bench.world import World, elapsed, load, version

COMMAND = ("/bin/true",)
TRAIN = 20


def recipe(world: World, command: tuple[str, ...] = COMMAND) -> Recipe:
    """What our engine would do for the measured container: the words of the runtime spec, and the very
    directories that it stacks."""
    from sandcell.runtime.container.steps import MountOverlay
    from sandcell.runtime.oci.decode import encode

    plan = world.engine.explain(world.image, command, world.options)
    config: dict[str, Any] = msgspec.json.decode(encode(plan.spec))
    steps: Any = plan.steps
    (mount,) = (step for step in steps.inside if isinstance(step, MountOverlay))
    return Recipe(config, mount.lowers)


def ours(world: World) -> Side:
    """The measured container through the engine: from the call to the collected exit status."""
    engine, image = world.engine, world.image

    def sample() -> float:
        with elapsed() as took:
            status = engine.run(image, COMMAND, world.options).status
        if status != 0:
            raise RuntimeError(f"our container exited with {status}")
        return took.milliseconds

    return Side("engine.run with everything on", sample)


def runtime(bundle: Bundle, name: str) -> Side:
    """An OCI runtime with our config.json on our layers, mounted for it."""
    return Side("overlay mount + run + unmount", lambda: bundle.run().total, name, Bound("ratio", 1.0))


def newest_crun(world: World) -> Side:
    """Raises Unavailable."""
    bundle = Bundle(world, world.newest, "crun", recipe(world))
    return runtime(bundle, version(world.newest, "crun"))


def standing_crun(world: World) -> Side:
    """crun without the mounting: its overlay stands, and is used by all samples. Raises Unavailable."""
    bundle = Bundle(world, world.newest, "crun", recipe(world))
    bundle.stand()
    name = f"{version(world.newest, 'crun')} alone"
    return Side("run; the overlay was mounted before", lambda: bundle.run_standing().run, name)


def installed(world: World, program: str) -> Side:
    """Raises Unavailable."""
    config, lowers = recipe(world)
    bundle = Bundle(world, world.installed, program, Recipe(dated(config), lowers))
    return runtime(bundle, version(world.installed, program))


def against_crun(world: World, stack: ExitStack) -> Sides:
    """The newest crun, with the overlay mounted for it, and alone."""
    return Sides(
        ours(world), [attempt("crun", newest_crun, world), attempt("crun alone", standing_crun, world)]
    )


def against_installed(world: World, stack: ExitStack) -> Sides:
    """The OCI runtimes that this machine's own release has."""
    peers = [attempt(f"installed {name}", installed, world, name) for name in ("crun", "runc")]
    return Sides(ours(world), peers)


def podman_side(world: World, place: Place) -> Side:
    """``podman run`` of the same image. Raises Unavailable."""
    podman, name = load(world, place), version(place, "podman")
    argv = (podman, "run", "--rm", "--network", "none", world.image, *COMMAND)
    what = f"{name} run --rm --network none"
    return Side(what, lambda: place.lap(*argv).run, name, Bound("ratio", 0.12))


def against_podman(world: World, stack: ExitStack) -> Sides:
    """podman, the newest and the installed one."""
    peers = [
        attempt("podman", lambda: podman_side(world, world.newest)),
        attempt("installed podman", lambda: podman_side(world, world.installed)),
    ]
    return Sides(ours(world), peers)


def bridged(world: World) -> Side:
    """The measured container on a bridge, with a published port."""
    engine, image = world.engine, world.image
    options = msgspec.structs.replace(world.options, network="bridge", publish=("80",))

    def sample() -> float:
        with elapsed() as took:
            status = engine.run(image, COMMAND, options).status
        if status != 0:
            raise RuntimeError(f"our container exited with {status}")
        return took.milliseconds

    return Side("engine.run --network bridge -p 80", sample)


def podman_bridged(world: World, place: Place) -> Side:
    """``podman run`` with its bridge and a published port. Raises Unavailable."""
    podman, name = load(world, place), version(place, "podman")
    argv = (podman, "run", "--rm", "--network", "bridge", "-p", "127.0.0.1::80", world.image, *COMMAND)
    return Side(f"{name} run --rm -p", lambda: place.lap(*argv).run, name, Bound("ratio", 0.08))


def on_a_bridge(world: World, stack: ExitStack) -> Sides:
    """Beside podman's networks, the newest and the installed one."""
    peers = [
        attempt("podman", lambda: podman_bridged(world, world.newest)),
        attempt("installed podman", lambda: podman_bridged(world, world.installed)),
    ]
    return Sides(bridged(world), peers)


def bubblewrap(world: World, place: Place) -> Side:
    """bwrap on a writable overlay of the same layers. Raises Unavailable."""
    program, name = place.find("bwrap"), version(place, "bwrap")
    if "--overlay-src" not in place.lap(program, "--help", output=True).output:
        raise Unavailable(f"{name} knows no overlay")
    layers = [word for lower in recipe(world).lowers for word in ("--overlay-src", lower)]
    # A tmpfs as writable layer: bwrap's overlay is not volatile, and would write others' pages out.
    argv = (
        program,
        "--unshare-all",
        *layers,
        "--tmp-overlay",
        "/",
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        *COMMAND,
    )
    what = f"{name}: overlay, namespaces, /proc, /dev; no cgroup, no seccomp"
    return Side(what, lambda: place.lap(*argv).run, name)


def process(world: World) -> Side:
    """What no container costs: posix_spawn to exit."""
    return Side("posix_spawn of /bin/true", lambda: world.host.lap(*COMMAND).run, "process")


def against_less(world: World, stack: ExitStack) -> Sides:
    """Things that isolate less, or not at all."""
    return Sides(ours(world), [attempt("bwrap", lambda: bubblewrap(world, world.newest)), process(world)])


def train(world: World, stack: ExitStack) -> Sides:
    """Many in a row: whatever a runtime leaves for after its answer is paid by the next start."""
    mine = ours(world)

    def sample() -> float:
        with elapsed() as took:
            for _ in range(TRAIN):
                mine.sample()
        return took.milliseconds / TRAIN

    def theirs() -> Side:
        side = newest_crun(world)
        return Side(
            f"{TRAIN} in a row, each: {side.what}",
            lambda: sum(side.sample() for _ in range(TRAIN)) / TRAIN,
            side.peer,
        )

    return Sides(Side(f"{TRAIN} in a row, each: {mine.what}", sample), [attempt("crun", theirs)])


ROWS = (
    Row("start.train", train, rounds=5, gaps=(0.0,)),
    Row("start.crun", against_crun, rounds=40),
    Row("start.installed", against_installed, rounds=20),
    Row("start.podman", against_podman, rounds=12),
    Row("start.bridge", on_a_bridge, rounds=12),
    Row("start.less", against_less, rounds=40),
)
