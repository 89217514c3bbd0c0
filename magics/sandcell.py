"""``%sandcell``: the inspector, and what this host allows."""

from collections.abc import Mapping
from typing import Any

from sandcell.magics.arguments import Request
from sandcell.magics.live import open_inspector
from sandcell.magics.looks import prune
from sandcell.magics.session import Session
from sandcell.magics.tables import lessons_card
from sandcell.magics.verbs import Action, dispatch


def run_line(session: Session, line: str, local: Mapping[str, Any] | None = None) -> None:
    """Carry out ``%sandcell …``; alone it opens the inspector."""
    if not line.strip():
        open_inspector(session)
        return
    dispatch(session, "sandcell", VERBS, line, local)


def doctor(session: Session, _: Request) -> None:
    """``%sandcell doctor``"""
    from sandcell.magics.doctor import doctor_card
    from sandcell.runtime.engine.doctor import examined

    session.show(doctor_card(examined(session.engine.host)))


def lessons(session: Session, request: Request) -> None:
    """``%sandcell lessons [DIR]``"""
    from sandcell.runtime.engine.lessons import copy_lessons, standings

    folder = request.words[0] if request.words else "sandcell-lessons"
    copied = copy_lessons(folder)
    session.show(lessons_card(folder, copied, standings(session.engine.places.home)))


def config(session: Session, _: Request) -> None:
    """``%sandcell config``"""
    from sandcell.magics.tables import settings_card
    from sandcell.runtime.engine.preferences import told

    session.show(settings_card(session.engine.places, told(), session.settings))


VERBS: dict[str, Action] = {"doctor": doctor, "lessons": lessons, "prune": prune, "config": config}
"""What carries out each sub-command of ``%sandcell``."""
