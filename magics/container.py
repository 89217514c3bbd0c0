"""``%%container``: a cell that runs in a new container of an image, or inside a running one."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sandcell.magics.arguments import Request, parse
from sandcell.magics.cards import container_card
from sandcell.magics.conduct import conduct, wish_of
from sandcell.magics.creation import environment, options_of
from sandcell.magics.deliver import ROOM, ROOM_INSIDE, deliver
from sandcell.magics.exchange import Sent, send
from sandcell.magics.grammar import CONTAINER_CELL, WITH_IN
from sandcell.magics.ports import links
from sandcell.magics.session import Session
from sandcell.magics.tables import plan_card
from sandcell.runtime.errors import ContainerNotFound, ImageNotFound, InvalidOption

if TYPE_CHECKING:
    from sandcell.runtime.engine.values import Container
    from sandcell.runtime.oci.image import Image

_UNBUFFERED = {"PYTHONUNBUFFERED": "1"}
_NOT_IN_BACKGROUND = ("expect", "fetch", "remove")


def run_cell(session: Session, line: str, body: str, local: Mapping[str, Any] | None = None) -> None:
    """Carry out a ``%%container`` cell. Nothing is made before the whole line was understood."""
    request = parse(CONTAINER_CELL, line, session.names, local)
    if request.on("help"):
        print(CONTAINER_CELL.help())  # noqa: T201
        return
    inside = request.on("in")
    if not inside and not request.words:
        raise InvalidOption("%%container", "", "which image?", "write: %%container IMAGE, or --in NAME")
    target = request.text("in") if inside else request.words[0]
    if not body.strip():
        verb = f"%container exec {target} COMMAND" if inside else f"%container run {target}"
        told = "runs one command" if inside else "runs the image's own command"
        raise InvalidOption(
            "%%container", target, "the cell is empty: there is nothing to run in it", f"{verb}   {told}"
        )
    names = {**session.names, **(local or {})}
    if inside:
        _check_inside(request)
        _run_inside(session, request, body, names)
    else:
        _run_new(session, request, line, body, names)


def start_background(session: Session, request: Request, container: "Container") -> None:
    """Start a created container in the background and show how it stands."""
    started = session.engine.start(container)
    if request.on("as"):
        session.names[request.text("as")] = started
    image = session.engine.image(started.image_digest)
    session.show(container_card(started, image, (), links(started, image)))


def check_background(request: Request, name: str) -> None:
    """Raise `InvalidOption` for a flag that means nothing in the background."""
    for key in _NOT_IN_BACKGROUND:
        if request.on(key):
            flag = "--rm" if key == "remove" else f"--{key}"
            raise InvalidOption(
                name,
                f"{flag} --bg",
                "nobody waits for the end of a background container",
                f"leave {flag} away",
            )


def _run_new(session: Session, request: Request, line: str, body: str, names: Mapping[str, Any]) -> None:
    engine = session.engine
    name = request.words[0]
    image = _image(session, request)
    wish = wish_of(request, remove=request.on("remove"))
    sent = _sent(request, body, image.config.config.shell, names, ROOM)
    background = request.on("background")
    cell = "" if request.on("name") else session.cell(line, body)
    options = options_of(
        request,
        session.settings.limits(),
        env={**_UNBUFFERED, **sent.env},
        labels=session.reruns.labels(cell) if cell else {},
        entrypoint=(),
        files=dict(sent.delivery.files),
        # A cell's own container ends with the kernel that shows it; a background one goes on.
        die_with_client=not background,
        # With values to fetch the container must outlive its process for a moment.
        remove=wish.remove and not wish.fetch,
    )
    if request.on("explain"):
        plan = engine.explain(name, sent.delivery.command, options)
        session.show(plan_card(f"a container of {name}", str(plan).splitlines()))
        return
    if background:
        check_background(request, "%%container")
        start_background(session, request, engine.create(name, sent.delivery.command, options, starts=True))
        return
    conduct(session, lambda: engine.launch(name, sent.delivery.command, options), wish, cell)


def _run_inside(session: Session, request: Request, body: str, names: Mapping[str, Any]) -> None:
    from sandcell.runtime.container.options import ExecOptions

    engine = session.engine
    container = _container(session, request)
    wish = wish_of(request, inside=True)
    try:
        shell = engine.image(container.image_digest).config.config.shell
    except ImageNotFound:
        shell = ()  # a container may outlive its image's last name
    sent = _sent(request, body, shell, names, ROOM_INSIDE)
    options = ExecOptions(
        env={**_UNBUFFERED, **sent.env, **environment(request)},
        workdir=request.text("workdir"),
        user=request.text("user"),
        tty=request.on("tty"),
        files=dict(sent.delivery.files),
        fetch=bool(wish.fetch),
    ).check()
    conduct(session, lambda: engine.launch_in(container, sent.delivery.command, options), wish)


def _sent(request: Request, body: str, shell: tuple[str, ...], names: Mapping[str, Any], room: str) -> Sent:
    delivery = deliver(
        body,
        interpreter=request.text("with"),
        shell=shell,
        strict=request.on("strict"),
        room=room,
    )
    return send(delivery, request.texts("send"), request.texts("fetch"), names, room=room)


def _check_inside(request: Request) -> None:
    if request.words:
        raise InvalidOption(
            "%%container",
            request.words[0],
            "with --in the cell runs in a container that exists; there is no image to name",
            f"leave {request.words[0]} away, or --in",
        )
    for key in request.flags:
        if key not in WITH_IN:
            start, end = request.places[key]
            raise InvalidOption(
                "%%container",
                request.line[start:end],
                f"is for a new container; {request.text('in')} exists already",
                f"leave it away, or make a new one: %%container {'IMAGE'} {request.line[start:end]}",
            )


def _image(session: Session, request: Request) -> "Image":
    """The image named on the line; a container of that name gets the corrected line told."""
    name = request.words[0]
    try:
        return session.engine.image(name)
    except ImageNotFound:
        try:
            session.engine.container(name)
        except ContainerNotFound:
            pass
        else:
            raise ImageNotFound(
                "%%container",
                name,
                "is a container, not an image",
                _corrected(request, request.spots[0], "--in "),
            ) from None
        raise


def _container(session: Session, request: Request) -> "Container":
    """The container named by ``--in``; an image of that name gets the corrected line told."""
    name = request.text("in")
    try:
        return session.engine.container(name)
    except ContainerNotFound:
        if any(name in (entry.name, entry.name.removesuffix(":latest")) for entry in session.engine.images()):
            raise ContainerNotFound(
                "%%container",
                name,
                "is an image, not a container",
                _corrected(request, request.places["in"], ""),
            ) from None
        raise


def _corrected(request: Request, place: tuple[int, int], prefix: str) -> str:
    """The line as it should be: the word at ``place`` replaced by the other way to name the thing."""
    start, end = place
    word = request.line[start:end]
    name = word if prefix else word.removeprefix("--in").lstrip("= ")
    return f"write: %%container {request.line[:start].lstrip()}{prefix}{name}{request.line[end:]}".rstrip()
