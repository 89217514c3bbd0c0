"""``%sandcell``: the inspector, and what this host allows."""

from collections.abc import Mapping
from typing import Any

from sandcell.magics.arguments import Request
from sandcell.magics.live import open_inspector
from sandcell.magics.session import Session
from sandcell.magics.tables import doctor_card
from sandcell.magics.verbs import Action, dispatch


def run_line(session: Session, line: str, local: Mapping[str, Any] | None = None) -> None:
    """Carry out ``%sandcell …``; alone it opens the inspector."""
    if not line.strip():
        open_inspector(session)
        return
    dispatch(session, "sandcell", VERBS, line, local)


def doctor(session: Session, _: Request) -> None:
    """``%sandcell doctor``"""
    session.show(doctor_card(session.engine.host))


VERBS: dict[str, Action] = {"doctor": doctor}
"""What carries out each sub-command of ``%sandcell``."""
