"""Pictures for the runtime's own values: ``engine.image("hello")`` at the end of a cell draws one.

The values know nothing of Jupyter; IPython is told by type name how to draw them, so nothing of
the runtime is imported for it. ``%config``, trust and dead kernels do not matter: text and static
HTML are all there is.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sandcell.magics.cards import container_card, image_card, layer_card
from sandcell.magics.paper import Card
from sandcell.magics.quiet import result_card
from sandcell.magics.session import Session
from sandcell.magics.tables import diff_card, plan_card
from sandcell.runtime.errors import SandcellError

if TYPE_CHECKING:
    from sandcell.runtime.engine.values import Container
    from sandcell.runtime.oci.image import Image

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

    def forget() -> None:
        for module, name in _draws(session):
            for kind in ("text/html", "text/plain"):
                formatters[kind].pop(f"{module}.{name}", None)

    return forget


def _draws(session: Session) -> dict[tuple[str, str], Draw]:
    engine = "sandcell.runtime.engine.values"
    return {
        ("sandcell.runtime.oci.image", "Image"): lambda image: image_card(image, _name(session, image)),
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


def _name(session: Session, image: "Image") -> str:
    """A name the image has now; empty when it has none, or nobody can be asked without waiting."""
    engine = session.engine_if_ready
    try:
        entries = engine.images() if engine is not None else ()
    except SandcellError:
        return ""
    return next((entry.name for entry in entries if entry.digest == image.digest), "")


def _container(session: Session, container: "Container") -> Card:
    """The card with the stack below it and what changed in it, as far as they can be had now."""
    engine = session.engine_if_ready
    if engine is None:
        return container_card(container)
    try:
        return container_card(container, engine.image(container.image_digest), engine.diff(container))
    except SandcellError:
        return container_card(container)
