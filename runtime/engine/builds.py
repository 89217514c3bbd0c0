"""Builds: where the solver meets containers, registries, contexts and caches."""

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec

from sandcell.runtime.build.build import build as solve
from sandcell.runtime.build.build import plan_of
from sandcell.runtime.build.context import Context
from sandcell.runtime.build.options import BuildOptions
from sandcell.runtime.build.patterns import NOTHING_IGNORED
from sandcell.runtime.build.plan import NamedContext
from sandcell.runtime.build.runner import OnOutput, Step, never
from sandcell.runtime.engine.work import Worker
from sandcell.runtime.errors import ImageNotFound, RegistryRefused
from sandcell.runtime.events import Callback, silent
from sandcell.runtime.layer.whiteout import XattrFlavour
from sandcell.runtime.linux.idmap import IdMap
from sandcell.runtime.oci.config import ImageConfig
from sandcell.runtime.oci.image import Image
from sandcell.runtime.oci.platform import Platform
from sandcell.runtime.oci.reference import DOCKER_HUB, Reference

if TYPE_CHECKING:
    from sandcell.runtime.build.ops import BuildPlan
    from sandcell.runtime.engine.engine import Engine


def build(
    engine: "Engine",
    text: str,
    name: str | None,
    context: str | os.PathLike[str] | None,
    build_args: Mapping[str, str] | None,
    target: str | None,
    no_cache: bool,
    pull: bool,
    options: BuildOptions | None,
    on_event: Callback,
) -> Image:
    """Carry a Dockerfile out."""
    options = options or BuildOptions()
    store = engine.store.store
    with store.leases.working(), ExitStack() as held:
        options, named = _contexts(engine, options, held)
        imported, annotate, caches = None, None, None
        if options.cache_from or options.cache_to:
            from sandcell.runtime.engine import build_caches

            caches = build_caches.Caches(engine, options, on_event)
            imported, annotate = caches.imported, caches.annotations
        solved = solve(
            text,
            store=store,
            run_step=Builder(engine),
            find_image=Finder(engine, pull, on_event),
            name=name,
            context=context,
            build_args=build_args,
            target=target,
            no_cache=no_cache,
            options=options,
            named=named,
            agents=_agents(options, held),
            imported=imported or (lambda _: None),
            annotate=annotate or (lambda _used, _layers: {}),
            on_event=on_event,
        )
        if caches is not None:
            caches.export(solved)
        return solved.image


def plan(
    engine: "Engine",
    text: str,
    context: str | os.PathLike[str] | None,
    build_args: Mapping[str, str] | None,
    target: str | None,
    options: BuildOptions | None,
) -> "BuildPlan":
    """What ``build`` would do. Images that are not here are not fetched for it; of ``context`` only
    .dockerignore is read."""
    options = options or BuildOptions()

    def find_config(name: str, /, platform: str = "") -> ImageConfig:
        return Finder(engine, False, silent)(name, platform).config if platform else engine.image(name).config

    with ExitStack() as held:
        options, named = _contexts(engine, options, held)
        ignore = NOTHING_IGNORED
        if context is not None:
            files = Context(os.fspath(context), engine.store.store.cache, options.ignore)
            ignore = held.enter_context(files).ignore
        return plan_of(text, find_config, build_args, target, options, named, ignore)


def _contexts(
    engine: "Engine", options: BuildOptions, held: ExitStack
) -> tuple[BuildOptions, dict[str, NamedContext]]:
    """The options with a directory for every named context that is none of an image."""
    if not options.contexts:
        return options, {}
    from sandcell.runtime.engine import contexts

    folders, named = contexts.named(engine, options.contexts, held)
    return msgspec.structs.replace(options, contexts=folders), named


class Builder:
    """What the solver needs of us to run commands. Containers are loaded, and the host is looked at, when
    the first one runs: a build from the cache needs neither."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    @property
    def idmap(self) -> IdMap:
        """The ids that unpacked layers are owned by."""
        return self._engine.idmap

    @property
    def flavour(self) -> XattrFlavour:
        """Where overlay marks are kept."""
        return self._engine.store.flavour

    @property
    def worker(self) -> Worker:
        """Who handles the unpacked layers."""
        return self._engine.store.worker

    def __call__(self, step: Step, on_output: OnOutput, stopped: Callable[[], bool] = never) -> int:
        """Run it to its end, and until its last mount is gone. It dies with us."""
        from sandcell.runtime.engine.building import StepContainer

        return StepContainer(self._engine)(step, on_output, stopped)


def _agents(options: BuildOptions, held: ExitStack) -> dict[str, str]:
    """The sockets of the ssh agents; for keys an agent of our own."""
    if not options.agents:
        return {}
    from sandcell.runtime.engine.agents import agent

    return {name: held.enter_context(agent(name, paths)) for name, paths in options.agents.items()}


class Finder:
    """Finds base images; what is not here is pulled, and with ``always`` everything that can be."""

    def __init__(self, engine: "Engine", always: bool, on_event: Callback) -> None:
        self._engine = engine
        self._always = always
        self._on_event = on_event

    def __call__(self, name: str, /, platform: str = "") -> Image:
        """The image; ``ImageNotFound``, or what a registry says."""
        if name.startswith(("sha256:", "sha512:")) or Reference.parse(name).is_host:
            return self._engine.image(name)
        if platform:
            return self._of_platform(name, platform)
        if self._always:
            return self._pulled(name)
        try:
            return self._engine.image(name)
        except ImageNotFound as error:
            missing = error
        if Reference.parse(name).registry != DOCKER_HUB:
            return self._pulled(name)
        # A short name is more often a slip than an image of Docker Hub: the error speaks of both.
        try:
            return self._pulled(name)
        except (RegistryRefused, ImageNotFound) as error:
            cause = f"{missing.cause}, nor could it be pulled: {error.cause}"
            raise ImageNotFound(missing.operation, missing.object, cause, missing.hint) from None

    def _pulled(self, name: str, platform: str | None = None) -> Image:
        from sandcell.runtime.engine import registries

        return registries.pull(self._engine, name, platform, self._on_event)

    def _of_platform(self, name: str, platform: str) -> Image:
        """An image for another machine; its name goes on meaning this machine's."""
        wanted = Platform.parse(platform)
        if not self._always:
            try:
                image = self._engine.image(name)
                if image.platform.runs(wanted):
                    return image
            except ImageNotFound:
                pass
        names, reference = self._engine.store.store.names, Reference.parse(name)
        before = names.get(reference)
        image = self._pulled(name, platform)
        if before is not None:
            names.set(reference, before)
        if not image.platform.runs(wanted):
            cause = f"it is for {image.platform}, not for {platform}"
            raise ImageNotFound("build", name, cause, "leave the platform away")
        return image
