"""From the text of a Dockerfile to an image in the store: parse, plan, solve."""

import os
from collections.abc import Mapping

from sandcell.runtime.build.context import Context
from sandcell.runtime.build.ops import BuildPlan
from sandcell.runtime.build.plan import plan
from sandcell.runtime.build.runner import FindImage, RunStep
from sandcell.runtime.build.solve import solve
from sandcell.runtime.errors import InvalidOption
from sandcell.runtime.events import Callback, silent
from sandcell.runtime.oci.config import ImageConfig
from sandcell.runtime.oci.image import Image
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
    pull: bool = False,
    on_event: Callback = silent,
) -> Image:
    """Build the Dockerfile ``text``; the image is called ``name`` if one is given.

    ``context``: the directory for COPY and ADD, none by default. ``target``: the stage to build.
    ``no_cache``: do every step again. ``pull``: bases are asked of their registry anew by ``find_image``.
    SOURCE_DATE_EPOCH, from ``build_args`` or the environment, fixes all times. Errors: those of
    ``plan`` and ``solve``; the name then keeps what it had. Repeating a build that changes nothing
    gives the same image.
    """
    del pull
    if name is not None:
        reference = Reference.parse(name)
        if reference.is_host:
            hint = "choose another name"
            raise InvalidOption("build", name, "host is this machine's own image and cannot be built", hint)
        name = reference.familiar
    epoch = _epoch((build_args or {}).get(_EPOCH) or os.environ.get(_EPOCH))
    bases: dict[str, Image] = {}

    def find(wanted: str, /) -> Image:
        if wanted not in bases:
            bases[wanted] = find_image(wanted)
        return bases[wanted]

    def find_config(wanted: str) -> ImageConfig:
        return find(wanted).config

    made: BuildPlan = plan(text, find_config=find_config, build_args=build_args, target=target)
    opened = None if context is None else Context(os.fspath(context), store.cache)
    try:
        return solve(
            made,
            store=store,
            find_image=find,
            run_step=run_step,
            name=name,
            context=opened,
            no_cache=no_cache,
            epoch=epoch,
            on_event=on_event,
        )
    finally:
        if opened is not None:
            opened.close()


def _epoch(text: str | None) -> int | None:
    if not text:
        return None
    if not text.isdecimal():
        raise InvalidOption("build", f"{_EPOCH}={text}", "it is no number of seconds")
    return int(text)
