"""``sandcell run`` and ``sandcell create``."""

from typing import Any

import click

from sandcell.runtime.cli.creation import check_terminal, creation_flags, detach_keys_flag, options_of
from sandcell.runtime.cli.door import Door
from sandcell.runtime.cli.names import IMAGE

_IN_ORDER = {"allow_interspersed_args": False}


@click.command("run", context_settings=_IN_ORDER)
@creation_flags
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
        container = door.engine.start(door.engine.create(image, command or None, options))
        print(container.id)
        return 0
    import msgspec

    from sandcell.runtime.cli.attach import attach
    from sandcell.runtime.cli.terminal import parse_keys

    size = check_terminal(tty=options.tty, interactive=options.interactive)
    parse_keys(detach_keys)
    options = msgspec.structs.replace(options, console_size=size)
    running = door.engine.launch(image, command or None, options)
    return attach(running, interactive=options.interactive, tty=options.tty, keys=detach_keys)


@click.command("create", context_settings=_IN_ORDER)
@creation_flags
@click.argument("image", type=IMAGE)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def create_command(door: Door, /, image: str, command: tuple[str, ...], **flags: Any) -> None:
    """Make a container of IMAGE without starting it, and print its id."""
    print(door.engine.create(image, command or None, options_of(flags)).id)
