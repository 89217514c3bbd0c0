"""``sandcell pull | push | login | logout | registry``."""

import sys

import click

from sandcell.runtime.cli.door import Door
from sandcell.runtime.cli.names import IMAGE
from sandcell.runtime.cli.remote import delete_command, inspect_command, referrers_command, tags_command
from sandcell.runtime.cli.transfers import transfers
from sandcell.runtime.errors import BadInput

HUB = "docker.io"


@click.command("pull")
@click.option("--platform", metavar="OS/ARCH", help="Of another kind of machine.")
@click.option("-a", "--all-platforms", is_flag=True, help="The whole index, as it is there.")
@click.option("-q", "--quiet", is_flag=True, help="Only print the digest.")
@click.argument("images", nargs=-1, required=True)
@click.pass_obj
def pull_command(
    door: Door, images: tuple[str, ...], platform: str | None, all_platforms: bool, quiet: bool
) -> None:
    """Bring IMAGES from the registry in their name, Docker Hub where there is none."""
    for name in images:
        with transfers(quiet) as hears:
            image = door.engine.pull(name, platform=platform, all_platforms=all_platforms, on_event=hears)
        print(image.digest)


@click.command("push")
@click.option("--platform", metavar="OS/ARCH", help="Of an index only the image for this.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but warnings.")
@click.argument("image", type=IMAGE)
@click.pass_obj
def push_command(door: Door, image: str, platform: str | None, quiet: bool) -> None:
    """Send IMAGE to the registry in its name; an index with all that it names."""
    with transfers(quiet) as hears:
        warnings = door.engine.push(image, platform=platform, on_event=hears)
    for warning in warnings:
        print(f"warning: {image}: {warning}", file=sys.stderr)


@click.command("login")
@click.option("-u", "--username", help="Asked for if left out.")
@click.option("-p", "--password", help="Others can see it here: better --password-stdin.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.argument("registry", default=HUB)
@click.pass_obj
def login_command(
    door: Door, registry: str, username: str | None, password: str | None, password_stdin: bool
) -> None:
    """Try a name and a password at REGISTRY and keep them, as docker does."""
    if password_stdin:
        if password is not None or username is None:
            hint = "login -u NAME --password-stdin"
            raise BadInput("log in to", registry, "--password-stdin goes with -u and without -p", hint)
        password = sys.stdin.readline().rstrip("\r\n")
    user = username if username is not None else click.prompt("Username", err=True)
    secret = password if password is not None else click.prompt("Password", hide_input=True, err=True)
    print(f"Login succeeded; kept in {door.engine.login(registry, user, secret)}")


@click.command("logout")
@click.argument("registry", default=HUB)
@click.pass_obj
def logout_command(door: Door, registry: str) -> None:
    """Forget the login for REGISTRY."""
    print("Removed the login" if door.engine.logout(registry) else f"Not logged in to {registry}")


@click.group("registry")
def registry_command() -> None:
    """A small registry over the images of this store, and what can be asked of any other one."""


for _command in (tags_command, inspect_command, referrers_command, delete_command):
    registry_command.add_command(_command)


@registry_command.command("serve")
@click.option("--address", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=5000, show_default=True, help="0: any free one."
)
@click.option(
    "--users",
    "--htpasswd",
    type=click.Path(dir_okay=False),
    help="Who may come in: a file that htpasswd -B wrote, or of NAME:PASSWORD lines.",
)
@click.option("--tls", nargs=2, metavar="CERT KEY", help="Files: speak TLS.")
@click.option("-q", "--quiet", is_flag=True, help="No line for each request.")
@click.pass_obj
def serve_command(
    door: Door, address: str, port: int, users: str | None, tls: tuple[str, str] | None, quiet: bool
) -> None:
    """Let others pull the images of this store, and push into it, until Ctrl-C.

    The image hello here is HOST:PORT/hello there. Who can come in can read and change every image.
    """

    def tell(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    with door.engine.registry(address, port, users=users, tls=tls, log=None if quiet else tell) as server:
        print(f"serving at {server.scheme}://{server.name}", flush=True)
        if users is None and not server.is_loopback:
            tell("warning: everybody who reaches this address can change every image here: see --users")
        elif users is not None and tls is None and not server.is_loopback:
            tell("warning: passwords come without TLS: see --tls")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return
