"""From the text of a Dockerfile to an image in the store: parse, plan, solve."""

import os
from collections.abc import Mapping
from contextlib import ExitStack

import msgspec

from sandcell.runtime.build.carry_mounts import Given
from sandcell.runtime.build.context import Context
from sandcell.runtime.build.ops import BuildPlan, Execute
from sandcell.runtime.build.options import BuildOptions
from sandcell.runtime.build.patterns import NOTHING_IGNORED, IgnoreRules
from sandcell.runtime.build.plan import FindConfig, NamedContext, plan
from sandcell.runtime.build.runner import FindImage, RunStep
from sandcell.runtime.build.solve import Annotate, Solved, solve
from sandcell.runtime.build.step import Imported
from sandcell.runtime.errors import InvalidOption
from sandcell.runtime.events import Callback, silent
from sandcell.runtime.oci.config import ImageConfig
from sandcell.runtime.oci.image import Image
from sandcell.runtime.oci.platform import Platform
from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.store import Store

_EPOCH = "SOURCE_DATE_EPOCH"


def build(
    text: str,
    *,
    store: Store,
    run_step: RunStep | None,
    find_image: FindImage,
    name: str | None = None,
    context: str | os.PathLike[str] | None = None,
    build_args: Mapping[str, str] | None = None,
    target: str | None = None,
    no_cache: bool = False,
    options: BuildOptions = BuildOptions(),
    named: Mapping[str, NamedContext] | None = None,
    agents: Mapping[str, str] | None = None,
    imported: Imported = lambda _: None,
    annotate: Annotate = lambda _used, _layers: {},
    on_event: Callback = silent,
) -> Solved:
    """Build the Dockerfile ``text``; the image is called ``name`` if one is given.

    ``context``: the directory for COPY and ADD, none by default. ``target``: the stage to build.
    ``no_cache``: do every step again. ``named``: those of ``options.contexts`` that are images; the
    others are directories. ``agents``: the sockets of those of ``options``. SOURCE_DATE_EPOCH, from
    ``build_args`` or the environment, fixes all times. Errors: those of ``plan`` and ``solve``; the name
    then keeps what it had. Repeating a build that changes nothing gives the same image.
    """
    if name is not None:
        reference = Reference.parse(name)
        if reference.is_host:
            hint = "choose another name"
            raise InvalidOption("build", name, "host is this machine's own image and cannot be built", hint)
        name = reference.familiar
    arguments = with_epoch(build_args)
    epoch = _epoch(arguments.get(_EPOCH))
    bases: dict[tuple[str, str], Image] = {}

    def find(wanted: str, /, platform: str = "") -> Image:
        key = wanted, platform
        if key not in bases:
            bases[key] = find_image(wanted, platform) if platform else find_image(wanted)
        return bases[key]

    def find_config(wanted: str, /, platform: str = "") -> ImageConfig:
        return find(wanted, platform).config

    with ExitStack() as held:
        contexts = {
            one: held.enter_context(Context(folder, store.cache))
            for one, folder in options.contexts.items()
            if one not in (named or {})
        }
        if context is not None:
            contexts[""] = held.enter_context(Context(os.fspath(context), store.cache, options.ignore))
        ignore = contexts[""].ignore if context is not None else NOTHING_IGNORED
        made = plan_of(text, find_config, arguments, target, options, named or {}, ignore)
        return solve(
            made,
            store=store,
            find_image=find,
            run_step=run_step,
            name=name,
            given=Given(
                contexts=contexts,
                secrets=options.secrets,
                agents=agents or {},
                compression=options.compression,
            ),
            no_cache=no_cache,
            fresh_stages=options.fresh_stages,
            epoch=epoch,
            imported=imported,
            annotate=annotate,
            on_event=on_event,
        )


def plan_of(
    text: str,
    find_config: FindConfig,
    arguments: Mapping[str, str] | None,
    target: str | None,
    options: BuildOptions,
    named: Mapping[str, NamedContext],
    ignore: IgnoreRules,
) -> BuildPlan:
    """The plan that ``build`` carries out. ``ignore``: what its context leaves out."""
    contexts = {one: named.get(one, NamedContext()) for one in options.contexts}
    made = plan(
        text,
        find_config=find_config,
        build_args=with_epoch(arguments),
        target=target,
        target_platform=Platform.parse(options.platform) if options.platform else None,
        contexts=contexts,
        labels=options.labels,
        ignore=ignore,
    )
    if options.network == "default":
        return made
    if options.network not in ("none", "host"):
        hint = "it is default, none or host"
        raise InvalidOption("build", f"--network {options.network}", "there is no such network", hint)
    ops = tuple(
        msgspec.structs.replace(op, network=options.network)
        if isinstance(op, Execute) and op.network == "default"
        else op
        for op in made.ops
    )
    return msgspec.structs.replace(made, ops=ops)


def with_epoch(build_args: Mapping[str, str] | None) -> dict[str, str]:
    """The build arguments, with SOURCE_DATE_EPOCH of the environment where it is not among them."""
    arguments = dict(build_args or {})
    from_environment = os.environ.get(_EPOCH)
    if from_environment and _EPOCH not in arguments:
        arguments[_EPOCH] = from_environment
    return arguments


def _epoch(text: str | None) -> int | None:
    if not text:
        return None
    if not text.isdecimal():
        raise InvalidOption("build", f"{_EPOCH}={text}", "it is no number of seconds")
    return int(text)
