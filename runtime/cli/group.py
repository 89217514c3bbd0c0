"""The group of all verbs. It knows where each one lives and loads it when it is typed."""

from importlib import import_module

import click

VERBS: dict[str, tuple[str, str]] = {
    "attach": ("attaching", "Come to a running container: its output, its keyboard"),
    "build": ("build", "Build an image from a Dockerfile"),
    "commit": ("changes", "Make a new image from a container's changes"),
    "container": ("container", "All that is done to containers, and removing those that ended"),
    "completion": ("about", "Print the completion script of a shell"),
    "cp": ("copy", "Copy files between a container and here"),
    "create": ("run", "Make a container without starting it"),
    "diff": ("changes", "Show what a container changed in its files"),
    "doctor": ("about", "Show what this host allows, and what would help"),
    "events": ("events", "Show what befalls containers, as it happens"),
    "exec": ("exec", "Run a command in a running container"),
    "export": ("archives", "Write a container's files to an archive"),
    "history": ("images", "Show the steps that made an image"),
    "images": ("images", "List images"),
    "image": ("image", "Look at images closely, and all that is done to them"),
    "import": ("archives", "Make an image of a root file system's archive"),
    "info": ("about", "Show the store and the host in numbers"),
    "inspect": ("changes", "Show everything about containers or images, as JSON"),
    "kernel": ("kernel", "Jupyter kernels that run in containers"),
    "kill": ("lifecycle", "Send a signal to containers"),
    "lessons": ("lessons", "Copy the lessons to a folder"),
    "load": ("archives", "Take images from an archive or an OCI layout"),
    "login": ("registry", "Keep a name and a password for a registry"),
    "logout": ("registry", "Forget the login for a registry"),
    "logs": ("logs", "Show what a container wrote"),
    "manifest": ("remote", "Look at what a name means in its registry"),
    "pause": ("living", "Let containers stand still"),
    "network": ("network", "Manage networks of containers"),
    "notebook": ("notebook", "Make Dockerfiles of a notebook, and notebooks of a Dockerfile"),
    "port": ("network", "Show the published ports of a container"),
    "prune": ("image", "Remove what nothing refers to any more"),
    "ps": ("ps", "List containers"),
    "pull": ("registry", "Bring images from a registry"),
    "push": ("registry", "Send an image to a registry"),
    "registry": ("registry", "Serve images as a registry, look into another one"),
    "rename": ("lifecycle", "Give a container another name"),
    "restart": ("lifecycle", "Stop and start containers"),
    "rm": ("lifecycle", "Remove containers"),
    "rmi": ("images", "Remove images"),
    "run": ("run", "Make a container of an image and run a command in it"),
    "save": ("archives", "Write images to an archive"),
    "start": ("lifecycle", "Start stopped containers"),
    "stats": ("looking", "Show what running containers use"),
    "stop": ("lifecycle", "Stop running containers"),
    "tag": ("images", "Give an image one more name"),
    "top": ("looking", "Show the processes of a container"),
    "unpause": ("living", "Let paused containers go on"),
    "update": ("living", "Give containers other limits"),
    "version": ("about", "Show the version"),
    "volume": ("volume", "Manage named volumes"),
    "wait": ("lifecycle", "Wait until containers end, print their exit status"),
}
"""Verb → (module in this room, its line in the help)."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for, and listed without import."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """All verbs, sorted."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, loading its file; ``None`` if there is none."""
        if cmd_name not in VERBS:
            return None
        if ctx.obj is not None:
            ctx.obj.verb = cmd_name
        module = import_module(f"sandcell.runtime.cli.{VERBS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb, or say which one was probably meant."""
        if args and not args[0].startswith("-") and args[0] not in VERBS:
            from difflib import get_close_matches

            close = get_close_matches(args[0], VERBS, n=1)
            advice = f", did you mean '{close[0]}'?" if close else ""
            raise click.UsageError(f"there is no verb '{args[0]}'{advice}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the list of verbs from the table, so that asking for help loads none of them."""
        with formatter.section("Verbs"):
            formatter.write_dl([(name, line) for name, (_, line) in VERBS.items()])


def _version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        from sandcell import __version__

        click.echo(f"sandcell {__version__}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["--help"]},
    epilog="Words and flags are docker's. 'sandcell VERB --help' tells more about one.",
)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Show the version."
)
@click.pass_context
def commands(ctx: click.Context) -> None:
    """OCI images and isolated containers, without a daemon."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
