"""Showing the live inspector: by ``%sandcell``, and by ``live()`` of images, layers and containers.

Without widgets (a terminal, a front end that has none installed) the cards are shown instead, so that
nobody needs them. Nothing of them is imported before it is asked for.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from sandcell.magics.tables import containers_card, images_card

if TYPE_CHECKING:
    from sandcell.magics.session import Session
    from sandcell.runtime.engine.values import Container
    from sandcell.runtime.oci.image import Image, Layer

_LIVE = "live"


def open_inspector(session: "Session", chosen: dict[str, Any] | None = None) -> None:
    """Show the inspector with ``chosen`` opened, or the cards of what there is."""
    engine = session.engine
    images, containers = images_card(engine.images()), containers_card(engine.containers(all=True))
    if not (session.has_html and find_spec("anywidget") and find_spec("ipykernel")):
        session.show(images)
        session.show(containers)
        return
    from sandcell.magics.inspector import widget

    shown: Any = widget.show(engine, chosen)
    session.at_close(widget.close_all)
    bundle = shown._repr_mimebundle_()
    data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
    # A front end without widgets shows the text.
    told = f"{images.text}\n\n{containers.text}"
    session.shell.display_pub.publish(data={**data, "text/plain": told}, metadata=metadata or {})


def attach(session: "Session") -> None:
    """Give images, layers and containers their ``live()``. The classes know nothing of notebooks; this
    notebook adds it to them, and `detach` takes it away."""
    from sandcell.runtime.engine.values import Container
    from sandcell.runtime.oci.image import Image, Layer

    def image(self: "Image") -> None:
        """Open the inspector at this image."""
        open_inspector(session, {"kind": "image", "key": str(self.digest)})

    def layer(self: "Layer") -> None:
        """Open the inspector at this layer, in an image that has it."""
        open_inspector(session, _place_of(session, self))

    def container(self: "Container") -> None:
        """Open the inspector at this container."""
        open_inspector(session, {"kind": "container", "key": self.id})

    for kind, method in ((Image, image), (Layer, layer), (Container, container)):
        setattr(kind, _LIVE, method)


def detach() -> None:
    """Take ``live()`` away again."""
    from sandcell.runtime.engine.values import Container
    from sandcell.runtime.oci.image import Image, Layer

    for kind in (Image, Layer, Container):
        if hasattr(kind, _LIVE):
            delattr(kind, _LIVE)


def _place_of(session: "Session", layer: "Layer") -> dict[str, Any]:
    engine = session.engine
    for entry in engine.images():
        image = engine.image(str(entry.digest))
        for number, one in enumerate(image.layers, 1):
            if one.chain_id == layer.chain_id:
                return {"kind": "layer", "key": str(image.digest), "number": number}
    return {}
