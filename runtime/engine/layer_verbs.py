"""The engine's verbs on what is inside: a layer's files, a file's bytes, a port of a container."""

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import socket

    from sandcell.runtime.engine.engine import Engine, Who
    from sandcell.runtime.layer.listing import LayerFiles
    from sandcell.runtime.oci.image import Image

MOST_BYTES = 1 << 20
"""Of a file that is looked at."""


class LayerVerbs:
    """The part of ``Engine`` that looks into layers and containers."""

    def layer_files(self, image: "Image | str", number: int) -> "LayerFiles":
        """What layer ``number`` of an image (from 1, the lowest) adds, changes and deletes, and the bytes
        below that it wastes. The layers of the last few images stay in memory. ``NotFound``."""
        from sandcell.runtime.engine import insides

        return insides.layer_files(cast("Engine", self), image, number)

    def layer_file(self, image: "Image | str", number: int, path: str, most: int = MOST_BYTES) -> bytes:
        """The first ``most`` bytes of a regular file as layer ``number`` brings it. ``NotFound``."""
        from sandcell.runtime.engine import insides

        return insides.layer_file(cast("Engine", self), image, number, path, most)

    def container_file(self, container: "Who", path: str, most: int = MOST_BYTES) -> bytes:
        """The first ``most`` bytes of a regular file of a container, running or not. ``NotFound``;
        ``InvalidOption`` for what is not a regular file."""
        from sandcell.runtime.engine import insides

        return insides.container_file(cast("Engine", self), container, path, most)

    def connect(self, container: "Who", port: int) -> "socket.socket":
        """A connection to a TCP port of a running container, made inside its own network: it needs no
        published port. ``WrongState`` unless it runs, ``NotFound`` when nobody listens there."""
        from sandcell.runtime.engine import reaching

        engine = cast("Engine", self)
        return reaching.connect(engine, engine._find(container), port)
