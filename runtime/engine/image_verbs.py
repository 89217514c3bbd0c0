"""The engine's verbs on images: build, look, name, and carry to and from archives and registries."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from sandcell.runtime.engine.values import HistoryEntry, ImageEntry, Removed
from sandcell.runtime.events import Callback, ImageEvent

if TYPE_CHECKING:
    from sandcell.runtime.build.ops import BuildPlan
    from sandcell.runtime.engine.engine import Engine
    from sandcell.runtime.engine.images import Images
    from sandcell.runtime.oci.image import Image


class ImageVerbs:
    """The half of ``Engine`` that speaks of images."""

    on_event: Callback
    _images: "Images | None" = None

    @property
    def store(self) -> "Images":
        """The store of images and their unpacked layers."""
        from sandcell.runtime.engine.images import Images

        if self._images is None:
            self._images = Images(cast("Engine", self))
        return self._images

    def build(
        self,
        text: str,
        *,
        name: str | None = None,
        context: str | os.PathLike[str] | None = None,
        build_args: Mapping[str, str] | None = None,
        target: str | None = None,
        no_cache: bool = False,
        pull: bool = False,
        on_event: Callback | None = None,
    ) -> "Image":
        """Build the Dockerfile ``text``; ``name`` then names the image. Files come from ``context``.

        ``DockerfileError`` for the text, ``BuildFailed`` for a step; finished steps stay cached.
        """
        image = self.store.build(
            text, name, context, build_args, target, no_cache, pull, on_event or self.on_event
        )
        self.on_event(ImageEvent(action="build", name=name or "", digest=image.digest))
        return image

    def plan(
        self,
        text: str,
        *,
        name: str | None = None,
        context: str | os.PathLike[str] | None = None,
        build_args: Mapping[str, str] | None = None,
        target: str | None = None,
    ) -> "BuildPlan":
        """What ``build`` would do, as a value to print; nothing is executed."""
        return self.store.plan(text, name, context, build_args, target)

    def images(self) -> tuple[ImageEntry, ...]:
        """The named images, newest first."""
        return self.store.entries()

    def image(self, name: str) -> "Image":
        """The image of that name or digest; ``host`` is made when it is asked for.
        ``ImageNotFound`` when there is none."""
        return self.store.find(name)

    def history(self, name: str) -> tuple[HistoryEntry, ...]:
        """The instructions that made the image, newest first."""
        return self.store.history(name)

    def tag(self, source: str, target: str) -> None:
        """Give the image another name; a name that another image had moves."""
        image = self.store.find(source)
        self.store.name(target, image)
        self.on_event(ImageEvent(action="tag", name=target, digest=image.digest))

    def remove_image(self, name: str, *, force: bool = False) -> Removed:
        """Take the name away. ``Conflict`` when a container was made from it, unless ``force``; its
        layers stay as long as a container or another image needs them."""
        removed = self.store.remove(name, force=force)
        self.on_event(ImageEvent(action="untag", name=name))
        return removed

    def save(self, name: str, path: str | os.PathLike[str]) -> None:
        """Write the image as an OCI archive (a tar of an OCI layout) to ``path``."""
        self.store.save(name, os.fspath(path))
        self.on_event(ImageEvent(action="save", name=name))
