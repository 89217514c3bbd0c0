"""A plan is carried out, step by step, as little of it as possible, independent stages at the same time.

A step's result is known by everything it depends on: the files it starts with (their chain id), and
of its own what matters to it. So a LABEL does not make a RUN below it run again, and a file that was
touched but is the same does not count as changed. What was done before is taken from the cache with
the time it was done at, so a build that changes nothing gives the very same image.
"""

import threading
import time
from collections.abc import Callable, Collection
from queue import SimpleQueue
from typing import TypeAlias

import msgspec

from sandcell.runtime.build.cache_folder import Stopped
from sandcell.runtime.build.carry import Carrier
from sandcell.runtime.build.carry_mounts import Given
from sandcell.runtime.build.ops import Begin, BuildPlan, Execute, Op, Place
from sandcell.runtime.build.runner import FindImage, RunStep
from sandcell.runtime.build.scratch import clear
from sandcell.runtime.build.stage_state import Made, State
from sandcell.runtime.build.step import Imported, Stepper, after
from sandcell.runtime.events import (
    BuildFinished,
    BuildStarted,
    BuildWarning,
    Callback,
    Event,
    StepFinished,
    StepStarted,
)
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.image import Image
from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.store import Store

Annotate: TypeAlias = Callable[[dict[str, Made], tuple[Descriptor, ...]], dict[str, str]]
"""Annotations of the image to be, from what the cache knows of its steps and from its layers."""


class Solved(msgspec.Struct, frozen=True):
    """A finished build: the image, and what the cache knows now of its steps, by key."""

    image: Image
    used: dict[str, Made]


def solve(
    plan: BuildPlan,
    *,
    store: Store,
    find_image: FindImage,
    run_step: RunStep | None,
    name: str | None = None,
    given: Given = Given(),
    no_cache: bool = False,
    fresh_stages: Collection[str] = (),
    epoch: int | None = None,
    imported: Imported = lambda _: None,
    annotate: Annotate = lambda _used, _layers: {},
    on_event: Callback,
) -> Solved:
    """The image that ``plan`` describes, called ``name`` in the store if one is given.

    ``run_step``: ``None`` where this host runs nothing; then a RUN that is not cached fails.
    ``no_cache``: do everything again; ``fresh_stages``: that of these stages (names or numbers).
    ``epoch``: seconds; all times are that or earlier (SOURCE_DATE_EPOCH). ``imported``: another cache.
    ``annotate`` gives annotations of the image's manifest. ``BuildFailed`` for a command that fails,
    ``DockerfileError`` for sources that are not there: both with the lines. Then the name keeps what it
    had, and finished steps stay cached. ``on_event`` is called by this thread only.
    """
    stop = threading.Event()
    asked = given.stopped
    given = msgspec.structs.replace(given, stopped=lambda: stop.is_set() or asked())
    names = {op.stage: op.name for op in plan.ops if isinstance(op, Begin)}
    again = {number for number, one in names.items() if no_cache or {one, str(number)} & set(fresh_stages)}
    carrier = Carrier(store, run_step, given, epoch)
    with store.leases.working():
        if run_step is not None:
            runner = run_step
            clear(store, lambda: runner.worker)
        started = time.time()
        texts = tuple(op.text for op in plan.ops)
        stages = tuple(names[op.stage] or str(op.stage) for op in plan.ops) if len(names) > 1 else ()
        on_event(BuildStarted(time=started, name=name or "", steps=texts, stages=stages))
        for found in plan.findings:
            on_event(BuildWarning(time=started, rule=found.rule, text=found.text, lines=found.lines))
        stepper = Stepper(plan, store, carrier, find_image, given, name or "", again.__contains__, imported)
        state = _Crew(plan, stepper, stop, on_event).work()
        annotations = annotate(stepper.used, state.layers)
        image = store.write_image(state.config, state.layers, annotations=annotations)
        if name:
            store.names.set(Reference.parse(name), image.descriptor)
        now = time.time()
        on_event(BuildFinished(time=now, name=name or "", digest=str(image.digest), duration=now - started))
        return Solved(image, stepper.used)


class _Crew:
    """The stages of a plan, each carried out by a thread of its own where there are several."""

    def __init__(self, plan: BuildPlan, stepper: Stepper, stop: threading.Event, on_event: Callback) -> None:
        self.stepper = stepper
        self.stop = stop
        self.on_event = on_event
        self.total = len(plan.ops)
        self.stages: dict[int, list[tuple[int, Op]]] = {}
        for number, op in enumerate(plan.ops, 1):
            self.stages.setdefault(op.stage, []).append((number, op))
        self.last = plan.ops[-1].stage
        self.done: dict[int, State] = {}
        self.ready = {stage: threading.Event() for stage in self.stages}
        self.queue: SimpleQueue[Event | BaseException | None] = SimpleQueue()

    def work(self) -> State:
        """What the last stage comes to."""
        if len(self.stages) == 1:
            return self.stage(self.last, self.on_event)
        threads = [
            threading.Thread(target=self.apart, args=(stage,), name=f"stage {stage}") for stage in self.stages
        ]
        for thread in threads:
            thread.start()
        failure: BaseException | None = None
        left = len(threads)
        try:
            while left:
                told = self.queue.get()
                if isinstance(told, Event):
                    self.on_event(told)
                    continue
                left -= 1
                if told is not None and not isinstance(told, Stopped):
                    failure = failure or told
        finally:
            # Interrupted, or a listener failed: nobody goes on in the background.
            self.stop.set()
            for thread in threads:
                thread.join()
        if failure is not None:
            raise failure
        return self.done[self.last]

    def apart(self, stage: int) -> None:
        """A stage in a thread of its own; its end is told to the queue."""
        try:
            self.done[stage] = self.stage(stage, self.queue.put)
            self.queue.put(None)
        except BaseException as error:
            self.stop.set()
            self.queue.put(error)
        finally:
            self.ready[stage].set()

    def stage(self, stage: int, on_event: Callback) -> State:
        """Carry out the steps of one stage, one after the other."""
        state: State | None = None
        for number, op in self.stages[stage]:
            if self.stop.is_set():
                raise Stopped
            state = self.step(number, op, state, on_event)
        assert state is not None
        return state

    def step(self, number: int, op: Op, state: State | None, on_event: Callback) -> State:
        for stage in _before(op):
            self.state_of(stage)
        began = time.time()
        on_event(StepStarted(time=began, number=number, total=self.total, text=op.text, lines=op.lines))
        size = None
        if isinstance(op, Begin):
            state, cached = self.stepper.begin(op, self.state_of), True
        else:
            assert state is not None
            made, cached = self.stepper.do(number, op, state, self.state_of, on_event)
            state = after(op, state, made)
            size = made.size if made.layer is not None else None
        now = time.time()
        on_event(StepFinished(time=now, number=number, cached=cached, size=size, duration=now - began))
        return state

    def state_of(self, stage: int) -> State:
        """What another stage has come to; ``Stopped`` where it failed."""
        if stage not in self.done:
            self.ready[stage].wait()
        if stage not in self.done:
            raise Stopped
        return self.done[stage]


def _before(op: Op) -> tuple[int, ...]:
    """The stages that must be done before the step."""
    found: list[int | None] = []
    if isinstance(op, Begin):
        found.append(op.parent)
    elif isinstance(op, Place):
        found.append(op.from_stage)
    elif isinstance(op, Execute):
        found += [one.from_stage for one in op.mounts]
    return tuple(stage for stage in found if stage is not None)
