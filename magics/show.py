"""Pictures for the runtime's own values: ``engine.image("hello")`` at the end of a cell draws one.

The values know nothing of Jupyter; IPython is told by type name how to draw them, so nothing of
the runtime is imported for it. ``%config``, trust and dead kernels do not matter: text, static HTML
and for images, layers and containers a PNG are all there is.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sandcell.magics.cards import container_card, image_card, layer_card, shares_of, tally_of
from sandcell.magics.paper import Card
from sandcell.magics.ports import links
from sandcell.magics.quiet import result_card
from sandcell.magics.session import Session
from sandcell.magics.tables import diff_card, plan_card
from sandcell.runtime.errors import SandcellError

if TYPE_CHECKING:
    from sandcell.runtime.engine.values import Container
    from sandcell.runtime.layer.tree import Change
    from sandcell.runtime.oci.image import Image, Layer

Draw = Callable[[Any], Card]


def register(session: Session) -> Callable[[], None]:
    """Teach the shell to draw images, layers, containers, plans, diffs and results; returns what
    lets it forget them."""
    formatters = session.shell.display_formatter.formatters
    for (module, name), draw in _draws(session).items():
        formatters["text/html"].for_type_by_name(module, name, lambda value, draw=draw: draw(value).html)
        formatters["text/plain"].for_type_by_name(
            module, name, lambda value, printer, _, draw=draw: printer.text(draw(value).text)
        )

    for (module, name), paint in _paints(session).items():
        formatters["image/png"].for_type_by_name(module, name, paint)

    def forget() -> None:
        for module, name in _draws(session):
            for kind in ("text/html", "text/plain", "image/png"):
                formatters[kind].pop(f"{module}.{name}", None)

    return forget


def _draws(session: Session) -> dict[tuple[str, str], Draw]:
    engine = "sandcell.runtime.engine.values"
    return {
        ("sandcell.runtime.oci.image", "Image"): lambda image: image_card(
            image, _name(session, image), shared=shares(session)
        ),
        ("sandcell.runtime.oci.image", "Layer"): layer_card,
        (engine, "Container"): lambda container: _container(session, container),
        (engine, "Result"): result_card,
        (engine, "ContainerPlan"): lambda plan: plan_card("a container", str(plan).splitlines()),
        ("sandcell.runtime.build.ops", "BuildPlan"): lambda plan: plan_card(
            "an image", str(plan).splitlines()
        ),
        ("sandcell.runtime.container.steps", "Plan"): lambda plan: plan_card(
            "a container", str(plan).splitlines()
        ),
        ("sandcell.magics.tables", "Diff"): diff_card,
    }


def _paints(session: Session) -> dict[tuple[str, str], Callable[[Any], bytes]]:
    """What is drawn as PNG too; Pillow is loaded by the first one."""

    def image(value: "Image") -> bytes:
        from sandcell.magics.drawing import image_png

        return image_png(value, _name(session, value), shares(session))

    def container(value: "Container") -> bytes:
        from sandcell.magics.drawing import container_png

        below, changes = _surroundings(session, value)
        return container_png(value, below, tally_of(changes) if changes is not None else "")

    def layer(value: "Layer") -> bytes:
        from sandcell.magics.drawing import layer_png

        return layer_png(value)

    return {
        ("sandcell.runtime.oci.image", "Image"): image,
        ("sandcell.runtime.oci.image", "Layer"): layer,
        ("sandcell.runtime.engine.values", "Container"): container,
    }


def _name(session: Session, image: "Image") -> str:
    """A name the image has now; empty when it has none, or nobody can be asked without waiting."""
    engine = session.engine_if_ready
    try:
        entries = engine.images() if engine is not None else ()
    except SandcellError:
        return ""
    return next((entry.name for entry in entries if entry.digest == image.digest), "")


def shares(session: Session) -> dict[str, int]:
    """How many images stand on each layer, as far as that can be told without waiting."""
    engine = session.engine_if_ready
    try:
        names = {str(entry.digest) for entry in engine.images()} if engine is not None else set()
        return shares_of(engine.image(name) for name in names) if engine is not None else {}
    except SandcellError:
        return {}


def _container(session: Session, container: "Container") -> Card:
    """The card with the stack below it and what changed in it, as far as they can be had now."""
    image, changes = _surroundings(session, container)
    return container_card(container, image, changes, links(container, image))


def _surroundings(
    session: Session, container: "Container"
) -> "tuple[Image | None, tuple[Change, ...] | None]":
    engine = session.engine_if_ready
    try:
        if engine is not None:
            return engine.image(container.image_digest), engine.diff(container)
    except SandcellError:
        pass  # it is gone; what the value says can still be drawn
    return None, None
