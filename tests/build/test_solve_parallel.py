"""Stages side by side, and builders who come to the same step at the same time."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sandcell.runtime.build.runner import OnOutput, Step, never
from sandcell.runtime.errors import BuildFailed
from sandcell.runtime.events import BuildStarted, StepFinished, StepStarted
from tests.build.world import Pretend, World

TWO = """
FROM base AS one
RUN write /one 1
FROM base AS two
RUN write /two 2
FROM base AS unused
RUN fail 1
FROM base
COPY --from=one /one /one
COPY --from=two /two /two
"""


class Together(Pretend):
    """A runner whose commands end only when ``count`` of them run at once."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.barrier = threading.Barrier(count, timeout=20)

    def __call__(self, step: Step, on_output: OnOutput, stopped: Callable[[], bool] = never) -> int:
        self.barrier.wait()
        return super().__call__(step, on_output, stopped)


def test_independent_stages_run_at_the_same_time(world: World) -> None:
    world.runner = Together(2)
    image = world.build(TWO)
    assert dict(world.files(image).contents(["one", "two"])) == {"one": b"1", "two": b"2"}
    assert len(world.runner.steps) == 2
    first = world.events[0]
    assert isinstance(first, BuildStarted)
    assert first.stages == ("one", "one", "two", "two", "3", "3", "3")


def test_side_by_side_or_not_the_image_is_the_same(world: World) -> None:
    arguments = {"SOURCE_DATE_EPOCH": "1000000000"}
    image = world.build(TWO, build_args=arguments)
    for _ in range(3):
        assert world.build(TWO, build_args=arguments, no_cache=True).digest == image.digest
    assert world.build(TWO, build_args=arguments).digest == image.digest
    assert world.cached() == "hhhhhh"


def test_events_come_from_the_thread_that_builds(world: World) -> None:
    threads = set()
    world.build(TWO, on_event=lambda event: threads.add(threading.get_ident()))
    assert threads == {threading.get_ident()}


def test_a_step_begins_when_what_it_needs_is_done(world: World) -> None:
    world.build(TWO)
    told = [event for event in world.events if isinstance(event, StepStarted | StepFinished)]
    places = {(type(event), event.number): place for place, event in enumerate(told)}
    assert places[StepStarted, 6] > places[StepFinished, 2]
    assert places[StepStarted, 7] > places[StepFinished, 4]


class Stuck(Pretend):
    """``hang`` ends only when it is told to stop."""

    def __call__(self, step: Step, on_output: OnOutput, stopped: Callable[[], bool] = never) -> int:
        if step.argv[-1] != "hang":
            return super().__call__(step, on_output, stopped)
        self.steps.append(step)
        deadline = time.monotonic() + 20
        while not stopped() and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        return 137


@pytest.mark.parametrize("verb", ["fail 3", "vanish"])
def test_a_failed_stage_stops_the_others(verb: str, world: World) -> None:
    world.runner = Stuck()
    with pytest.raises(BuildFailed) as caught:
        world.build(
            f"FROM base AS a\nRUN hang\nFROM base AS b\nRUN {verb}\n"
            "FROM base\nCOPY --from=a / /\nCOPY --from=b / /"
        )
    assert caught.value.lines == (4, 4)
    assert not [one.name for one in threading.enumerate() if one.name.startswith("stage ")]


def test_interrupting_stops_every_stage(world: World) -> None:
    world.runner = Stuck()

    def interrupt(event: object) -> None:
        if isinstance(event, StepStarted) and event.text == "RUN hang":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        world.build(
            "FROM base AS a\nRUN hang\nFROM base AS b\nRUN hang\nFROM a\nCOPY --from=b / /",
            on_event=interrupt,
        )
    assert not [one.name for one in threading.enumerate() if one.name.startswith("stage ")]


class Slow(Pretend):
    """Lets others come to the same step before it ends."""

    def __init__(self, others: threading.Barrier) -> None:
        super().__init__()
        self.others = others

    def __call__(self, step: Step, on_output: OnOutput, stopped: Callable[[], bool] = never) -> int:
        threading.Event().wait(0.3)
        return super().__call__(step, on_output, stopped)


