"""Arguments that name something in the store, with completion of what is there."""

import click
from click.shell_completion import CompletionItem

from sandcell.runtime.cli.door import Door
from sandcell.runtime.errors import SandcellError


class ContainerName(click.types.StringParamType):
    """A container's name, id, or the beginning of an id."""

    name = "container"

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002 - click's signature
        incomplete: str,
    ) -> list[CompletionItem]:
        """Names of all containers that begin so."""
        door = ctx.find_object(Door)
        if door is None:
            return []
        try:
            found = [container.name for container in door.engine.containers(all=True)]
        except (SandcellError, OSError):
            return []
        return [CompletionItem(name) for name in found if name.startswith(incomplete)]


class ImageName(click.types.StringParamType):
    """An image's name or digest."""

    name = "image"

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002 - click's signature
        incomplete: str,
    ) -> list[CompletionItem]:
        """Names of all images that begin so."""
        door = ctx.find_object(Door)
        if door is None:
            return []
        try:
            found = [entry.name for entry in door.engine.images()]
        except (SandcellError, OSError):
            return []
        return [CompletionItem(name) for name in found if name.startswith(incomplete)]


CONTAINER = ContainerName()
IMAGE = ImageName()
