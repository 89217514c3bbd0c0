"""One step of a plan carried out: what it needs is found, the cache is asked, and what is left is done.

Builders that come to the same step at the same time, in this process or another, do it once.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from sandcell.runtime.build.cache_folder import Stopped
from sandcell.runtime.build.carry import Carrier, Work
from sandcell.runtime.build.carry_mounts import Given
from sandcell.runtime.build.context import ContextError
from sandcell.runtime.build.evaluate import SCRATCH
from sandcell.runtime.build.ops import Begin, BuildPlan, Configure, Enter, Execute, Op, Place, Remote
from sandcell.runtime.build.owners import UnknownOwner
from sandcell.runtime.build.placing import PlacingError
from sandcell.runtime.build.runner import FindImage
from sandcell.runtime.build.sources import Arrived, ContextSources
from sandcell.runtime.build.stage_state import Made, State, from_record, to_record
from sandcell.runtime.errors import BadInput, BuildFailed, Conflict, DockerfileError
from sandcell.runtime.events import Callback, StepOutput
from sandcell.runtime.oci.config import History, ImageConfig, RootFs
from sandcell.runtime.oci.platform import Platform
from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.store import Store

COMMENT = "sandcell"
_PAUSE = 0.05

StateOf = Callable[[int], State]
"""What a stage has come to, when it is done; waits for it."""

Imported = Callable[[str], Made | None]
"""What a cache from elsewhere knows of a step, its layer brought here."""


class Stepper:
    """Carries out the steps of one build. ``name``: what is built, for the reader of errors. ``fresh``:
    must steps of that stage be done again? Safe between threads."""

    def __init__(
        self,
        plan: BuildPlan,
        store: Store,
        carrier: Carrier,
        find_image: FindImage,
        given: Given,
        name: str,
        fresh: Callable[[int], bool],
        imported: Imported,
    ) -> None:
        self._store = store
        self._carrier = carrier
        self._find_image = find_image
        self._given = given
        self._name = name
        self._fresh = fresh
        self._imported = imported
        self._slots = threading.BoundedSemaphore(max(2, os.cpu_count() or 2))
        self._sources: dict[Place, tuple[ContextSources, str]] = {}
        self.used: dict[str, Made] = {}
        """What each key of this build stands for."""
        self._find_sources(plan)

    def _find_sources(self, plan: BuildPlan) -> None:
        """Look at all files of contexts first: a missing one is told before anything runs."""
        for op in plan.ops:
            for place in _from_contexts(op):
                if not any(isinstance(source, Remote) for source in place.sources):
                    try:
                        self._look(place)
                    except ContextError as error:
                        raise refused(op, error.cause, error.hint) from None

    def _look(self, place: Place) -> tuple[ContextSources, str]:
        if place not in self._sources:
            sources = ContextSources(place, self._given.contexts.get(place.context), self._bring)
            self._sources[place] = sources, sources.digest()
        return self._sources[place]

    def _bring(self, remote: Remote) -> Arrived:
        if remote.git:
            from sandcell.runtime.build import git

            return git.find(self._store, remote)
        from sandcell.runtime.build import fetch

        return fetch.fetch(self._store, remote)

    def begin(self, op: Begin, state_of: StateOf) -> State:
        """What a stage begins with."""
        if op.parent is not None:
            state = state_of(op.parent)
        elif op.image:
            image = self._find_image(op.image, op.platform) if op.platform else self._find_image(op.image)
            state = State(image.config, image.manifest.layers)
        else:
            state = _scratch(op.platform)
            if op.context is not None:
                state = self._gathered(_whole(op), op)
        # Triggers are carried out by this build and not kept for the next.
        return state.with_config(on_build=()) if state.config.config.on_build else state

    def do(
        self, number: int, op: Op, state: State, state_of: StateOf, on_event: Callback
    ) -> tuple[Made, bool]:
        """What a step made, and whether it was remembered. ``Stopped`` when the build is to end."""
        hits: list[str] = []

        def remembered(key: str) -> Made | None:
            known = None if self._fresh(op.stage) else self._remembered(key)
            if known is not None:
                hits.append(key)
                self._use(key, known)
            return known

        with self._told(op):
            key, do = self._work(number, op, state, state_of, remembered, on_event)
            made = remembered(key)
            if made is not None:
                return made, True
            if isinstance(op, Configure):
                made = do()
            else:
                with self._alone(key, shared=not self._fresh(op.stage)):
                    made = remembered(key)
                    if made is None:
                        with self._slots:
                            made = do()
        if not hits or hits[-1] != key:
            self._store.cache.put(key, to_record(made))
        self._use(key, made)
        return made, bool(hits)

    def _use(self, key: str, made: Made) -> None:
        self.used[key] = made
        if made.content:
            self.used[made.content] = made

    def _work(
        self,
        number: int,
        op: Op,
        state: State,
        state_of: StateOf,
        remembered: Callable[[str], Made | None],
        on_event: Callback,
    ) -> Work:
        carrier = self._carrier
        if isinstance(op, Configure):
            return carrier.configure(op, state)
        if isinstance(op, Enter):
            return carrier.enter(op, state)
        if isinstance(op, Place):
            if op.from_stage is not None:
                return carrier.place_from(op, state, state_of(op.from_stage), remembered)
            if op.from_image:
                return carrier.place_from(op, state, self._find_image(_name(op.from_image)), remembered)
            return carrier.place(op, state, *self._look(op))
        assert isinstance(op, Execute)

        def on_output(stream: str, data: bytes) -> None:
            on_event(StepOutput(time=time.time(), number=number, stream=stream, data=data))

        bases = [self._base(op, number, state_of) for number in range(len(op.mounts))]
        return carrier.execute(op, state, bases, on_output)

    def _base(self, op: Execute, number: int, state_of: StateOf) -> State | None:
        """What a mount begins with; ``None`` where that is nothing."""
        mounted = op.mounts[number]
        if mounted.from_stage is not None:
            return state_of(mounted.from_stage)
        if mounted.from_image:
            image = self._find_image(_name(mounted.from_image))
            return State(image.config, image.manifest.layers)
        return self._gathered(_mounted(op, number), op) if mounted.context is not None else None

    def _gathered(self, place: Place, op: Op) -> State:
        """Files of a context as a layer on nothing, from the cache where they are the same."""
        state = _scratch("")
        with self._told(op):
            key, do = self._carrier.place(place, state, *self._look(place))
            made = self._remembered(key)
            if made is None:
                with self._alone(key, shared=True):
                    made = self._remembered(key) or do()
            self._store.cache.put(key, to_record(made))
        return after(place, state, made)

    def _remembered(self, key: str) -> Made | None:
        """The record of a step whose layer, if it made one, is still there, or can be brought."""
        made = from_record(self._store.cache.get(key))
        if made is not None and (made.layer is None or self._store.blobs.touch(made.layer.digest)):
            return made
        made = self._imported(key)
        if made is not None:
            self._store.cache.put(key, to_record(made))
        return made

    @contextmanager
    def _alone(self, key: str, *, shared: bool) -> Iterator[None]:
        """Nobody else does the step of that key meanwhile; ``shared``: somebody else's will do for us."""
        if not shared:
            yield
            return
        # A part of the key, so that there is no lock file for every step there ever was.
        name = f"step-{key[-3:]}"
        while True:
            if self._given.stopped():
                raise Stopped
            with self._store.attempt(name) as alone:
                if alone:
                    yield
                    return
            time.sleep(_PAUSE)

    @contextmanager
    def _told(self, op: Op) -> Iterator[None]:
        """What goes wrong with a step is told with its lines."""
        try:
            yield
        except (ContextError, PlacingError, UnknownOwner) as error:
            raise refused(op, str(error), getattr(error, "hint", "")) from None
        except (DockerfileError, BuildFailed) as error:
            error.object = error.object or self._name or where(op)
            raise
        except (BadInput, Conflict) as error:
            cause = f"{error.object}: {error.cause}"
            raise BuildFailed(
                "build", self._name, cause, error.hint, lines=op.lines, source=op.source
            ) from error
        except OSError as error:
            cause = f"{error.filename or op.text}: {error.strerror}"
            raise BuildFailed(
                "build", self._name or where(op), cause, lines=op.lines, source=op.source
            ) from error


