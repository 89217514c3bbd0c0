"""A plan is carried out, step by step, as little of it as possible.

A step's result is known by everything it depends on: the files it starts with (their chain id), and
of its own what matters to it. So a LABEL does not make a RUN below it run again, and a file that was
touched but is the same does not count as changed. What was done before is taken from the cache with
the time it was done at, so a build that changes nothing gives the very same image.
"""

import time

import msgspec

from sandcell.runtime.build.carry import Carrier, Work
from sandcell.runtime.build.context import Context, ContextError
from sandcell.runtime.build.evaluate import SCRATCH
from sandcell.runtime.build.ops import Begin, BuildPlan, Configure, Enter, Op, Place
from sandcell.runtime.build.owners import UnknownOwner
from sandcell.runtime.build.placing import PlacingError
from sandcell.runtime.build.runner import FindImage, RunStep
from sandcell.runtime.build.scratch import clear
from sandcell.runtime.build.sources import ContextSources
from sandcell.runtime.build.stage_state import Made, State, from_record, to_record
from sandcell.runtime.errors import BadInput, BuildFailed, Conflict, DockerfileError
from sandcell.runtime.events import (
    BuildFinished,
    BuildStarted,
    Callback,
    StepFinished,
    StepOutput,
    StepStarted,
)
from sandcell.runtime.oci.config import History, ImageConfig, RootFs
from sandcell.runtime.oci.image import Image
from sandcell.runtime.oci.platform import Platform
from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.store import Store

COMMENT = "sandcell"


def solve(
    plan: BuildPlan,
    *,
    store: Store,
    find_image: FindImage,
    run_step: RunStep | None,
    name: str | None = None,
    context: Context | None = None,
    no_cache: bool = False,
    epoch: int | None = None,
    on_event: Callback,
) -> Image:
    """The image that ``plan`` describes, called ``name`` in the store if one is given.

    ``run_step``: ``None`` where this host runs nothing; then a RUN that is not cached fails.
    ``no_cache``: do everything again. ``epoch``: seconds; all times are that or earlier
    (SOURCE_DATE_EPOCH). ``BuildFailed`` for a command that fails, ``DockerfileError`` for sources that
    are not there: both with the lines. Then the name keeps what it had, and finished steps stay cached.
    """
    carrier = Carrier(store, run_step, epoch)
    solver = _Solver(plan, store, carrier, find_image, name or "", context, no_cache, on_event)
    with store.leases.working():
        if run_step is not None:
            clear(store, run_step.worker)
        return solver.solve()


