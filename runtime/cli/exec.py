"""``sandcell exec``."""

import click

from sandcell.runtime.cli.creation import check_terminal, detach_keys_flag, environment, interactive_flag
from sandcell.runtime.cli.door import Door
from sandcell.runtime.cli.names import CONTAINER


@click.command("exec", context_settings={"allow_interspersed_args": False})
@click.option("-e", "--env", multiple=True, metavar="KEY[=VALUE]", help="Set a variable.")
@click.option(
    "--env-file", multiple=True, type=click.Path(exists=True, dir_okay=False), help="Variables, one a line."
)
@click.option("-w", "--workdir", metavar="DIR", default="", help="Directory to start in.")
@click.option("-u", "--user", metavar="USER[:GROUP]", default="", help="User to run as.")
@click.option("-t", "--tty", is_flag=True, help="Give the program a terminal to write to.")
@click.option("-d", "--detach", is_flag=True, help="Leave it running and return.")
@interactive_flag
@detach_keys_flag
@click.argument("container", type=CONTAINER)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def exec_command(
    door: Door,
    container: str,
    command: tuple[str, ...],
    env: tuple[str, ...],
    env_file: tuple[str, ...],
    workdir: str,
    user: str,
    tty: bool,
    interactive: bool,
    detach: bool,
    detach_keys: str,
) -> int:
    """Run COMMAND in a running CONTAINER. The exit status is that of the command."""
    import msgspec

    from sandcell.runtime.cli.attach import attach
    from sandcell.runtime.cli.terminal import parse_keys
    from sandcell.runtime.container.options import ExecOptions

    size = check_terminal(tty=tty, interactive=interactive and not detach)
    parse_keys(detach_keys)
    options = ExecOptions(
        env=environment(env, env_file),
        workdir=workdir,
        user=user,
        tty=tty,
        interactive=interactive,
        console_size=size,
    )
    if detach:
        left = door.engine.launch_in(container, command, msgspec.structs.replace(options, interactive=False))
        left.detach()
        left.wait()
        left.close()
        return 0
    running = door.engine.launch_in(container, command, options)
    return attach(running, interactive=interactive, tty=tty, keys=detach_keys)
