"""``sandcell kernel install | run | list | remove``."""

import os
import signal
import sys
from collections.abc import Callable
from threading import Thread
from time import sleep
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sandcell.runtime.cli.door import Door
from sandcell.runtime.cli.fetch import with_image
from sandcell.runtime.cli.names import IMAGE
from sandcell.runtime.cli.table import format_option, show

if TYPE_CHECKING:
    from sandcell.runtime.container.options import Options
    from sandcell.runtime.container.running import Running

_PLACE = "/work"
_COLUMNS = (("KERNEL", "Kernel"), ("IMAGE", "Image"), ("DIRECTORY", "Directory"))
_Function = TypeVar("_Function", bound=Callable[..., Any])

_FLAGS = (
    click.option("--mount", is_flag=True, help=f"Show the notebook's folder as {_PLACE}, and start there."),
    click.option("-v", "--volume", multiple=True, metavar="SRC:DST[:ro]", help="As for 'sandcell run'."),
    click.option(
        "-e", "--env", multiple=True, metavar="KEY[=VALUE]", help="Set a variable, or pass ours on."
    ),
    click.option("--network", metavar="none|bridge|host|NAME", help="As for 'sandcell run'."),
    click.option("-m", "--memory", metavar="SIZE", help="Most memory, e.g. 2g."),
    click.option("--cpus", metavar="NUMBER", help="Most processor time, in processors, e.g. 1.5."),
)


_prefix_flag = click.option("--prefix", metavar="DIR", help="Below DIR/share/jupyter.")


def _container_flags(function: _Function) -> _Function:
    for flag in reversed(_FLAGS):
        function = flag(function)
    return function


@click.group("kernel")
def kernel_command() -> None:
    """Jupyter kernels that run in containers."""


@kernel_command.command("install")
@click.option("--name", metavar="NAME", help="Name of the kernel; made of the image's if not given.")
@click.option("--display-name", metavar="TEXT", help="What Jupyter shows.")
@click.option("--sys-prefix", is_flag=True, help="For this Python environment; for this user if not given.")
@_prefix_flag
@_container_flags
@click.argument("image", type=IMAGE)
@click.pass_obj
def install_command(
    door: Door,
    /,
    image: str,
    name: str | None,
    display_name: str | None,
    sys_prefix: bool,
    prefix: str | None,
    **flags: Any,
) -> None:
    """Make a Jupyter kernel that runs in a container of IMAGE, which must have ipykernel.

    Each start of the kernel is a new container, without a network but its own loopback unless asked, and
    it goes when the kernel ends. Installing it again replaces it.
    """
    from sandcell.runtime.cli import kernelspecs
    from sandcell.runtime.engine import kernels

    _options(flags)  # what is wrong with them shows now
    name = kernelspecs.check_name(name or kernelspecs.name_of(image))
    place = kernelspecs.folder(sys.prefix if sys_prefix else prefix)
    kernelspecs.refuse_others(place, name)
    version = with_image(
        door, image, lambda: kernels.check(door.engine, image), pull="missing", platform=None, quiet=False
    )
    path = kernelspecs.write(place, name, image, display_name or f"Python ({image})", _words(flags))
    print(f"kernel {name}: ipykernel {version} in {image}; {path}")


@kernel_command.command("run")
@_container_flags
@click.argument("image", type=IMAGE)
@click.argument("connection_file")
@click.pass_obj
def run_command(door: Door, /, image: str, connection_file: str, **flags: Any) -> int:
    """Run a kernel in a container of IMAGE until it ends; Jupyter does this."""
    from sandcell.runtime.engine import kernels

    connection = kernels.read_connection(connection_file)
    options = _options(flags)
    parent = os.getppid() if os.environ.get("JPY_PARENT_PID") else 0
    running = kernels.launch(door.engine, image, connection, options)
    if parent:
        Thread(target=_end_with, args=(parent,), daemon=True).start()
    return _follow(running)


@kernel_command.command("list")
@_prefix_flag
@format_option
def list_command(prefix: str | None, form: str) -> None:
    """List the kernels that run in containers."""
    from sandcell.runtime.cli import kernelspecs

    found = kernelspecs.installed(kernelspecs.places(prefix))
    rows = [{"Kernel": one.name, "Image": one.image, "Directory": one.directory} for one in found]
    show(rows, _COLUMNS, form)


@kernel_command.command("remove")
@_prefix_flag
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def remove_command(prefix: str | None, names: tuple[str, ...]) -> None:
    """Remove kernels that 'kernel install' made. Images and running kernels stay."""
    from sandcell.runtime.cli import kernelspecs

    for name in names:
        kernelspecs.remove(kernelspecs.places(prefix), name)
        print(name)


def _options(flags: dict[str, Any]) -> "Options":
    from sandcell.runtime.cli.creation import environment, host_path
    from sandcell.runtime.container.options import Options, parse_cpus, parse_memory

    volumes = tuple(map(host_path, flags["volume"]))
    if flags["mount"]:
        volumes += (f"{os.getcwd()}:{_PLACE}",)
    return Options(
        env=environment(flags["env"]),
        volumes=volumes,
        workdir=_PLACE if flags["mount"] else "",
        network=flags["network"] or "none",
        memory=None if flags["memory"] is None else parse_memory(flags["memory"]),
        cpus=None if flags["cpus"] is None else parse_cpus(flags["cpus"]),
    ).check()


def _words(flags: dict[str, Any]) -> list[str]:
    """The flags as they are typed."""
    words: list[str] = []
    for name, value in flags.items():
        if value is True:
            words.append(f"--{name}")
        elif value:
            words += [f"--{name}={one}" for one in ((value,) if isinstance(value, str) else value)]
    return words


def _follow(running: "Running") -> int:
    """What it writes, to ours, until it ends; signals that come to us go to it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: running.signal(number))
    streams = {"stdout": sys.stdout.buffer, "stderr": sys.stderr.buffer}
    for output in running.output():
        try:
            streams[output.stream].write(output.data)
            streams[output.stream].flush()
        except BrokenPipeError:
            pass  # the kernel speaks through its sockets; nobody must read this
    return running.wait() or 0


def _end_with(parent: int) -> None:
    """As kernels do, end when the server has gone without a word. The container ends with us."""
    while os.getppid() == parent:
        sleep(1)
    os._exit(1)
