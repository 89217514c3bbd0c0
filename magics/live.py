"""Showing the live inspector: by ``%sandcell``, and by ``live()`` of images, layers, containers, plans, of
what a container changed and of what a command left.

Without widgets (a terminal, a front end that has none installed) the cards are shown instead, so that
nobody needs them. With widgets the cards stay in the saved notebook, below where the widget was: whoever
opens it without this kernel reads them. Nothing of widgets is imported before it is asked for.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from sandcell.magics import paper as p
from sandcell.magics.paper import Card, Html
from sandcell.magics.tables import Diff, containers_card, images_card
from sandcell.runtime.errors import SandcellError

if TYPE_CHECKING:
    from sandcell.magics.session import Session
    from sandcell.runtime import BuildPlan
    from sandcell.runtime.engine.values import Container, ContainerPlan, Result
    from sandcell.runtime.oci.image import Image, Layer

_LIVE = "live"

STILL = "sandcell, as it was"
"""How the cards below the widget are called; the widget's styles hide what is called so while it lives."""


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
    told = "The inspector is live in a running notebook; below is what it showed at first."
    session.shell.display_pub.publish(data={**data, "text/plain": told}, metadata=metadata or {})
    session.show(_still(images, containers))


def _still(*cards: Card) -> Card:
    """The cards as one display, so that they are hidden together."""
    html = p.el("div", "", *(Html(card.html) for card in cards), title=STILL)
    return Card("\n\n".join(card.text for card in cards), html)


def attach(session: "Session") -> None:
    """Give the values their ``live()``. The classes know nothing of notebooks; this notebook adds it to
    them, and `detach` takes it away."""

    def image(self: "Image") -> None:
        """Open the inspector at this image."""
        open_inspector(session, {"kind": "image", "key": str(self.digest)})

    def layer(self: "Layer") -> None:
        """Open the inspector at this layer, in an image that has it."""
        open_inspector(session, _place_of(session, self))

    def container(self: "Container") -> None:
        """Open the inspector at this container."""
        open_inspector(session, {"kind": "container", "key": self.id})

    def result(self: "Result") -> None:
        """Open the inspector at the log of the container that the command ran in."""
        open_inspector(session, {"kind": "container", "key": self.container.id, "tab": "log"})

    def diff(self: "Diff") -> None:
        """Open the inspector at the files that this container changed."""
        found = session.engine.container(self.container)
        open_inspector(session, {"kind": "container", "key": found.id, "tab": "files"})

    def build_plan(self: "BuildPlan") -> None:
        """Open the inspector at the image that the build begins with; what is planned is not there yet."""
        open_inspector(session, _base_of(session, self))

    def container_plan(self: "ContainerPlan") -> None:
        """Open the inspector at the image that the container would stand on; there is no container yet."""
        open_inspector(session, {"kind": "image", "key": self.image} if self.image else {})

    methods = (image, layer, container, result, diff, build_plan, container_plan)
    for kind, method in zip(_kinds(), methods, strict=True):
        setattr(kind, _LIVE, method)


def detach() -> None:
    """Take ``live()`` away again."""
    for kind in _kinds():
        if hasattr(kind, _LIVE):
            delattr(kind, _LIVE)


def _kinds() -> tuple[type, ...]:
    from sandcell.runtime import BuildPlan
    from sandcell.runtime.engine.values import Container, ContainerPlan, Result
    from sandcell.runtime.oci.image import Image, Layer

    return Image, Layer, Container, Result, Diff, BuildPlan, ContainerPlan


def _base_of(session: "Session", plan: "BuildPlan") -> dict[str, Any]:
    try:
        return {"kind": "image", "key": str(session.engine.image(plan.base).digest)} if plan.base else {}
    except SandcellError:
        return {}  # it is not here yet


def _place_of(session: "Session", layer: "Layer") -> dict[str, Any]:
    engine = session.engine
    for entry in engine.images():
        image = engine.image(str(entry.digest))
        for number, one in enumerate(image.layers, 1):
            if one.chain_id == layer.chain_id:
                return {"kind": "layer", "key": str(image.digest), "number": number}
    return {}
