"""``%%image`` builds an image of the cell; ``%image`` lists, names and removes images."""

import json
from collections.abc import Mapping
from typing import Any, Literal

from sandcell.magics import looks
from sandcell.magics.arguments import Request, parse
from sandcell.magics.cards import image_card
from sandcell.magics.complain import Interrupted
from sandcell.magics.exchange import check_name
from sandcell.magics.grammar import BUILD_LISTS, IMAGE_CELL
from sandcell.magics.paper import short
from sandcell.magics.progress import Progress, Watcher
from sandcell.magics.session import Session
from sandcell.magics.show import shares
from sandcell.magics.tables import history_card, images_card, plan_card
from sandcell.magics.transfers import Transfers
from sandcell.magics.verbs import Action, each
from sandcell.runtime.errors import InvalidOption, NotFound, SandcellError
from sandcell.runtime.oci.reference import Reference

_FORMS: dict[str, Literal["oci-archive", "oci-dir", "docker-archive"]] = {
    "oci-archive": "oci-archive",
    "oci-dir": "oci-dir",
    "docker-archive": "docker-archive",
}


def build_cell(session: Session, line: str, body: str, local: Mapping[str, Any] | None = None) -> None:
    """Carry out an ``%%image`` cell: show the steps while they run, then the image."""
    request = parse(IMAGE_CELL, line, session.names, local)
    if request.on("help"):
        print(IMAGE_CELL.help())  # noqa: T201
        return
    name = Reference.parse(request.words[0]).familiar
    if not body.strip():
        raise InvalidOption("%%image", name, "the Dockerfile is empty", "begin with a line like: FROM host")
    if request.on("as"):
        check_name("--as", request.text("as"))
    asked: dict[str, Any] = {
        "name": name,
        "context": request.text("context") or None,
        "build_args": dict(_build_arg(text) for text in request.texts("build_args")) or None,
        "target": request.text("target") or None,
        **_options(request),
    }
    engine = session.engine
    if request.on("explain"):
        plan = engine.plan(body, **asked)
        session.show(plan_card(f"image {name}", str(plan).splitlines()))
        return
    progress = Progress(name)
    draw = session.display() if session.has_html else None
    try:
        image = engine.build(
            body,
            **asked,
            no_cache=request.on("no_cache"),
            pull=request.on("pull"),
            on_event=Watcher(progress, draw),
        )
    except (SandcellError, KeyboardInterrupt) as error:
        progress.fail()
        interrupted = isinstance(error, KeyboardInterrupt)
        if draw is not None and progress.steps:
            draw(progress.card("interrupted" if interrupted else "failed"))
        if interrupted:
            raise Interrupted("interrupted: no image was made; finished steps stay cached") from None
        raise
    if request.on("as"):
        session.names[request.text("as")] = image
    (draw or session.show)(image_card(image, name, [progress.note()], shares(session)))


def ls(session: Session, request: Request) -> None:
    """``%image ls``"""
    found = session.engine.images(tuple(request.texts("filters")))
    if not request.on("quiet"):
        session.show(images_card(found))
        return
    for entry in found:
        print(short(entry.digest))  # noqa: T201


def history(session: Session, request: Request) -> None:
    """``%image history``"""
    name = request.words[0]
    session.show(history_card(name, session.engine.history(name)))


def inspect(session: Session, request: Request) -> None:
    """``%image inspect``: as docker, a list even for one."""
    found = [session.engine.inspect(name) for name in request.words]
    print(json.dumps(found, indent=2, ensure_ascii=False, default=str))  # noqa: T201


def tag(session: Session, request: Request) -> None:
    """``%image tag``"""
    source, target = request.words
    session.engine.tag(source, target)


def rm(session: Session, request: Request) -> None:
    """``%image rm``: what was untagged and what was deleted, as docker tells it."""

    def remove(name: str) -> None:
        removed = session.engine.remove_image(name, force=request.on("force"))
        for untagged in removed.untagged:
            print(f"untagged: {untagged}")  # noqa: T201
        for digest in removed.deleted:
            print(f"deleted: {short(digest)}")  # noqa: T201

    each(request.words, remove, (NotFound,) if request.on("force") else ())


