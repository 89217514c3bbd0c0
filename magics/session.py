"""What one notebook holds: the engine, opened in the background, and the containers its cells made."""

import secrets
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sandcell.magics import rerun
from sandcell.magics.paper import Card
from sandcell.magics.settings import Sandcell
from sandcell.runtime.errors import SandcellError

if TYPE_CHECKING:
    from sandcell.runtime.engine import Engine


class Session:
    """One IPython shell and its engine.

    ``engine``: one handed in; without it the store of this user is opened by `warm`, or by the
    first use. The session closes the engine at its end; containers stay.
    """

    def __init__(self, shell: Any, engine: "Engine | None" = None) -> None:
        self.shell = shell
        self.settings = Sandcell(parent=shell)
        self.id = secrets.token_hex(6)
        self.reruns = rerun.Reruns(self.id, lambda: self.settings.keep)
        self._engine = engine
        self._lock = threading.Lock()
        self._warming: threading.Thread | None = None
        self._chore: threading.Thread | None = None
        self._count = (-1, 0)
        self._at_close: set[Callable[[], None]] = set()
        # A lesson shows something else where the host refuses; true when it has.
        self.instead: Callable[[SandcellError], bool] | None = None

    @property
    def engine(self) -> "Engine":
        """The engine, ready; chores of the cell before are finished. Raises what opening it raised."""
        for thread in (self._warming, self._chore):
            if thread is not None and thread is not threading.current_thread():
                thread.join()
        return self._open()

    @property
    def engine_if_ready(self) -> "Engine | None":
        """The engine when it can be asked without waiting, for completion."""
        busy = any(thread is not None and thread.is_alive() for thread in (self._warming, self._chore))
        return None if busy else self._engine

    @property
    def names(self) -> dict[str, Any]:
        """The variables of the notebook."""
        space: dict[str, Any] = self.shell.user_ns
        return space

    @property
    def has_html(self) -> bool:
        """Whether the front end shows HTML; a terminal shows text."""
        return hasattr(self.shell, "kernel")

    def warm(self) -> None:
        """Open the engine in the background: the first cell then finds it ready."""
        self._warming = threading.Thread(target=self._warm, name="sandcell-warm", daemon=True)
        self._warming.start()

    def later(self, chore: Callable[[], None]) -> None:
        """Do something when the cell's answer is out. The next use of the engine waits for it; errors
        of the runtime end it quietly."""

        def work() -> None:
            try:
                chore()
            except SandcellError:
                return

        if self._chore is not None:
            self._chore.join()
        self._chore = threading.Thread(target=work, name="sandcell-chore")
        self._chore.start()

    def cell(self, line: str, body: str = "") -> str:
        """The key of the magic that runs now: same cell, same place in it, same key."""
        count = self.shell.execution_count
        self._count = (count, self._count[1] + 1 if self._count[0] == count else 0)
        return rerun.cell_key(self.shell, self.id, f"{self._count[1]}", line, body)

    def show(self, card: Card, key: str = "", *, update: bool = False) -> None:
        """Publish a card. ``key``: a display that can be updated; ``update``: replace what it shows."""
        transient: Mapping[str, str] = {"display_id": key} if key else {}
        self.shell.display_pub.publish(
            data=card.bundle(), metadata={}, transient=dict(transient), update=update
        )

    def display(self) -> Callable[[Card], None]:
        """A place on the page: what is drawn there first appears, then replaces what was there."""
        key = f"sandcell-{secrets.token_hex(8)}"
        drawn = False

        def draw(card: Card) -> None:
            nonlocal drawn
            self.show(card, key, update=drawn)
            drawn = True

        return draw

    def at_close(self, work: Callable[[], None]) -> None:
        """Do ``work`` once when the session ends, before the engine is closed."""
        self._at_close.add(work)

    def close(self) -> None:
        """End the session's helpers; running containers stay. Closing again does nothing."""
        for thread in (self._warming, self._chore):
            if thread is not None:
                thread.join()  # the first of them may have something to do at the end
        while self._at_close:
            self._at_close.pop()()
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()

    def _open(self) -> "Engine":
        with self._lock:
            if self._engine is None:
                from sandcell.runtime import Engine

                self._engine = Engine()
            return self._engine

    def _warm(self) -> None:
        try:
            engine = self._open()
            engine.warm()
            from sandcell.magics import live

            live.attach(self)
            self.at_close(live.detach)
            self.reruns.adopt(engine.containers(all=True))
        except (SandcellError, OSError):
            # The same will be told where somebody reads it: at the first use.
            return
