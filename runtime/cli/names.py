"""Arguments that name something in the store, with completion of what is there."""

from abc import abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from sandcell.runtime.cli.door import Door
from sandcell.runtime.errors import SandcellError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class _Name(click.types.StringParamType):
    @abstractmethod
    def there(self, door: Door) -> Iterable[str]:
        """The names that could be meant."""

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002 - click's signature
        incomplete: str,
    ) -> list["CompletionItem"]:
        """Those that begin so; none where the store cannot be read."""
        from click.shell_completion import CompletionItem

        door = ctx.find_object(Door)
        try:
            found = [] if door is None else list(self.there(door))
        except (SandcellError, OSError):
            return []
        return [CompletionItem(name) for name in found if name.startswith(incomplete)]


class ContainerName(_Name):
    """A container's name, id, or the beginning of an id."""

    name = "container"

    def there(self, door: Door) -> Iterable[str]:
        """Names of all containers."""
        return (container.name for container in door.engine.containers(all=True))


class ImageName(_Name):
    """An image's name or digest."""

    name = "image"

    def there(self, door: Door) -> Iterable[str]:
        """Names of all images."""
        return (entry.name for entry in door.engine.images())


CONTAINER = ContainerName()
IMAGE = ImageName()