def pull(session: Session, request: Request) -> None:
    """``%image pull``: the card of each image that came."""
    for name in request.words:
        draw = session.display() if session.has_html else None
        image = session.engine.pull(
            name,
            platform=request.text("platform") or None,
            all_platforms=request.on("all_platforms"),
            on_event=Transfers("pulling", name, draw),
        )
        (draw or session.show)(image_card(image, Reference.parse(name).familiar, shared=shares(session)))


def tags(session: Session, request: Request) -> None:
    """``%image tags``: the tags of a repository in its registry, one a line."""
    for tag in session.engine.registry_tags(request.words[0]):
        print(tag)  # noqa: T201


def login(session: Session, request: Request) -> None:
    """``%image login``: the password is asked for, so that no notebook keeps it."""
    from getpass import getpass

    registry = request.words[0] if request.words else "docker.io"
    user = request.text("username")
    if not user:
        raise InvalidOption("%image login", registry, "no name is given", "write -u NAME")
    place = session.engine.login(registry, user, getpass(f"Password of {user} at {registry}: "))
    print(f"logged in; kept in {place}")  # noqa: T201


def logout(session: Session, request: Request) -> None:
    """``%image logout``"""
    registry = request.words[0] if request.words else "docker.io"
    known = session.engine.logout(registry)
    print("removed the login" if known else f"not logged in to {registry}")  # noqa: T201


def push(session: Session, request: Request) -> None:
    """``%image push``: one line, and what to warn of."""
    name = request.words[0]
    draw = session.display() if session.has_html else None
    watch = Transfers("pushing", name, draw)
    warnings = session.engine.push(name, platform=request.text("platform") or None, on_event=watch)
    watch.finish("pushed")
    for warning in warnings:
        print(f"warning: {warning}")  # noqa: T201
    print(f"pushed: {Reference.parse(name).familiar}")  # noqa: T201


def save(session: Session, request: Request) -> None:
    """``%image save``"""
    path = request.text("output")
    form = request.text("form") or "oci-archive"
    if not path:
        raise InvalidOption("%image save", request.words[0], "no file is named", "write -o FILE")
    if form not in _FORMS:
        raise InvalidOption("%image save", f"--format {form}", f"it is one of {', '.join(_FORMS)}")
    session.engine.save(request.words, path, form=_FORMS[form])


def load(session: Session, request: Request) -> None:
    """``%image load``: one line for each image."""
    path = request.text("input")
    if not path:
        raise InvalidOption("%image load", "", "no file is named", "write -i FILE")
    for one in session.engine.load(path, name=request.text("name") or None):
        print(f"Loaded image: {one.name}")  # noqa: T201


def import_root(session: Session, request: Request) -> None:
    """``%image import``: the card of the new image."""
    source, *name = request.words
    image = session.engine.import_image(
        source,
        name=name[0] if name else None,
        changes=request.texts("changes"),
        message=request.text("message"),
        platform=request.text("platform"),
    )
    session.show(image_card(image, Reference.parse(name[0]).familiar if name else "", shared=shares(session)))


VERBS: dict[str, Action] = {
    "ls": ls,
    "history": history,
    "inspect": inspect,
    "tag": tag,
    "rm": rm,
    "pull": pull,
    "push": push,
    "tags": tags,
    "login": login,
    "logout": logout,
    "save": save,
    "load": load,
    "import": import_root,
    **looks.VERBS,
}
"""What carries out each sub-command of ``%image``."""


def _options(request: Request) -> dict[str, Any]:
    """The less usual flags; nothing where there are none."""
    given: dict[str, Any] = {key: request.texts(key) for key in BUILD_LISTS if request.texts(key)}
    if request.on("platform"):
        given["platform"] = request.text("platform")
    if not given:
        return {}
    from sandcell.runtime import BuildOptions

    given = {key: tuple(value) if key.startswith("cache_") else value for key, value in given.items()}
    return {"options": BuildOptions.read(**given)}


def _build_arg(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not key or not sign:
        raise InvalidOption("%%image", f"--build-arg {text}", "no value", "write --build-arg NAME=value")
    return key, value
