"""``sandcell run`` and ``sandcell create``."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from sandcell.runtime.cli.creation import check_terminal, creation_flags, detach_keys_flag, options_of
from sandcell.runtime.cli.door import Door
from sandcell.runtime.cli.fetch import fetch_flags, open_cidfile, with_image, write_cidfile
from sandcell.runtime.cli.names import IMAGE

_IN_ORDER = {"allow_interspersed_args": False}
_Made = TypeVar("_Made")


@click.command("run", context_settings=_IN_ORDER)
@creation_flags
@fetch_flags
@click.option("-d", "--detach", is_flag=True, help="Leave it running and print its id.")
@detach_keys_flag
@click.option("--explain", is_flag=True, help="Print the steps that would make it; make nothing.")
@click.argument("image", type=IMAGE)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def run_command(
    door: Door,
    /,
    image: str,
    command: tuple[str, ...],
    detach: bool,
    explain: bool,
    detach_keys: str,
    **flags: Any,
) -> int:
    """Make a container of IMAGE and run COMMAND in it, or the image's own command.

    The exit status is that of the command; 125: the container could not be made, 126: the command
    cannot be executed, 127: there is no such command.
    """
    options = options_of(flags)
    if explain:
        print(door.engine.explain(image, command or None, options))
        return 0
    if detach:
        made = _made(
            door,
            image,
            flags,
            lambda: door.engine.create(image, command or None, options, starts=True),
            lambda new: new.id,
        )
        print(door.engine.start(made).id)
        return 0
    import msgspec

    from sandcell.runtime.cli.attach import attach
    from sandcell.runtime.cli.terminal import parse_keys

    size = check_terminal(tty=options.tty, interactive=options.interactive)
    parse_keys(detach_keys)
    options = msgspec.structs.replace(options, console_size=size)
    running = _made(
        door,
        image,
        flags,
        lambda: door.engine.launch(image, command or None, options),
        lambda new: str(new.container.id),
    )
    return attach(running, interactive=options.interactive, tty=options.tty, keys=detach_keys)


@click.command("create", context_settings=_IN_ORDER)
@creation_flags
@fetch_flags
@click.argument("image", type=IMAGE)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def create_command(door: Door, /, image: str, command: tuple[str, ...], **flags: Any) -> None:
    """Make a container of IMAGE without starting it, and print its id."""
    options = options_of(flags)
    made = _made(
        door, image, flags, lambda: door.engine.create(image, command or None, options), lambda new: new.id
    )
    print(made.id)


def _made(
    door: Door, image: str, flags: dict[str, Any], make: Callable[[], _Made], id_of: Callable[[_Made], str]
) -> _Made:
    path = flags["cidfile"]
    file = open_cidfile(path)
    id = None
    try:
        asked = {name: flags[name] for name in ("pull", "platform", "quiet")}
        made = with_image(door, image, make, **asked)
        id = id_of(made)
    finally:
        write_cidfile(file, path, id)
    return made
