"""``sandcell build``."""

import sys

import click

from sandcell.runtime.cli.door import Door
from sandcell.runtime.errors import BadInput, NotFound


@click.command("build")
@click.option("-f", "--file", "path", metavar="FILE", help="The Dockerfile; '-' is standard input.")
@click.option("-t", "--tag", "names", multiple=True, metavar="NAME[:TAG]", help="Name of the image.")
@click.option("--build-arg", "arguments", multiple=True, metavar="KEY=VALUE", help="Value of an ARG.")
@click.option("--target", metavar="STAGE", help="Stop after this stage.")
@click.option("--no-cache", is_flag=True, help="Execute every step.")
@click.option("--pull", is_flag=True, help="Make or fetch the base image anew.")
@click.option("-q", "--quiet", is_flag=True, help="Only print the digest.")
@click.option("--progress", type=click.Choice(["auto", "plain", "tty"]), default="auto", show_default=True)
@click.option("--explain", is_flag=True, help="Print the plan; execute nothing.")
@click.argument("context", metavar="DIR")
@click.pass_obj
def build_command(
    door: Door,
    context: str,
    path: str | None,
    names: tuple[str, ...],
    arguments: tuple[str, ...],
    target: str | None,
    no_cache: bool,
    pull: bool,
    quiet: bool,
    progress: str,
    explain: bool,
) -> None:
    """Build an image from the Dockerfile in DIR.

    With '-' as DIR the Dockerfile comes from standard input, and there is no directory to COPY
    from. Progress goes to standard error.
    """
    from sandcell.runtime.cli.creation import environment
    from sandcell.runtime.cli.progress import reporter

    text = _dockerfile(context, path)
    directory = None if context == "-" else context
    values = environment(arguments)
    name = names[0] if names else None
    engine = door.engine
    if explain:
        print(engine.plan(text, name=name, context=directory, build_args=values, target=target))
        return
    with reporter(quiet, progress) as on_event:
        image = engine.build(
            text,
            name=name,
            context=directory,
            build_args=values,
            target=target,
            no_cache=no_cache,
            pull=pull,
            on_event=on_event,
        )
    for other in names[1:]:
        engine.tag(names[0], other)
    if quiet or not names:
        print(image.digest)


def _dockerfile(context: str, path: str | None) -> str:
    """The text of the Dockerfile, from where the arguments say it is."""
    import os

    if context == "-" and path is not None:
        raise BadInput("build", "-", "both the directory and -f were given", "leave -f out")
    if context == "-" or path == "-":
        return sys.stdin.read()
    if not os.path.isdir(context):
        raise NotFound("build", context, "no such directory", "the last word is the directory to COPY from")
    file = path if path is not None else os.path.join(context, "Dockerfile")
    try:
        with open(file, encoding="utf-8") as stream:
            return stream.read()
    except FileNotFoundError:
        raise NotFound("build", file, "no such file", "name the Dockerfile with -f FILE") from None
    except UnicodeDecodeError as error:
        raise BadInput("build", file, f"not UTF-8 text: {error.reason} at byte {error.start}") from None