def test_builders_at_the_same_time_do_a_step_once(world: World) -> None:
    start = threading.Barrier(3, timeout=20)
    world.runner = runner = Slow(start)
    digests = []

    def one() -> None:
        start.wait()
        from sandcell.runtime.build.build import build

        text = "FROM base\nRUN write /one 1\nRUN write /two 2"
        solved = build(text, store=world.store, find_image=world.find, run_step=runner)
        digests.append(solved.image.digest)

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(runner.steps) == 2
    assert len(set(digests)) == 1


def test_two_equal_stages_are_done_once(world: World) -> None:
    world.build(
        "FROM base AS a\nRUN write /x 1\nFROM base AS b\nRUN write /x 1\n"
        "FROM base\nCOPY --from=a /x /a\nCOPY --from=b /x /b"
    )
    assert len(world.runner.steps) == 1


def test_only_the_stages_that_are_named_are_done_again(world: World) -> None:
    from sandcell.runtime.build.options import BuildOptions

    world.build(TWO)
    for names in (("two",), ("1",)):
        world.build(TWO, options=BuildOptions(fresh_stages=names))
        # What it makes is the same again, so what is copied of it is too.
        assert world.cached()[:3] == "hhM", names
        assert len(world.runner.steps) == 1


def test_a_deep_chain_of_stages(world: World) -> None:
    stages = [f"FROM {'base' if not n else f's{n - 1}'} AS s{n}\nENV N{n}={n}" for n in range(60)]
    image = world.build("\n".join(stages))
    assert image.config.config.environment["N59"] == "59"


def test_a_lock_is_no_file_for_every_step(world: World) -> None:
    world.build("\n".join(f"RUN write /f{n} {n}" for n in range(40)))
    locks = [path.name for path in Path(world.store.home, "locks").iterdir()]
    assert len({name for name in locks if name.startswith("step-")}) <= 40
    assert all(len(name) == len("step-") + 3 for name in locks if name.startswith("step-"))


KILLED = """
import os, signal, sys
from pathlib import Path
from sandcell.runtime.build.build import build
from sandcell.runtime.store import Store
from tests.build.world import Pretend

class Killed(Pretend):
    def __call__(self, step, on_output, stopped=None):
        Path(step.upper, "half").write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)

store = Store(sys.argv[1])
text = "FROM base AS other\\nRUN write /two 2\\nFROM base\\nRUN write /one 1\\nCOPY --from=other /two /"
build(text, store=store, find_image=store.image, run_step=Killed(), name="killed")
"""


def test_a_builder_that_is_killed_leaves_nothing_and_stops_nobody(world: World) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, world.store.home], cwd=Path(__file__).parents[2], capture_output=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    scratch = Path(world.store.home, "scratch")
    assert any(scratch.iterdir())
    image = world.build("RUN write /two 2\nRUN write /one 1")
    assert not any(scratch.iterdir())
    assert "half" not in world.files(image).tree.entries
    assert "killed:latest" not in world.store.names.all()
    world.store.prune()
    assert not any(Path(world.store.home, "tmp").iterdir())


def test_builds_and_a_prune_at_once(world: World) -> None:
    """Nothing that a build in progress needs is taken away, and no image is damaged."""
    from sandcell.runtime.build.build import build

    stop = threading.Event()
    failures: list[BaseException] = []

    def prune() -> None:
        while not stop.is_set():
            world.store.prune(cache=True)

    def builder(who: str) -> None:
        try:
            for number in range(6):
                text = (
                    f"FROM base AS a\nRUN write /a {who}{number}\nRUN write /c same\n"
                    f"FROM base\nCOPY --from=a /a /a\nRUN write /{who} {number}"
                )
                solved = build(
                    text, store=world.store, find_image=world.find, run_step=Pretend(), name=f"{who}:{number}"
                )
                files = dict(world.files(solved.image).contents(["a", who]))
                assert files == {"a": f"{who}{number}".encode(), who: str(number).encode()}
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=builder, args=(who,)) for who in ("x", "y")]
    pruner = threading.Thread(target=prune)
    for thread in (*threads, pruner):
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    pruner.join()
    assert failures == []
    for name in world.store.names.all():
        for layer in world.store.image(name).layers:
            world.store.blobs.verify(layer.descriptor.digest)
