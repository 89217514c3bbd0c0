"""The engine's verbs on images: build, look, name, and carry to and from archives and registries."""

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, BinaryIO, cast

from sandcell.runtime.engine.values import HistoryEntry, ImageEntry, Removed
from sandcell.runtime.events import Callback, ImageEvent

if TYPE_CHECKING:
    from sandcell.runtime.build.ops import BuildPlan
    from sandcell.runtime.build.options import BuildOptions
    from sandcell.runtime.engine.engine import Engine
    from sandcell.runtime.engine.images import Images
    from sandcell.runtime.layer.compress import Compression
    from sandcell.runtime.oci.image import Image
    from sandcell.runtime.store.load import Loaded
    from sandcell.runtime.store.store import ArchiveForm


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

    @property
    def shared_stores(self) -> tuple[str, ...]:
        """Homes of the stores whose images are there as well, read-only (``stores`` in config.toml)."""
        return self.store.store.shared

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
        options: "BuildOptions | None" = None,
        on_event: Callback | None = None,
    ) -> "Image":
        """Build the Dockerfile ``text``; ``name`` then names the image. Files come from ``context``.

        ``options``: secrets, named contexts, caches, the platform and the like. ``DockerfileError`` for
        the text, ``BuildFailed`` for a step; finished steps stay cached.
        """
        from sandcell.runtime.engine import builds

        engine = cast("Engine", self)
        told = on_event or self.on_event
        image = builds.build(engine, text, name, context, build_args, target, no_cache, pull, options, told)
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
        options: "BuildOptions | None" = None,
    ) -> "BuildPlan":
        """What ``build`` would do, as a value to print; nothing is executed."""
        from sandcell.runtime.engine import builds

        del name
        return builds.plan(cast("Engine", self), text, context, build_args, target, options)

    def context(self, source: str | BinaryIO) -> AbstractContextManager[str]:
        """A directory with the files of a build context that comes as a tar (an open binary file, or an
        address of HTTP) or as a git repository (``URL#REF:DIRECTORY``), as long as the with statement
        lasts. ``BadInput``."""
        from sandcell.runtime.engine import contexts

        return contexts.opened(cast("Engine", self), source)

    def write_files(self, image: "Image", out: str | BinaryIO, *, as_tar: bool = False) -> None:
        """Write all files of ``image`` into the directory ``out``, made where it is missing, or as a tar to
        a path or an open binary file. Owners are kept where we may give them."""
        from sandcell.runtime.engine import archives

        archives.write_files(cast("Engine", self), image, out, as_tar=as_tar)

    def images(self, filters: Sequence[str] = ()) -> tuple[ImageEntry, ...]:
        """The named images, newest first. ``filters``: docker's, as ``KEY=VALUE``: label, reference
        (a pattern), before, since (an image), dangling (``true``: those without a name)."""
        return self.store.entries(filters)

    def image(self, name: str) -> "Image":
        """The image of that name or digest; ``host`` is made when it is asked for.
        ``ImageNotFound`` when there is none."""
        return self.store.find(name)

    def history(self, name: str) -> tuple[HistoryEntry, ...]:
        """The instructions that made the image, newest first."""
        return self.store.history(name)

    def tag(self, source: str, target: str) -> None:
        """Give the image another name; a name that another image had moves."""
        image = self.store.tag(source, target)
        self.on_event(ImageEvent(action="tag", name=target, digest=image.digest))

    def remove_image(self, name: str, *, force: bool = False) -> Removed:
        """Take the name away. ``Conflict`` when a container was made from it, unless ``force``; its
        layers stay as long as a container or another image needs them."""
        removed = self.store.remove(name, force=force)
        self.on_event(ImageEvent(action="untag", name=name))
        return removed

    def save(
        self,
        names: str | Sequence[str],
        out: str | os.PathLike[str] | BinaryIO,
        *,
        form: "ArchiveForm" = "oci-archive",
        compression: "Compression" = "none",
    ) -> None:
        """Write one or several images as one archive to the path ``out``, or to an open binary file.

        ``form``: ``oci-archive`` (a tar of an OCI layout), ``oci-dir`` (such a layout as a new directory) or
        ``docker-archive`` (as ``docker save``). ``compression``: of the whole archive; layers are mostly
        compressed already.
        """
        wanted = (names,) if isinstance(names, str) else tuple(names)
        self.store.save(wanted, _place(out), form, compression)
        for name in wanted:
            self.on_event(ImageEvent(action="save", name=name))

    def load(
        self, source: str | os.PathLike[str] | BinaryIO, *, name: str | None = None
    ) -> "tuple[Loaded, ...]":
        """Take all images of an OCI layout directory, or of an OCI or docker archive, compressed or
        not, by path or as an open binary file; each with its ``name`` and ``image``.

        ``name``: what to call a single image. Everything is verified first: ``BadInput``, ``Corrupted``
        and ``BlobNotFound`` leave the names as they were.
        """
        loaded = self.store.store.take(_place(source), name)
        for one in loaded:
            self.on_event(ImageEvent(action="load", name=one.name, digest=one.image.digest))
        return loaded

    def import_image(
        self,
        source: str | os.PathLike[str] | BinaryIO,
        *,
        name: str | None = None,
        changes: Sequence[str] = (),
        message: str = "",
        platform: str = "",
    ) -> "Image":
        """Make an image of the tar of a root file system, compressed or not: a file, an ``http(s)://``
        address, or an open binary file. ``changes``: Dockerfile lines for its configuration, such as
        ``CMD ["/bin/sh"]``. ``platform``: ``os/architecture``, this machine's if left out."""
        from sandcell.runtime.engine import archives
        from sandcell.runtime.oci.platform import Platform

        engine = cast("Engine", self)
        meant = Platform.parse(platform) if platform else Platform.here()
        image = archives.import_image(engine, _place(source), name, changes, message, meant)
        self.on_event(ImageEvent(action="import", name=name or "", digest=image.digest))
        return image


def _place(place: str | os.PathLike[str] | BinaryIO) -> str | BinaryIO:
    return os.fspath(place) if isinstance(place, str | os.PathLike) else place
