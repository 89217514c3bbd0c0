"""``%container``: the life of containers, verb by verb, in docker's words."""

import json
import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from sandcell.magics.arguments import Request
from sandcell.magics.cards import image_card
from sandcell.magics.conduct import conduct, wish_of
from sandcell.magics.container import check_background, start_background
from sandcell.magics.creation import environment, options_of
from sandcell.magics.exchange import check_name
from sandcell.magics.session import Session
from sandcell.magics.show import shares
from sandcell.magics.stream import Screen
from sandcell.magics.tables import Diff, containers_card, diff_card, plan_card, processes_card, stats_card
from sandcell.magics.verbs import Action, each
from sandcell.runtime.errors import ContainerNotFound, InvalidOption, NotFound, SandcellError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandcell.runtime.container.output import Output


def run(session: Session, request: Request) -> None:
    """``%container run``: the image's own ENTRYPOINT and CMD, or the command of the line."""
    engine = session.engine
    name, command = request.words[0], request.words[1:] or None
    if request.on("explain"):
        explain(session, request)
        return
    wish = wish_of(request, remove=request.on("remove"))
    background = request.on("background")
    if background:
        check_background(request, "%container run")
    cell = "" if request.on("name") else session.cell(request.line)
    options = options_of(
        request,
        session.settings.limits(),
        labels=session.reruns.labels(cell) if cell else {},
        die_with_client=not background,
        remove=wish.remove,
    )
    if background:
        start_background(session, request, engine.create(name, command, options, starts=True))
        return
    conduct(session, lambda: engine.launch(name, command, options), wish, cell)


def create(session: Session, request: Request) -> None:
    """``%container create``"""
    options = options_of(request, session.settings.limits())
    container = session.engine.create(request.words[0], request.words[1:] or None, options)
    print(container.name)  # noqa: T201


def exec_(session: Session, request: Request) -> None:
    """``%container exec``"""
    from sandcell.runtime.container.options import ExecOptions

    engine = session.engine
    container = engine.container(request.words[0])
    options = ExecOptions(
        env=environment(request),
        workdir=request.text("workdir"),
        user=request.text("user"),
        tty=request.on("tty"),
    ).check()
    wish = wish_of(request, inside=True)
    conduct(session, lambda: engine.launch_in(container, request.words[1:], options), wish)


def ls(session: Session, request: Request) -> None:
    """``%container ls``: those that run; how many others there are is said."""
    found, spoiled = session.engine.containers(all=True), session.engine.spoiled()
    if request.on("all"):
        session.show(containers_card(found, spoiled=spoiled))
        return
    shown = [one for one in found if one.state in ("running", "paused")]
    hidden = len(found) - len(shown) + len(spoiled)
    note = f"{hidden} not running: %container ls -a" if hidden else ""
    session.show(containers_card(shown, note=note))


def start(session: Session, request: Request) -> None:
    """``%container start``"""
    each(request.words, lambda name: print(session.engine.start(name).name))  # noqa: T201


def stop(session: Session, request: Request) -> None:
    """``%container stop``"""
    timeout = _seconds(request)
    _done(request, lambda name: session.engine.stop(name, timeout=timeout))


def restart(session: Session, request: Request) -> None:
    """``%container restart``"""
    timeout = _seconds(request)
    each(request.words, lambda name: print(session.engine.restart(name, timeout=timeout).name))  # noqa: T201


def kill(session: Session, request: Request) -> None:
    """``%container kill``"""
    _done(request, lambda name: session.engine.kill(name, request.text("signal") or "KILL"))


def top(session: Session, request: Request) -> None:
    """``%container top``"""
    container = session.engine.container(request.words[0])
    session.show(processes_card(container.name, session.engine.top(container)))


def stats(session: Session, request: Request) -> None:
    """``%container stats``"""
    engine = session.engine
    found = [engine.container(name) for name in request.words] or list(engine.containers())
    session.show(stats_card([engine.stats(one) for one in found]))


def pause(session: Session, request: Request) -> None:
    """``%container pause``"""
    _done(request, session.engine.pause)


def unpause(session: Session, request: Request) -> None:
    """``%container unpause``"""
    _done(request, session.engine.unpause)


def wait(session: Session, request: Request) -> None:
    """``%container wait``: one exit status a line."""
    each(request.words, lambda name: print(session.engine.wait(name)))  # noqa: T201


def port(session: Session, request: Request) -> None:
    """``%container port``, as docker tells it; of one port only where it leads from."""
    wanted = request.words[1] if len(request.words) > 1 else ""
    wanted = f"{wanted}/tcp" if wanted and "/" not in wanted else wanted
    found = session.engine.ports(request.words[0])
    told = [one for one in found if wanted in ("", f"{one.port}/{one.protocol}")]
    if wanted and not told:
        raise NotFound("%container port", wanted, f"{request.words[0]} does not publish it, or does not run")
    for one in told:
        print(one.place if wanted else f"{one.port}/{one.protocol} -> {one.place}")  # noqa: T201


