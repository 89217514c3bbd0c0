"""``sandcell start | stop | restart | kill | wait | rm | rename``."""

import click

from sandcell.runtime.cli.creation import check_terminal, detach_keys_flag
from sandcell.runtime.cli.door import Door
from sandcell.runtime.cli.each import each
from sandcell.runtime.cli.names import CONTAINER
from sandcell.runtime.errors import ContainerNotFound, InvalidOption, WrongState

_containers = click.argument("containers", nargs=-1, required=True, type=CONTAINER)
_time = click.option(
    "-t", "--time", "--timeout", "seconds", type=int, help="Seconds before SIGKILL, 10 without; -1: never."
)
_signal = click.option("-s", "--signal", default="", help="Send this first, not its own stop signal.")


@click.command("start")
@click.option("-a", "--attach", "attached", is_flag=True, help="Show its output, return its exit status.")
@click.option("-i", "--interactive", is_flag=True, help="Pass on our standard input, with -a.")
@detach_keys_flag
@_containers
@click.pass_obj
def start_command(
    door: Door, containers: tuple[str, ...], attached: bool, interactive: bool, detach_keys: str
) -> int:
    """Start stopped CONTAINERS, each with its own files as it left them."""
    if attached or interactive:
        return _attached(door, containers, interactive, detach_keys)
    return each(door, containers, door.engine.start)


def _attached(door: Door, containers: tuple[str, ...], interactive: bool, keys: str) -> int:
    from sandcell.runtime.cli.attach import attach
    from sandcell.runtime.cli.terminal import parse_keys, size_of

    if len(containers) > 1:
        raise InvalidOption("start", "-a", "only one container can be attached to", "leave out -a and -i")
    parse_keys(keys)
    options = door.engine.container(containers[0]).options
    if interactive and not options.interactive:
        hint = "create it with -i"
        raise InvalidOption("start", "-i", "the container was made without a standard input", hint)
    check_terminal(tty=options.tty, interactive=interactive)
    try:
        running = door.engine.relaunch(containers[0])
    except WrongState:
        if door.engine.container(containers[0]).state != "running":
            raise
        running = door.engine.attach(containers[0])
    if options.tty and any(size_of(1)):
        running.resize(*size_of(1))
    return attach(running, interactive=interactive, tty=options.tty, keys=keys)


@click.command("stop")
@_time
@_signal
@_containers
@click.pass_obj
def stop_command(door: Door, containers: tuple[str, ...], seconds: int | None, signal: str) -> int:
    """Stop running CONTAINERS: their stop signal first, SIGKILL when the time is over."""
    return each(door, containers, lambda name: door.engine.stop(name, timeout=seconds, signal=signal))


@click.command("restart")
@_time
@_signal
@_containers
@click.pass_obj
def restart_command(door: Door, containers: tuple[str, ...], seconds: int | None, signal: str) -> int:
    """Stop CONTAINERS and start them again."""
    return each(door, containers, lambda name: door.engine.restart(name, timeout=seconds, signal=signal))


@click.command("kill")
@click.option(
    "-s", "--signal", "name", default="KILL", show_default=True, help="Name or number of the signal."
)
@_containers
@click.pass_obj
def kill_command(door: Door, containers: tuple[str, ...], name: str) -> int:
    """Send a signal to the first process of running CONTAINERS."""
    return each(door, containers, lambda container: door.engine.kill(container, name))


@click.command("wait")
@_containers
@click.pass_obj
def wait_command(door: Door, containers: tuple[str, ...]) -> int:
    """Wait until CONTAINERS have ended and print the exit status of each."""

    def wait(name: str) -> str:
        status = door.engine.wait(name)
        return "unknown" if status is None else str(status)

    return each(door, containers, wait)


@click.command("rm")
@click.option("-f", "--force", is_flag=True, help="Kill those that run; one that is not there is told only.")
@click.option("-v", "--volumes", is_flag=True, help="As without: volumes that have no name always go.")
@_containers
@click.pass_obj
def rm_command(door: Door, containers: tuple[str, ...], force: bool, volumes: bool) -> int:  # noqa: ARG001 - docker's flag
    """Remove CONTAINERS, what they changed in their files, and their volumes without a name. Their image
    stays."""
    forgiven = (ContainerNotFound,) if force else ()
    return each(door, containers, lambda name: door.engine.remove(name, force=force), forgiven)


@click.command("rename")
@click.argument("container", type=CONTAINER)
@click.argument("name")
@click.pass_obj
def rename_command(door: Door, container: str, name: str) -> None:
    """Give CONTAINER the name NAME."""
    door.engine.rename(container, name)