def after(op: Op, state: State, made: Made) -> State:
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


def refused(op: Op, cause: str, hint: str) -> DockerfileError:
    """The error about what is written in the lines of ``op``."""
    return DockerfileError("build", where(op), cause, hint, lines=op.lines, source=op.source)


def where(op: Op) -> str:
    """The lines of ``op`` in words."""
    first, last = op.lines
    return f"Dockerfile, line {first}" if first == last else f"Dockerfile, lines {first} to {last}"


def _scratch(platform: str) -> State:
    wanted = Platform.parse(platform) if platform else Platform.here()
    config = ImageConfig(
        architecture=wanted.architecture,
        variant=wanted.variant,
        os=wanted.os,
        config=SCRATCH,
        rootfs=RootFs(),
    )
    return State(config, ())


def _name(image: str) -> str:
    return image if image.startswith("sha256:") else Reference.parse(image).familiar


def _from_contexts(op: Op) -> list[Place]:
    """What of contexts an op needs, each as a placing of its own."""
    if isinstance(op, Place):
        return [op] if op.from_stage is None and not op.from_image else []
    if isinstance(op, Begin):
        return [_whole(op)] if op.context is not None else []
    if isinstance(op, Execute):
        numbers = (number for number, one in enumerate(op.mounts) if one.context is not None)
        return [_mounted(op, number) for number in numbers]
    return []


def _whole(op: Begin) -> Place:
    return _place(op, op.context or "", ".", "/")


def _mounted(op: Execute, number: int) -> Place:
    mounted = op.mounts[number]
    return _place(op, mounted.context or "", mounted.mount.source or ".", "/source")


def _place(op: Op, context: str, source: str, destination: str) -> Place:
    return Place(
        stage=op.stage,
        text=op.text,
        created_by=op.created_by,
        lines=op.lines,
        source=op.source,
        sources=(source,),
        destination=destination,
        into=False,
        context=context,
    )
