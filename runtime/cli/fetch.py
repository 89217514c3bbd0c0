"""Bringing the image of a new container, and writing down which container it became."""

import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from sandcell.runtime.cli.door import Door
from sandcell.runtime.errors import ImageNotFound, InvalidOption

_Made = TypeVar("_Made")
_Function = TypeVar("_Function", bound=Callable[..., Any])

_FLAGS = (
    click.option(
        "--pull",
        type=click.Choice(["always", "missing", "never"]),
        default="missing",
        show_default=True,
        help="When to bring the image from its registry.",
    ),
    click.option("--platform", metavar="OS/ARCH", help="The machine that the image is for: this one."),
    click.option("-q", "--quiet", is_flag=True, help="Say nothing while the image is brought."),
    click.option("--cidfile", metavar="FILE", help="Write the container's id into this new file."),
)


def fetch_flags(function: _Function) -> _Function:
    """Add ``--pull``, ``--platform``, ``--quiet`` and ``--cidfile``."""
    for flag in reversed(_FLAGS):
        function = flag(function)
    return function


def with_image(
    door: Door, image: str, make: Callable[[], _Made], *, pull: str, platform: str | None, quiet: bool
) -> _Made:
    """What ``make`` makes of ``image``, which is brought first if ``pull`` says so. A name that looks
    like one that is here is taken for a slip of the keyboard, and asked of nobody."""
    if platform:
        _check_platform(platform)
    if pull == "always":
        _bring(door, image, quiet=quiet)
    try:
        return make()
    except ImageNotFound as missing:
        if pull != "missing" or "did you mean" in missing.hint:
            raise
    if not quiet:
        print(f"sandcell: {image} is not here yet: pulling it", file=sys.stderr, flush=True)
    _bring(door, image, quiet=quiet)
    return make()


def _bring(door: Door, image: str, *, quiet: bool) -> None:
    from sandcell.runtime.cli.transfers import transfers

    with transfers(quiet) as hears:
        door.engine.pull(image, on_event=hears)


def _check_platform(text: str) -> None:
    from sandcell.runtime.oci.platform import Platform

    here = Platform.here()
    if not here.runs(Platform.parse(text)):
        raise InvalidOption("run", f"--platform {text}", f"this machine is {here}", "leave it away")


def open_cidfile(path: str | None) -> int:
    """The new file for the id, -1 without one. ``InvalidOption`` when it is there already."""
    if path is None:
        return -1
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        raise InvalidOption("use", f"--cidfile {path}", "the file is there already", "remove it") from None


def write_cidfile(fd: int, path: str | None, id: str | None) -> None:
    """Write the id and close the file; without an id there is no file."""
    if fd < 0 or path is None:
        return
    if id is None:
        os.unlink(path)
    else:
        os.write(fd, id.encode())
    os.close(fd)
