"""A run from its start to its quiet line: what ``%%container``, ``run`` and ``exec`` have in common."""

import signal
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from sandcell.magics import rerun
from sandcell.magics.arguments import Request
from sandcell.magics.attend import attend
from sandcell.magics.complain import CellFailed, Interrupted
from sandcell.magics.exchange import check_name, fetch
from sandcell.magics.quiet import Outcome, quiet_card
from sandcell.magics.session import Session
from sandcell.magics.stream import KEPT, Screen
from sandcell.runtime.errors import ContainerNotFound, InvalidOption, SandcellError, StartFailed

if TYPE_CHECKING:
    from sandcell.runtime.container.running import Running
    from sandcell.runtime.engine import Engine
    from sandcell.runtime.engine.values import Container, Result
    from sandcell.runtime.layer.tree import Change


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """How a run is to be judged and what is kept of it. ``inside``: it runs in a container that
    existed before, and that stays whatever happens. ``remove``: take the container away after."""

    expect: int = 0
    raises: bool = True
    into: str = ""
    fetch: tuple[str, ...] = ()
    remove: bool = False
    inside: bool = False
    notes: tuple[str, ...] = ()


def wish_of(request: Request, **more: Any) -> Wish:
    """The flags ``--expect``, ``--no-raise-error``, ``--as`` and ``--fetch``. Raises `InvalidOption`
    for a status or a variable that is none."""
    expect = request.text("expect") or "0"
    if not expect.isascii() or not expect.isdigit() or int(expect) > 255:
        raise InvalidOption("%%container", f"--expect {expect}", "not an exit status", "0 to 255")
    if request.on("as"):
        check_name("--as", request.text("as"))
    return Wish(
        expect=int(expect),
        raises=not request.on("no_raise"),
        into=request.text("as"),
        fetch=request.texts("fetch"),
        **more,
    )


def conduct(session: Session, launch: "Callable[[], Running]", wish: Wish, cell: str = "") -> None:
    """Start a run, stream it, tell how it ended, and raise when it ended otherwise than wished.

    ``cell``: the key of the cell that makes an unnamed container; what it made before is replaced.
    Values are fetched, and ``--as`` is set, before a bad end is raised. Raises `CellFailed`,
    `Interrupted`, and what the engine raises.
    """
    engine = session.engine
    began = time.monotonic()
    try:
        running = launch()
    except StartFailed:
        if cell:
            _remember_stillborn(session, engine, cell)
        raise
    container = running.container
    rest = "" if wish.inside or wish.remove else f"%container logs {container.name}"
    screen = Screen(rest, keep=bool(wish.into))
    try:
        try:
            ending = attend(running, screen.write, shared=wish.inside)
        finally:
            screen.close()
        duration = time.monotonic() - began
        notes = list(wish.notes)
        if ending.sent:
            notes.append(f"interrupted by {signal.Signals(ending.sent).name}")
        if running.oom:
            notes.append("out of memory")
        values, missing = _fetched(engine.exchange(running), wish)
    finally:
        running.close()
    changes, chore = None, _nothing
    if wish.remove:
        notes.append("removed")
        if wish.fetch:
            chore = partial(engine.remove, container)
    else:
        changes = _changes(engine, container)
        if cell:
            replaced, chore = _replace(session, engine, cell, container)
            notes += replaced
    if screen.cut:
        notes.append(f"--as keeps the first {KEPT >> 20} MiB")
    session.show(
        quiet_card(
            Outcome(
                container=container.name,
                status=ending.status,
                duration=duration,
                changes=changes,
                expected=wish.expect,
                notes=tuple(notes),
            )
        )
    )
    session.names.update(values)
    if wish.into:
        session.names[wish.into] = _result(engine, container, ending.status, screen, duration)
    if chore is not _nothing:
        session.later(chore)
    if ending.sent:
        raise Interrupted(f"interrupted: exit status {ending.status}")
    if wish.raises and ending.status != wish.expect:
        raise failure(ending.status, wish.expect, running.oom)
    if missing is not None and ending.status == wish.expect:
        raise missing


def failure(status: int, expected: int, oom: bool = False) -> CellFailed:
    """The error for a status that is not the wished one."""
    told = f"exit status {status}{_meaning(status, oom)}"
    if expected:
        return CellFailed(f"{told}, expected {expected}", status)
    return CellFailed(
        told, status, f"--expect {status} passes on exactly this status, --no-raise-error on any"
    )


def _meaning(status: int, oom: bool) -> str:
    if oom:
        return " (the memory limit was reached)"
    if status == 127:
        return " (command not found)"
    if status == 126:
        return " (not executable)"
    if 128 < status < 128 + signal.NSIG:
        try:
            return f" ({signal.Signals(status - 128).name})"
        except ValueError:
            return ""
    return ""


def _fetched(directory: Any, wish: Wish) -> tuple[Mapping[str, Any], SandcellError | None]:
    """The values asked for, as far as they can be had, and the first complaint."""
    values: dict[str, Any] = {}
    complaint: SandcellError | None = None
    for name in wish.fetch:
        try:
            values |= fetch(directory, (name,))
        except SandcellError as error:
            complaint = complaint or error
    return values, complaint


def _changes(engine: "Engine", container: "Container") -> "tuple[Change, ...] | None":
    try:
        return engine.diff(container)
    except SandcellError:
        # It may have been removed meanwhile; the line then says nothing of its files.
        return None


def _replace(
    session: Session, engine: "Engine", cell: str, container: "Container"
) -> tuple[list[str], Callable[[], None]]:
    """Take note of a new unnamed container: what is said of those it replaces, and their removal,
    which can wait until the answer is out."""
    replaced: list[str] = []
    gone: list[Container] = []
    for id in session.reruns.made(cell, container.id):
        try:
            old = engine.container(id)
        except ContainerNotFound:
            session.reruns.forget(id)
            continue
        if rerun.may_go(old):
            gone.append(old)
            if old.labels.get(rerun.CELL) == cell:
                replaced.append(f"replaces {old.name}")

    def remove() -> None:
        for old in gone:
            session.reruns.forget(old.id)
            engine.remove(old)

    return replaced, remove if gone else _nothing


def _nothing() -> None:
    """No chore."""


def _remember_stillborn(session: Session, engine: "Engine", cell: str) -> None:
    """A container that could not be started stays; running the cell again shall replace it too."""
    for container in engine.containers(all=True):
        if container.labels.get(rerun.CELL) == cell and container.state == "created":
            session.later(_replace(session, engine, cell, container)[1])
            return


def _result(
    engine: "Engine", container: "Container", status: int, screen: Screen, duration: float
) -> "Result":
    from sandcell.runtime.engine.values import Result

    try:
        now = engine.container(container.id)
    except ContainerNotFound:
        now = msgspec.structs.replace(container, state="exited", exit_status=status, pid=None)
    return Result(
        status=status,
        stdout=screen.kept("stdout"),
        stderr=screen.kept("stderr"),
        duration=duration,
        container=now,
    )