class _Solver:
    def __init__(
        self,
        plan: BuildPlan,
        store: Store,
        carrier: Carrier,
        find_image: FindImage,
        name: str,
        context: Context | None,
        no_cache: bool,
        on_event: Callback,
    ) -> None:
        self.plan = plan
        self.store = store
        self.carrier = carrier
        self.find_image = find_image
        self.name = name
        self.context = context
        self.no_cache = no_cache
        self.on_event = on_event
        self.sources: dict[int, tuple[ContextSources, str]] = {}
        self.stages: dict[int, State] = {}

    def solve(self) -> Image:
        started = time.time()
        texts = tuple(op.text for op in self.plan.ops)
        self.on_event(BuildStarted(time=started, name=self.name, steps=texts))
        self.find_sources()
        state = State(ImageConfig(architecture="", os="", rootfs=RootFs()), ())
        for number, op in enumerate(self.plan.ops, 1):
            state = self.stages[op.stage] = self.step(number, op, state)
        image = self.store.write_image(state.config, state.layers)
        if self.name:
            self.store.names.set(Reference.parse(self.name), image.descriptor)
        now = time.time()
        self.on_event(
            BuildFinished(time=now, name=self.name, digest=str(image.digest), duration=now - started)
        )
        return image

    def find_sources(self) -> None:
        """Look at all of the context's files first: a missing one is told before anything runs."""
        for number, op in enumerate(self.plan.ops, 1):
            if isinstance(op, Place) and op.from_stage is None and not op.from_image:
                try:
                    sources = ContextSources(op, self.context)
                    self.sources[number] = sources, sources.digest()
                except ContextError as error:
                    raise _refused(op, error.cause, error.hint) from None

    def step(self, number: int, op: Op, state: State) -> State:
        began = time.time()
        total = len(self.plan.ops)
        self.on_event(StepStarted(time=began, number=number, total=total, text=op.text, lines=op.lines))
        size = None
        if isinstance(op, Begin):
            state, cached = self.begin(op), True
        else:
            made, cached = self.made(number, op, state)
            state = _after(op, state, made)
            size = made.size if made.layer is not None else None
        now = time.time()
        self.on_event(StepFinished(time=now, number=number, cached=cached, size=size, duration=now - began))
        return state

    def begin(self, op: Begin) -> State:
        if op.parent is not None:
            state = self.stages[op.parent]
        elif op.image:
            image = self.find_image(op.image)
            state = State(image.config, image.manifest.layers)
        else:
            here = Platform.here()
            config = ImageConfig(
                architecture=here.architecture,
                variant=here.variant,
                os=here.os,
                config=SCRATCH,
                rootfs=RootFs(),
            )
            state = State(config, ())
        # Triggers are carried out by this build and not kept for the next.
        return state.with_config(on_build=()) if state.config.config.on_build else state

    def made(self, number: int, op: Op, state: State) -> tuple[Made, bool]:
        """What a step made, and whether it was remembered."""
        try:
            key, do = self.work(number, op, state)
            known = None if self.no_cache else self.remembered(key)
            if known is not None:
                return known, True
            made = do()
        except (ContextError, PlacingError, UnknownOwner) as error:
            raise _refused(op, str(error), getattr(error, "hint", "")) from None
        except (DockerfileError, BuildFailed) as error:
            error.object = error.object or self.told(op)
            raise
        except (BadInput, Conflict) as error:
            cause = f"{error.object}: {error.cause}"
            raise BuildFailed(
                "build", self.name, cause, error.hint, lines=op.lines, source=op.source
            ) from error
        except OSError as error:
            cause = f"{error.filename or op.text}: {error.strerror}"
            raise BuildFailed("build", self.told(op), cause, lines=op.lines, source=op.source) from error
        self.store.cache.put(key, to_record(made))
        return made, False

    def work(self, number: int, op: Op, state: State) -> Work:
        if isinstance(op, Configure):
            return self.carrier.configure(op, state)
        if isinstance(op, Enter):
            return self.carrier.enter(op, state)
        if isinstance(op, Place):
            if op.from_stage is not None:
                return self.carrier.place_from(op, state, self.stages[op.from_stage])
            if op.from_image:
                name = Reference.parse(op.from_image).familiar
                return self.carrier.place_from(op, state, self.find_image(name))
            return self.carrier.place(op, state, *self.sources[number])
        assert not isinstance(op, Begin)

        def on_output(stream: str, data: bytes) -> None:
            self.on_event(StepOutput(time=time.time(), number=number, stream=stream, data=data))

        return self.carrier.execute(op, state, on_output)

    def told(self, op: Op) -> str:
        """What is being built, for the reader of an error."""
        return self.name or _where(op)

    def remembered(self, key: str) -> Made | None:
        """The record of a step whose layer, if it made one, is still there."""
        made = from_record(self.store.cache.get(key))
        if made is not None and made.layer is not None and not self.store.blobs.touch(made.layer.digest):
            return None
        return made


def _after(op: Op, state: State, made: Made) -> State:
    """``state`` after a step that made ``made``."""
    history = History(
        created=made.created,
        created_by=op.created_by,
        comment="; ".join(filter(None, (COMMENT, made.remark))),
        empty_layer=made.layer is None,
    )
    if made.layer is not None and made.diff_id is not None:
        state = state.with_layer(made.layer, made.diff_id, history)
    else:
        state = state.with_history(history)
    if isinstance(op, Enter):
        return state.with_config(working_dir=op.path)
    if isinstance(op, Configure):
        state = state.with_config(**op.changes)
        if op.author:
            return State(msgspec.structs.replace(state.config, author=op.author), state.layers)
    return state


def _refused(op: Op, cause: str, hint: str) -> DockerfileError:
    """The error about what is written in the lines of ``op``."""
    return DockerfileError("build", _where(op), cause, hint, lines=op.lines, source=op.source)


def _where(op: Op) -> str:
    first, last = op.lines
    return f"Dockerfile, line {first}" if first == last else f"Dockerfile, lines {first} to {last}"