def rename(session: Session, request: Request) -> None:
    """``%container rename``"""
    print(session.engine.rename(*request.words).name)  # noqa: T201


def rm(session: Session, request: Request) -> None:
    """``%container rm``"""
    force = request.on("force")
    forgiven = (ContainerNotFound,) if force else ()
    _done(request, lambda name: session.engine.remove(name, force=force), forgiven)


def prune(session: Session, request: Request) -> None:
    """``%container prune``: nobody can be asked in a cell, so ``-f`` is the answer."""
    engine = session.engine
    ended = [one for one in engine.containers(all=True) if one.state in ("created", "exited")]
    if not request.on("force"):
        note = "%container prune -f deletes them and what they wrote" if ended else ""
        session.show(containers_card(ended, note=note))
        return
    each([one.id for one in ended], engine.remove)
    for one in ended:
        print(one.name)  # noqa: T201


def logs(session: Session, request: Request) -> None:
    """``%container logs``: standard output and standard error apart, as they were written."""
    tail = _number("--tail", request.text("tail")) if request.on("tail") else None
    from sandcell.runtime.engine.moments import moment

    name = request.words[0]
    screen = Screen("--tail N shows the end; the engine's logs() gives every byte")
    now = time.time()
    since, until = (moment(request.text(key), now) if request.on(key) else None for key in ("since", "until"))
    pieces = session.engine.logs(name, tail=tail, follow=request.on("follow"), since=since, until=until)
    try:
        for stream, data in _stamped(pieces) if request.on("timestamps") else _plain(pieces):
            screen.write(stream, data)
    finally:
        screen.close()


def cp(session: Session, request: Request) -> None:
    """``%container cp``"""
    source, destination = request.words
    session.engine.copy(source, destination, follow=request.on("follow"), keep_owner=request.on("archive"))


def diff(session: Session, request: Request) -> None:
    """``%container diff``"""
    container = session.engine.container(request.words[0])
    session.show(diff_card(Diff(container.name, tuple(session.engine.diff(container)))))


def commit(session: Session, request: Request) -> None:
    """``%container commit``: show the new image."""
    if request.on("as"):
        check_name("--as", request.text("as"))
    name = request.words[1] if len(request.words) > 1 else None
    image = session.engine.commit(request.words[0], name, message=request.text("message"))
    if request.on("as"):
        session.names[request.text("as")] = image
    session.show(image_card(image, name or "", shared=shares(session)))


def reset(session: Session, request: Request) -> None:
    """``%container reset``"""
    _done(request, lambda name: session.engine.reset(name))


def inspect(session: Session, request: Request) -> None:
    """``%container inspect``: as docker, a list even for one."""
    found = [session.engine.inspect(session.engine.container(name).id) for name in request.words]
    print(json.dumps(found, indent=2, ensure_ascii=False, default=str))  # noqa: T201


def explain(session: Session, request: Request) -> None:
    """``%container explain``, and ``run --explain``: the steps, nothing is done."""
    name = request.words[0]
    options = options_of(request, session.settings.limits())
    plan = session.engine.explain(name, request.words[1:] or None, options)
    session.show(plan_card(f"a container of {name}", str(plan).splitlines()))


VERBS: dict[str, Action] = {
    "run": run,
    "create": create,
    "exec": exec_,
    "ls": ls,
    "start": start,
    "stop": stop,
    "restart": restart,
    "kill": kill,
    "top": top,
    "stats": stats,
    "pause": pause,
    "unpause": unpause,
    "port": port,
    "rename": rename,
    "wait": wait,
    "rm": rm,
    "prune": prune,
    "logs": logs,
    "cp": cp,
    "diff": diff,
    "commit": commit,
    "reset": reset,
    "inspect": inspect,
    "explain": explain,
}
"""What carries out each sub-command of ``%container``."""


def _done(
    request: Request, action: Callable[[str], None], forgiven: tuple[type[SandcellError], ...] = ()
) -> None:
    """Do something to each container and say its name when it is done, as docker does."""

    def one(name: str) -> None:
        action(name)
        print(name)  # noqa: T201

    each(request.words, one, forgiven)


def _seconds(request: Request) -> float:
    return float(_number("--time", request.text("time"))) if request.on("time") else 10.0


def _number(flag: str, text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise InvalidOption("use", f"{flag} {text}", "not a whole number")
    return int(text)


def _plain(pieces: "Iterator[Output]") -> "Iterator[tuple[str, bytes]]":
    for piece in pieces:
        yield piece.stream, piece.data


def _stamped(pieces: "Iterator[Output]") -> "Iterator[tuple[str, bytes]]":
    """Each line behind the time it began."""
    fresh = {"stdout": True, "stderr": True}
    for piece in pieces:
        stamp = datetime.fromtimestamp(piece.time).astimezone().isoformat(timespec="milliseconds").encode()
        out = b""
        for line in piece.data.splitlines(keepends=True):
            out += (stamp + b" " if fresh[piece.stream] else b"") + line
            fresh[piece.stream] = line.endswith(b"\n")
        yield piece.stream, out
