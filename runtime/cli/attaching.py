"""``sandcell attach``."""

import click

from sandcell.runtime.cli.creation import check_terminal, detach_keys_flag
from sandcell.runtime.cli.door import Door
from sandcell.runtime.cli.names import CONTAINER


@click.command("attach")
@detach_keys_flag
@click.option("--no-stdin", is_flag=True, help="Only listen.")
@click.option("--sig-proxy/--no-sig-proxy", default=True, show_default=True, help="Pass signals on to it.")
@click.argument("container", type=CONTAINER)
@click.pass_obj
def attach_command(door: Door, container: str, detach_keys: str, no_stdin: bool, sig_proxy: bool) -> int:
    """Show what CONTAINER writes from now on, and type into it where it was made with -i.

    Several may be attached at once. The exit status is that of its command, or 0 when the keys were
    typed that leave it running.
    """
    from sandcell.runtime.cli.attach import attach
    from sandcell.runtime.cli.terminal import parse_keys, size_of

    parse_keys(detach_keys)
    options = door.engine.container(container).options
    typing = options.interactive and not no_stdin
    check_terminal(tty=options.tty, interactive=typing)
    running = door.engine.attach(container)
    rows, columns = size_of(1) if options.tty else (0, 0)
    if rows and columns:
        # Another size first: a program draws itself anew when its terminal changes, not when we come.
        running.resize(rows, columns + 1)
        running.resize(rows, columns)
    return attach(
        running,
        interactive=typing and running.typing,
        tty=options.tty,
        keys=detach_keys,
        proxy=sig_proxy,
        ours=False,
    )
